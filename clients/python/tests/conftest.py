"""What tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from .stage import Control, Stage


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A stage for the tests of one file."""
    running = Stage(getattr(request.module, "SETTINGS", None))
    yield running
    running.end()


@pytest.fixture
async def control(stage: Stage) -> AsyncIterator[Control]:
    async with Control(stage) as opened:
        yield opened
