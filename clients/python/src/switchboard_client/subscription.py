"""A subscription as the application holds it. It outlives connections."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Protocol

from .errors import SwitchboardError
from .frames import Gap, HistoryPage, Join, Leave, Message, Policy, Position, PresencePage, Subscribed
from .machine.place import Place, SubscriptionState

Event = Message | Gap | Join | Leave
"""What a subscription tells its reader."""


class SubscriptionHost(Protocol):
    """What a subscription needs of its client."""

    def leave(self, subscription: Subscription) -> None: ...

    async def publish(
        self, channel: str, data: Any, *, id: str | None = None, timeout: float = 10.0
    ) -> Position | None: ...

    async def presence(
        self, channel: str, *, limit: int | None = None, page: str | None = None, timeout: float = 10.0
    ) -> PresencePage: ...

    async def history(
        self,
        channel: str,
        *,
        position: Position | None = None,
        limit: int | None = None,
        reverse: bool = False,
        timeout: float = 10.0,
    ) -> HistoryPage: ...

    async def ack(self, channel: str, offset: int, *, timeout: float = 10.0) -> None: ...


class Subscription:
    """One channel. ``async for event in subscription`` reads its messages, gaps, joins and leaves in their order.

    Events wait for their reader from the moment the subscription is made. Where more than ``inbox_max`` of them wait, the oldest
    are dropped and a gap with the reason ``slow_consumer`` is told in their place. An event goes to one reader.
    """

    def __init__(self, host: SubscriptionHost, place: Place, inbox_max: int) -> None:
        self._host = host
        self._place = place
        self._inbox: deque[tuple[Event, Position | None]] = deque()
        self._inbox_max = inbox_max
        self._read: Position | None = place.position
        self._dropped: Position | None = None
        self._began: Subscribed | None = None
        self._error: SwitchboardError | None = None
        self._changed = asyncio.Event()

    @property
    def channel(self) -> str:
        return self._place.channel

    @property
    def state(self) -> SubscriptionState:
        """``subscribing`` until the hub has it, and again after each loss of the connection."""
        return self._place.state

    @property
    def policy(self) -> Policy:
        """What the channel offers."""
        return self._place.policy

    @property
    def position(self) -> Position | None:
        """The place of the last event that was read here. Keep it to begin there at another time."""
        return self._read

    async def ready(self, *, timeout: float = 10.0) -> Subscribed:
        """Waits until the hub has it. Raises ``SwitchboardError`` when it is refused, or not there in time."""
        try:
            async with asyncio.timeout(timeout):
                while self.state != "subscribed" or self._began is None:
                    self._raise_if_ended()
                    await self._changed.wait()
        except TimeoutError:
            message = f"{self.channel} is not subscribed after {timeout:g} s"
            raise SwitchboardError("timeout", message, retryable=True) from None
        return self._began

    def unsubscribe(self) -> None:
        """Ends it: what waits can still be read, then iterations end."""
        self._host.leave(self)

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        """The next event. Raises ``SwitchboardError`` where the subscription failed. Cancel safe."""
        while not self._inbox:
            if self.state == "unsubscribed":
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            await self._changed.wait()
        if self._dropped is not None:
            gap, self._dropped = Gap(self.channel, self._dropped, "slow_consumer"), None
            self._read = gap.position
            return gap
        event, position = self._inbox.popleft()
        if position is not None:
            self._read = position
        return event

    async def messages(self) -> AsyncGenerator[Message, None]:
        """Messages alone. Gaps are told by reading the subscription itself."""
        async for event in self:
            if isinstance(event, Message):
                yield event

    async def publish(self, data: Any, *, id: str | None = None, timeout: float = 10.0) -> Position | None:
        """As ``Client.publish``, to this channel."""
        return await self._host.publish(self.channel, data, id=id, timeout=timeout)

    async def presence(
        self, *, limit: int | None = None, page: str | None = None, timeout: float = 10.0
    ) -> PresencePage:
        """As ``Client.presence``, of this channel."""
        return await self._host.presence(self.channel, limit=limit, page=page, timeout=timeout)

    async def history(
        self,
        *,
        position: Position | None = None,
        limit: int | None = None,
        reverse: bool = False,
        timeout: float = 10.0,
    ) -> HistoryPage:
        """As ``Client.history``, of this channel."""
        return await self._host.history(self.channel, position=position, limit=limit, reverse=reverse, timeout=timeout)

    async def ack(self, upto: Message | Gap | int, *, timeout: float = 10.0) -> None:
        """In a durable channel: everything up to here is done. Returns when the hub keeps it.

        The newest covers all before it, so acknowledge as seldom as you like. A lost connection repeats it.
        """
        match upto:
            case Message(offset=offset):
                pass
            case Gap(position=position):
                offset = position.offset
            case int(offset):
                pass
        await self._host.ack(self.channel, offset, timeout=timeout)

    # What follows is the client's.

    def take(self, event: Event) -> None:
        """Takes in a frame of its channel."""
        place = self._place
        match event:
            case Message():
                judgement = place.message(event)
                if judgement.gap is not None:
                    self._put(judgement.gap, judgement.gap.position)
                if judgement.deliver:
                    self._put(event, place.position if event.offset else None)
            case Gap():
                if place.gap(event):
                    self._put(event, event.position)
            case _:
                self._put(event, None)

    def begin(self, result: Subscribed) -> None:
        """The session has it."""
        if self._place.begin(result):
            self._began = result
            if self._read is None:
                self._read = self._place.position
            self.tell()

    def fail(self, error: SwitchboardError | None) -> None:
        """It ends; with the reason, where it was not this client's wish."""
        if self.state != "unsubscribed":
            self._error = error
            self._place.end()
            self.tell()

    def tell(self) -> None:
        """Wakes who waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _put(self, event: Event, position: Position | None) -> None:
        if len(self._inbox) >= self._inbox_max:
            _, dropped = self._inbox.popleft()
            self._dropped = dropped or self._dropped or self._read or Position("", 0)
        self._inbox.append((event, position))
        self.tell()

    def _raise_if_ended(self) -> None:
        if self.state == "unsubscribed":
            raise self._error or SwitchboardError("closed", f"{self.channel} was unsubscribed")
