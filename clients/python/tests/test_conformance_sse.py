"""Every scenario of the list over an event stream, against a real hub."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .scenarios import play
from .stage import CLIENTS, Control

SCENARIOS: list[dict[str, Any]] = json.loads((CLIENTS / "fixtures/conformance.json").read_text())["scenarios"]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario["name"])
async def test_scenario(scenario: dict[str, Any], control: Control) -> None:
    await play(scenario, control, "sse")
