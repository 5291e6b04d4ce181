"""The same for code without an event loop: a loop on a thread of its own carries out what is asked of it.

Threads may share one connection. It does not survive a fork: connect after it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Coroutine, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from ..frames import Member, Position
from .connection import Service, connect
from .presence import MemberCount, MemberPage, Online, PresenceEvent, PresencePosition, PresenceReader
from .publisher import Failed, Item, Published, Publisher

Answer = TypeVar("Answer")


class _Thread:
    """A loop on a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="switchboard-service", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Waits for it; an interrupted wait cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        finally:
            future.cancel()

    def iterate(self, source: AsyncGenerator[Answer, None]) -> Iterator[Answer]:
        """Its values, one at a time; it is closed with the iterator."""

        async def step() -> tuple[Answer] | None:
            try:
                return (await anext(source),)
            except StopAsyncIteration:
                return None

        try:
            while (value := self.run(step())) is not None:
                yield value[0]
        finally:
            # Where the connection was closed first, it has ended what it still ran.
            if self._thread.is_alive():
                self.run(source.aclose())

    def end(self) -> None:
        self.run(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class BlockingPublisher:
    """As ``Publisher``; each call blocks until it is answered."""

    def __init__(self, thread: _Thread, publisher: Publisher) -> None:
        self._thread = thread
        self._publisher = publisher

    def publish(
        self,
        channel: str,
        data: Any,
        *,
        id: str | None = None,
        tags: Mapping[str, str] | None = None,
        exclude_session: str = "",
        expected_position: Position | None = None,
        skip_history: bool = False,
        timeout: float = 10.0,
    ) -> Published:
        """As ``Publisher.publish``."""
        return self._thread.run(
            self._publisher.publish(
                channel,
                data,
                id=id,
                tags=tags,
                exclude_session=exclude_session,
                expected_position=expected_position,
                skip_history=skip_history,
                timeout=timeout,
            )
        )

    def publish_batch(self, items: Iterable[Item], *, timeout: float = 10.0) -> list[Published | Failed]:
        """As ``Publisher.publish_batch``."""
        return self._thread.run(self._publisher.publish_batch(items, timeout=timeout))


class BlockingPresence:
    """As ``PresenceReader``; each call blocks until it is answered."""

    def __init__(self, thread: _Thread, presence: PresenceReader) -> None:
        self._thread = thread
        self._presence = presence

    def page(self, channel: str, *, size: int = 0, page: str = "", timeout: float = 10.0) -> MemberPage:
        """As ``PresenceReader.page``."""
        return self._thread.run(self._presence.page(channel, size=size, page=page, timeout=timeout))

    def members(self, channel: str, *, page_size: int = 0, timeout: float = 10.0) -> Iterator[Member]:
        """As ``PresenceReader.members``."""
        return self._thread.iterate(self._presence.members(channel, page_size=page_size, timeout=timeout))

    def count(self, channels: Sequence[str], *, timeout: float = 10.0) -> list[MemberCount]:
        """As ``PresenceReader.count``."""
        return self._thread.run(self._presence.count(channels, timeout=timeout))

    def lookup(self, user: str, *, timeout: float = 10.0) -> Online:
        """As ``PresenceReader.lookup``."""
        return self._thread.run(self._presence.lookup(user, timeout=timeout))

    def watch(self, channel: str, *, resume: PresencePosition | None = None) -> Iterator[PresenceEvent]:
        """As ``PresenceReader.watch``."""
        return self._thread.iterate(self._presence.watch(channel, resume=resume))


class BlockingService:
    """A connection to the control API. ``with connect_blocking(...) as hub``."""

    def __init__(self, address: str, *, api_key: str, credentials: grpc.ChannelCredentials | None = None) -> None:
        async def open_it() -> Service:
            return connect(address, api_key=api_key, credentials=credentials)

        self._thread = _Thread()
        self._service = self._thread.run(open_it())
        self.publisher = BlockingPublisher(self._thread, self._service.publisher)
        self.presence = BlockingPresence(self._thread, self._service.presence)

    def close(self) -> None:
        """Ends the connection and its thread."""
        self._thread.run(self._service.close())
        self._thread.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def connect_blocking(
    address: str, *, api_key: str, credentials: grpc.ChannelCredentials | None = None
) -> BlockingService:
    """Connects to the control API at ``host:port``, with TLS where ``credentials`` are given."""
    return BlockingService(address, api_key=api_key, credentials=credentials)
