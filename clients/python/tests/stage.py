"""The stage of `clients/conformance` as a process of its own, and its control interface."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
import httpx

CLIENTS = Path(__file__).resolve().parents[2]


class Stage:
    """A running stage."""

    def __init__(self, settings: Mapping[str, object] | None = None) -> None:
        if "SWITCHBOARD_HUB" not in os.environ:
            raise RuntimeError("set SWITCHBOARD_HUB to the path of the hub, the program `switchboard`")
        chosen = [f"--set={path}={json.dumps(value)}" for path, value in (settings or {}).items()]
        node = os.environ.get("SWITCHBOARD_NODE", "node")
        self._process = subprocess.Popen(
            [node, str(CLIENTS / "conformance/stage.mjs"), *chosen],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the stage ended with {self._process.wait()}")
        told = json.loads(line)
        self.control: str = told["control"]
        self.hub: str = told["hub"]
        self.proxy: str = told["proxy"]
        self.grpc: str = told["grpc"]
        self.api_key: str = told["api_key"]

    def end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=20)
        self._process.stdout.close()


class Control:
    """What can be asked of a stage."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._http = httpx.AsyncClient(base_url=stage.control, timeout=30, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def _ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        response = await self._http.request(method, path, content=None if body is None else json.dumps(body))
        answer: dict[str, Any] = response.json()
        if response.is_error:
            raise RuntimeError(f"{method} {path}: {answer['error']}")
        return answer

    async def get(self, path: str) -> dict[str, Any]:
        return await self._ask("GET", path)

    async def post(self, path: str, body: object = None) -> dict[str, Any]:
        return await self._ask("POST", path, {} if body is None else body)

    async def delete(self, path: str) -> None:
        await self._ask("DELETE", path)

    async def token(self, **claims: Any) -> str:
        token: str = (await self.post("/token", claims))["token"]
        return token

    async def add_proxy(self, **modes: object) -> tuple[str, str]:
        """The id and the address of a proxy of its own."""
        told = await self.post("/proxies", modes)
        return told["id"], told["url"]


async def until(what: str, holds: Callable[[], bool] | Callable[[], Awaitable[bool]], within: float = 25.0) -> None:
    """Waits until it holds; fails by its name."""
    try:
        with anyio.fail_after(within):
            while True:
                held = holds()
                if held if isinstance(held, bool) else await held:
                    return
                await anyio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"{what} never came") from None
