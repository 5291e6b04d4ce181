"""Proxies that bar, kill, stall and buffer: which transport the client ends up on, and that nothing is lost on the way."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from typing import Any

import pytest

from switchboard_client import Client, ClientEvent, Gap, Message, Opened, Stopped, Subscription, Timing, TransportName

from .stage import Control, until

TIMING = Timing(
    backoff_base=0.02, backoff_cap=0.2, open=0.7, heartbeat=1, silence=2.5, proven=0.5, step_up=0.4, step_up_max=60
)
PATIENT = Timing(
    backoff_base=0.02, backoff_cap=0.2, open=0.7, heartbeat=1, silence=2.5, proven=0.5, step_up=60, step_up_max=60
)


@dataclass
class Seen:
    """A client behind a proxy of its own, and what it saw."""

    channel: str
    proxy: str
    client: Client
    messages: list[int] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)

    async def read(self, subscription: Subscription) -> None:
        async for event in subscription:
            match event:
                case Message():
                    self.messages.append(event.data["n"])
                case Gap():
                    self.gaps.append(event.reason)

    async def end(self, reading: asyncio.Task[None]) -> None:
        await self.client.close()
        await reading


async def opened(control: Control, modes: dict[str, Any], **options: Any) -> tuple[Seen, asyncio.Task[None]]:
    user = f"fallback-{secrets.token_hex(6)}"
    proxy, url = await control.add_proxy(**modes)
    client = Client(url, token=await control.token(user=user), **{"timing": TIMING, **options})
    seen = Seen(f"chat:{user}", proxy, client)
    subscription = client.subscribe(seen.channel)
    reading = asyncio.create_task(seen.read(subscription))
    await subscription.ready(timeout=15)
    return seen, reading


async def settles(control: Control, modes: dict[str, Any], wanted: TransportName) -> None:
    seen, reading = await opened(control, modes, timing=PATIENT)
    await until(wanted, lambda: seen.client.transport == wanted and seen.client.state == "connected")
    await control.post("/publish", {"channel": seen.channel, "count": 5})
    await until("five messages", lambda: len(seen.messages) == 5)
    assert (seen.messages, seen.gaps) == ([0, 1, 2, 3, 4], [])
    await seen.end(reading)


async def test_where_nothing_is_wrong_the_websocket_stays(control: Control) -> None:
    await settles(control, {}, "websocket")


@pytest.mark.parametrize("mode", ["kill", "stall", "refuse", "strip", "hang"])
async def test_a_websocket_that_is_barred_gives_way(control: Control, mode: str) -> None:
    await settles(control, {"ws": mode, "kill_after_ms": 5}, "sse")


async def test_a_websocket_that_dies_young_again_and_again_gives_way(control: Control) -> None:
    await settles(control, {"ws": "kill", "kill_after_ms": 150}, "sse")


async def test_it_steps_up_once_the_websocket_passes_and_loses_nothing_on_the_way(control: Control) -> None:
    moves: list[TransportName] = []

    def hear(event: ClientEvent) -> None:
        if isinstance(event, Opened) and event.moved:
            moves.append(event.transport)

    seen, reading = await opened(control, {"ws": "refuse"}, on_event=hear)
    assert seen.client.transport == "sse"
    await control.post(f"/proxies/{seen.proxy}", {"ws": "pass"})
    published = 0
    while not moves and published < 3000:
        await control.post("/publish", {"channel": seen.channel, "from": published})
        published += 1
    await control.post("/publish", {"channel": seen.channel, "count": 5, "from": published})
    await until("all messages", lambda: len(seen.messages) == published + 5)
    assert seen.messages == list(range(published + 5))
    assert (moves, seen.client.transport, seen.gaps) == (["websocket"], "websocket", [])
    await seen.end(reading)


@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_a_half_open_connection_is_noticed_and_what_it_swallowed_is_recovered(
    control: Control, transport: TransportName
) -> None:
    seen, reading = await opened(control, {}, transports=[transport])
    await control.post(f"/proxies/{seen.proxy}/half-open")
    await control.post("/publish", {"channel": seen.channel, "count": 4})
    await until("four messages", lambda: len(seen.messages) == 4)
    assert (seen.messages, seen.gaps) == ([0, 1, 2, 3], [])
    await seen.end(reading)


async def test_a_refused_token_is_no_reason_to_change_the_transport_and_without_another_the_client_stops(
    control: Control,
) -> None:
    proxy, url = await control.add_proxy()
    events: asyncio.Queue[ClientEvent] = asyncio.Queue()
    async with Client(url, token=await control.token(user="late", ttl_s=-5), on_event=events.put_nowait):
        async with asyncio.timeout(15):
            while not isinstance(event := await events.get(), Stopped):
                pass
        assert event.error.code == "token_failed"
    assert (await control.get(f"/proxies/{proxy}"))["requests"] == {"ws": 1}
