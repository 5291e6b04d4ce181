"""A service's connection to the control API: one HTTP/2 connection, deadlines, and repetition with backoff."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import random
from types import TracebackType
from typing import Self, TypeVar

import grpc
from grpc.aio import AioRpcError, Channel, insecure_channel, secure_channel

from ..errors import SwitchboardError
from ..machine.backoff import backoff
from .presence import PresenceReader
from .publisher import Publisher
from .status import error_of

Answer = TypeVar("Answer")

BACKOFF_BASE = 0.1
BACKOFF_CAP = 5.0

# Calls repeat themselves here, with their id and within their deadline; the library would do so without either.
_OPTIONS = [
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
]


class Calls:
    """How calls are made on one channel."""

    def __init__(self, channel: Channel, api_key: str) -> None:
        self.channel = channel
        self.metadata = (("authorization", f"Bearer {api_key}"),)

    async def once(self, call: Callable[[float], Awaitable[Answer]], timeout: float) -> Answer:
        """Makes a call that may not be carried out twice."""
        try:
            return await call(timeout)
        except AioRpcError as failure:
            raise error_of(failure) from failure

    async def repeated(self, call: Callable[[float], Awaitable[Answer]], timeout: float) -> Answer:
        """Makes a call, again and again while it may succeed later, until the deadline.

        Raises ``SwitchboardError``: at the deadline the failure before it, which says more than that time is over.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        attempt = 0
        before: SwitchboardError | None = None
        while True:
            try:
                return await call(max(0.0, deadline - loop.time()))
            except AioRpcError as failure:
                error = error_of(failure)
                left = deadline - loop.time()
                wait = error.retry_after or backoff(attempt, random(), base=BACKOFF_BASE, cap=BACKOFF_CAP)
                if not error.retryable or wait >= left:
                    raise (before if before and error.code == "timeout" else error) from failure
                before = error
                attempt += 1
                await asyncio.sleep(wait)


class Service:
    """A connection to the control API. ``async with connect(...) as hub``."""

    def __init__(self, channel: Channel, api_key: str) -> None:
        calls = Calls(channel, api_key)
        self._channel = channel
        self.publisher = Publisher(calls)
        """Publishes; its API key needs the scope ``publish``."""
        self.presence = PresenceReader(calls)
        """Says who is there; its API key needs the scope ``read``."""

    async def close(self) -> None:
        """Ends the connection; calls under way are cancelled."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


def connect(address: str, *, api_key: str, credentials: grpc.ChannelCredentials | None = None) -> Service:
    """Connects to the control API at ``host:port``, with TLS where ``credentials`` are given. To be called inside a running loop.

    It does not wait: the first call does, and says what is wrong.
    """
    if credentials is None:
        return Service(insecure_channel(address, options=_OPTIONS), api_key)
    return Service(secure_channel(address, credentials, options=_OPTIONS), api_key)
