"""Inboxes and requests, without a hub."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from switchboard_client import Gap, Join, Member, Message, Position, Subscribed, SwitchboardError, Timing
from switchboard_client.codec import Command
from switchboard_client.frames import Policy, Reply, WireError
from switchboard_client.machine.place import Place
from switchboard_client.requests import PendingRequests
from switchboard_client.subscription import Subscription, SubscriptionHost
from switchboard_client.timing import PENDING_MAX


def subscription(inbox_max: int = 3) -> Subscription:
    made = Subscription(cast("SubscriptionHost", None), Place("a"), inbox_max)
    made.begin(Subscribed("a", Position("e", 0), False, Policy()))
    return made


async def test_what_came_before_its_reader_waits_and_what_was_read_moves_the_position() -> None:
    made = subscription()
    made.take(Message("a", 1, "one"))
    made.take(Join("a", Member("s")))
    made.take(Message("a", 2, "two"))
    assert made.position == Position("e", 0)
    assert await anext(made) == Message("a", 1, "one")
    assert made.position == Position("e", 1)
    assert await anext(made) == Join("a", Member("s"))
    assert await anext(made) == Message("a", 2, "two")


async def test_a_reader_that_is_too_slow_is_told_a_gap_in_the_place_of_what_was_dropped() -> None:
    made = subscription(inbox_max=3)
    for offset in range(1, 8):
        made.take(Message("a", offset, offset))
    assert await anext(made) == Gap("a", Position("e", 4), "slow_consumer")
    assert [(await anext(made)) for _ in range(3)] == [Message("a", offset, offset) for offset in (5, 6, 7)]
    made.take(Message("a", 8, 8))
    assert await anext(made) == Message("a", 8, 8)


async def test_a_reader_wakes_for_an_event_and_for_the_end() -> None:
    made = subscription()
    reading = asyncio.create_task(anext(made))
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait({reading})
    made.take(Message("a", 1, 1))
    assert await anext(made) == Message("a", 1, 1), "a reader that was cancelled took nothing"
    rest = asyncio.create_task(anext(made))
    await asyncio.sleep(0)
    made.fail(SwitchboardError("closed", "enough"))
    with pytest.raises(SwitchboardError, match="enough"):
        await rest
    other = subscription()
    other.take(Message("a", 1, 1))
    other.fail(None)
    assert [event async for event in other.messages()] == [Message("a", 1, 1)]
    with pytest.raises(SwitchboardError, match="unsubscribed"):
        await other.ready()


class Wire:
    """Where requests are sent."""

    def __init__(self) -> None:
        self.sent: list[Command] = []
        self.is_open = False
        self.last_id = 0
        self.requests = PendingRequests(self.next_id, self.send, Timing(backoff_base=0.001, backoff_cap=0.001))

    def next_id(self) -> int:
        self.last_id += 1
        return self.last_id

    def send(self, command: Command) -> bool:
        if self.is_open:
            self.sent.append(command)
        return self.is_open

    def ask(self, verb: str = "ping", *, safe: bool = True, timeout: float = 5.0) -> asyncio.Task[Any]:
        return asyncio.create_task(self.requests.ask(verb, {}, safe=safe, timeout=timeout))


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_is_asked_before_there_is_a_session_waits_and_is_repeated_after_a_loss() -> None:
    wire = Wire()
    first, second = wire.ask(), wire.ask()
    await settle()
    assert wire.sent == []
    wire.is_open = True
    wire.requests.opened()
    wire.requests.lost()
    wire.requests.opened()
    assert [command["id"] for command in wire.sent] == [1, 2, 1, 2]
    assert wire.requests.answer(Reply(2, "ping", {"time": 2}))
    assert wire.requests.answer(Reply(1, "ping", {"time": 1}))
    assert (await first, await second) == ({"time": 1}, {"time": 2})
    assert wire.requests.answer(Reply(1, "ping", {})) is False


async def test_what_is_not_safe_fails_with_the_connection_and_what_may_succeed_later_is_repeated() -> None:
    wire = Wire()
    wire.is_open = True
    call, publish = wire.ask("call", safe=False), wire.ask("publish")
    await settle()
    wire.requests.lost()
    with pytest.raises(SwitchboardError) as lost:
        await call
    assert (lost.value.code, lost.value.retryable) == ("unavailable", True)
    wire.requests.opened()
    wire.requests.answer(Reply(2, "error", {}, WireError("rate_limited", "slowly", retryable=True, retry_after=0.001)))
    async with asyncio.timeout(5):
        while len(wire.sent) < 4:
            await asyncio.sleep(0)
    wire.requests.answer(Reply(2, "error", {}, WireError("permission_denied", "no")))
    with pytest.raises(SwitchboardError, match="permission_denied: no"):
        await publish


async def test_deadlines_and_bounds_hold() -> None:
    wire = Wire()
    with pytest.raises(SwitchboardError, match="no reply within"):
        await wire.ask(timeout=0.001)
    with pytest.raises(TypeError):
        await wire.requests.ask("publish", {"data": object()}, safe=True, timeout=1)
    waiting = [wire.ask() for _ in range(PENDING_MAX)]
    await settle()
    with pytest.raises(SwitchboardError, match="overflow"):
        await wire.ask()
    wire.requests.fail(SwitchboardError("disconnected", "over"))
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert {getattr(outcome, "code", "") for outcome in outcomes} == {"disconnected"}
