"""Publishing as a service: one item, many in one call, or a stream of them."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping
from dataclasses import dataclass, field
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from grpc.aio import AioRpcError

from ..errors import SwitchboardError
from ..frames import Position
from ..proto import publish_pb2 as pb
from ..proto import types_pb2
from ..proto.publish_pb2_grpc import PublishServiceStub
from .status import error_of

if TYPE_CHECKING:
    from .connection import Calls

IN_FLIGHT_MAX = 10_000
"""Items of a stream that wait for their acknowledgement; the next waits until one has come."""


@dataclass(frozen=True, slots=True)
class Item:
    """What to publish. ``data`` is a JSON value, or bytes."""

    channel: str
    data: Any
    id: str = field(default_factory=lambda: token_hex(16))
    """Idempotency id: the same one publishes once. By default a random one, so that a repetition is safe."""
    tags: Mapping[str, str] = field(default_factory=dict)
    exclude_session: str = ""
    """A session that is not to receive it, usually the one that caused it."""
    expected_position: Position | None = None
    """Publish only while this is the channel's latest position; else it fails with ``position_unavailable``."""
    skip_history: bool = False
    """Deliver to those subscribed now and keep nothing."""

    def write(self) -> pb.PublishItem:
        """As it is sent. Raises ``TypeError`` or ``ValueError`` where the data is no JSON."""
        written = pb.PublishItem(
            channel=self.channel,
            id=self.id,
            tags=self.tags,
            exclude_session=self.exclude_session,
            skip_history=self.skip_history,
        )
        if isinstance(self.data, bytes | bytearray | memoryview):
            written.binary = bytes(self.data)
        else:
            text = json.dumps(self.data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
            written.json = text.encode()
        if self.expected_position is not None:
            expected = self.expected_position
            written.expected_position.CopyFrom(types_pb2.Position(epoch=expected.epoch, offset=expected.offset))
        return written


@dataclass(frozen=True, slots=True)
class Published:
    """It was accepted: where it is, or, for a duplicate, where the first one is."""

    position: Position
    duplicate: bool


@dataclass(frozen=True, slots=True)
class Failed:
    """One item among many was refused."""

    error: SwitchboardError


class Publisher:
    """Publishes. What may succeed later is repeated within its deadline, with its id: so it happens once."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._stub = PublishServiceStub(calls.channel)

    async def publish(
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
        """Publishes one item. Returns once the engine has accepted it. Raises ``SwitchboardError``."""
        item = Item(channel, data, id or token_hex(16), tags or {}, exclude_session, expected_position, skip_history)
        request = pb.PublishRequest(item=item.write())
        answer = await self._calls.repeated(
            lambda left: self._stub.Publish(request, timeout=left, metadata=self._calls.metadata), timeout
        )
        return Published(_position(answer.position), answer.duplicate)

    async def publish_batch(self, items: Iterable[Item], *, timeout: float = 10.0) -> list[Published | Failed]:
        """Publishes many items in one call; the fate of each, in their order. Items of one channel keep their order.

        Raises ``SwitchboardError`` when the call fails as a whole.
        """
        request = pb.PublishBatchRequest(items=[item.write() for item in items])
        answer = await self._calls.repeated(
            lambda left: self._stub.PublishBatch(request, timeout=left, metadata=self._calls.metadata), timeout
        )
        return [_fate(result) for result in answer.results]

    async def publish_stream(
        self, items: AsyncIterable[Item], *, timeout: float | None = None
    ) -> AsyncGenerator[tuple[Item, Published | Failed], None]:
        """Publishes items as they come, without waiting for one another; each with its fate, in their order.

        The hub's flow control holds ``items`` back. Raises ``SwitchboardError`` when the stream breaks: items that were given and not
        told are not known to be published, and giving them again, as they are, is safe.
        """
        waiting: deque[Item] = deque()
        room = asyncio.Semaphore(IN_FLIGHT_MAX)
        call = self._stub.PublishStream(timeout=timeout, metadata=self._calls.metadata)
        failures: list[BaseException] = []

        async def write() -> None:
            try:
                async for item in items:
                    waiting.append(item)
                    await room.acquire()
                    await call.write(pb.PublishStreamRequest(sequence=len(waiting), item=item.write()))
                await call.done_writing()
            except AioRpcError:
                pass  # The reader sees it as well.
            except BaseException as error:
                failures.append(error)
                call.cancel()
                raise

        writing = asyncio.get_running_loop().create_task(write())
        try:
            async for answer in call:
                room.release()
                yield waiting.popleft(), _fate(answer.result)
        except AioRpcError as failure:
            raise error_of(failure) from failure
        except asyncio.CancelledError:
            if failures and not isinstance(failures[0], asyncio.CancelledError):
                raise failures[0] from None
            raise
        finally:
            call.cancel()
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)


def _position(written: types_pb2.Position) -> Position:
    return Position(written.epoch, written.offset)


def _fate(result: pb.PublishResult) -> Published | Failed:
    if result.HasField("published"):
        return Published(_position(result.published.position), result.published.duplicate)
    error = result.error
    return Failed(SwitchboardError(error.code or "internal", error.message, retryable=error.retryable))
