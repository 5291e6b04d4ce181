"""What the package is made of: the generated code is current, and the examples run."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from .stage import Control

PACKAGE = Path(__file__).resolve().parents[1]


def test_the_generated_code_is_what_the_generator_gives(tmp_path: Path) -> None:
    subprocess.run([sys.executable, PACKAGE / "scripts/generate.py", tmp_path / "proto"], check=True)
    committed = {path.name: path.read_text() for path in (PACKAGE / "src/switchboard_client/proto").glob("*.py*")}
    generated = {path.name: path.read_text() for path in (tmp_path / "proto").glob("*.py*")}
    assert committed == generated, "run `python scripts/generate.py`, and commit what it gives"


async def example(name: str, control: Control, **more: str) -> tuple[int, str]:
    stage = control.stage
    environment = {
        **os.environ,
        "SWITCHBOARD_URL": stage.proxy,
        "SWITCHBOARD_GRPC": stage.grpc,
        "SWITCHBOARD_API_KEY": stage.api_key,
        "SWITCHBOARD_TOKEN": await control.token(user="ann"),
        "SWITCHBOARD_CHANNEL": f"chat:{secrets.token_hex(6)}",
        **more,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(PACKAGE / "examples" / name),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment,
    )
    async with asyncio.timeout(30):
        output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("chat.py", r"ann: hello\nann: goodbye\n"),
        ("publish.py", r"published at offset 1\n"),
        ("publish_blocking.py", r"published at offset 1\n0 members\n"),
        ("inbox.py", r"handled 0\nhandled 1\nhandled 2\n"),
    ],
)
async def test_an_example_runs(name: str, says: str, control: Control) -> None:
    more = {}
    if name == "inbox.py":
        more["SWITCHBOARD_CHANNEL"] = f"inbox:{secrets.token_hex(6)}"
    status, output = await example(name, control, **more)
    assert status == 0, output
    assert re.fullmatch(says, output), output


def test_all_examples_are_tried() -> None:
    tried = {"chat.py", "publish.py", "publish_blocking.py", "inbox.py"}
    assert {path.name for path in (PACKAGE / "examples").glob("*.py")} == tried


SETTINGS = {"namespaces.inbox": {"durable": True, "history_count": 1000}}
