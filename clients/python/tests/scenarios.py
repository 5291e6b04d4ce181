"""Plays a scenario of `clients/fixtures/conformance.json` with this client."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

from switchboard_client import (
    Client,
    ClientEvent,
    Found,
    Gap,
    Message,
    Opened,
    StateChanged,
    Stopped,
    Subscription,
    SwitchboardError,
    Timing,
    TransportName,
)

from .stage import Control, until

PATIENCE = 25.0

Step = dict[str, Any]


class Player:
    """What a scenario has of its client, and what it has seen."""

    def __init__(self, control: Control, transport: TransportName, proxy: tuple[str, str]) -> None:
        self.control = control
        self.transport = transport
        self.proxy_id, self.proxy_url = proxy
        self.run = secrets.token_hex(6)
        self.user = f"user-{self.run}"
        self.client: Client | None = None
        self.log: list[str] = []
        self.messages: list[tuple[int, int]] = []
        self.read = 0
        self.gaps: list[str] = []
        self.gaps_read = 0
        self.sessions = 0
        self.tokens = 0
        self.published = 0
        self.stopped = ""
        self.failed = ""
        self.marks: dict[str, float] = {}
        self.tasks: list[asyncio.Task[None]] = []

    def fill(self, step: Step) -> Step:
        text = json.dumps(step).replace("$proxy", self.proxy_id).replace("$user", self.user)
        filled: Step = json.loads(text.replace(":$", f":{self.run}"))
        return filled

    def spawn(self, work: Awaitable[None]) -> None:
        async def carry_out() -> None:
            await work

        self.tasks.append(asyncio.create_task(carry_out()))

    async def until(self, what: str, holds: Callable[[], bool] | Callable[[], Awaitable[bool]]) -> None:
        try:
            await until(what, holds, PATIENCE)
        except AssertionError as error:
            raise AssertionError(f"{error}; seen: {', '.join(self.log[-40:])}") from None

    def hear(self, event: ClientEvent) -> None:
        match event:
            case StateChanged(state=state, code=code):
                self.log.append(f"{state} {code}")
            case Opened():
                self.sessions += 1
                self.log.append("open")
            case Stopped(error=error):
                self.stopped = error.code
                self.log.append(f"stopped {error.code}")
            case Found(subscription=subscription):
                self.spawn(self.follow(subscription))

    async def follow(self, subscription: Subscription) -> None:
        try:
            async for event in subscription:
                match event:
                    case Message():
                        self.messages.append((event.data["n"], event.offset))
                        self.log.append(f"message {event.data['n']}")
                    case Gap():
                        self.gaps.append(event.reason)
                        self.log.append(f"gap {event.reason}")
        except SwitchboardError as error:
            self.failed = error.code
            self.log.append(f"failed {error.code}")

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        if self.client is not None:
            await self.client.close()


async def make_client(player: Player, body: dict[str, Any]) -> None:
    async def get_token(_: str) -> str:
        ttls = body.get("ttls_s", [])
        ttl = ttls[player.tokens] if player.tokens < len(ttls) else body.get("ttl_s")
        player.tokens += 1
        player.log.append("token")
        claims = {"user": player.user, "ttl_s": ttl, "grants": body.get("grants")}
        return await player.control.token(**{name: value for name, value in claims.items() if value is not None})

    player.client = Client(
        player.proxy_url,
        get_token=get_token,
        transports=[player.transport],
        timing=Timing(backoff_base=0.05, backoff_cap=0.5),
        on_event=player.hear,
    )
    player.client.connect()


def client_of(player: Player) -> Client:
    assert player.client is not None, "there is no client"
    return player.client


async def subscribe(player: Player, body: dict[str, Any]) -> None:
    subscription = client_of(player).subscribe(body["channel"], rewind=body.get("rewind"))
    player.spawn(player.follow(subscription))
    if "fails" in body:
        await player.until(f"refusal {body['fails']}", lambda: player.failed == body["fails"])
    else:
        await subscription.ready(timeout=PATIENCE)


async def publish_one(player: Player, channel: str, n: int) -> None:
    await client_of(player).publish(channel, {"n": n}, timeout=PATIENCE)
    player.published += 1


async def client_publishes(player: Player, body: dict[str, Any]) -> None:
    for n in range(body["count"]):
        player.spawn(publish_one(player, body["channel"], n))


async def mark(player: Player, name: str) -> None:
    player.marks[name] = time.monotonic()


async def wait(player: Player, body: dict[str, Any]) -> None:
    for what, wanted in body.items():
        await AWAITED[what](player, wanted)


async def holds(player: Player, body: dict[str, Any]) -> None:
    seen = {
        "gaps": len(player.gaps),
        "sessions": player.sessions,
        "tokens": player.tokens,
        "stopped": player.stopped,
    }
    for what, wanted in body.items():
        if what == "since":
            name, seconds = wanted
            passed = time.monotonic() - player.marks[name]
            assert passed >= seconds, f"only {passed} s have passed since {name}"
        else:
            assert seen[what] == wanted, f"{what} is {seen[what]}, not {wanted}; seen: {', '.join(player.log[-40:])}"
    unread = player.messages[player.read :]
    assert not unread, f"nobody awaited message {unread[0]}"


async def await_messages(player: Player, wanted: list[int]) -> None:
    numbers = list(range(*wanted))
    await player.until(f"messages {wanted}", lambda: len(player.messages) - player.read >= len(numbers))
    came = [n for n, _ in player.messages[player.read : player.read + len(numbers)]]
    assert came == numbers, f"{numbers} were to come, not {came}"
    player.read += len(numbers)


async def await_last_message(player: Player, n: int) -> None:
    await player.until(f"message {n}", lambda: bool(player.messages) and player.messages[-1][0] == n)
    offsets = [offset for _, offset in player.messages[max(0, player.read - 1) :]]
    assert offsets == sorted(set(offsets)), "offsets do not ascend"
    player.read = len(player.messages)


async def await_gap(player: Player, reason: str) -> None:
    await player.until(f"gap {reason}", lambda: len(player.gaps) > player.gaps_read)
    assert player.gaps[player.gaps_read] == reason
    player.gaps_read = len(player.gaps)


async def await_state(player: Player, state: str) -> None:
    await player.until(f"state {state}", lambda: client_of(player).state == state)


async def await_subscribed(player: Player, channel: str) -> None:
    def stands() -> bool:
        subscription = client_of(player).subscriptions.get(channel)
        return subscription is not None and subscription.state == "subscribed"

    await player.until(f"subscribed {channel}", stands)


async def await_refused(player: Player, count: int) -> None:
    async def refused() -> bool:
        told = await player.control.get(f"/proxies/{player.proxy_id}")
        # This client reads the answer to an upgrade, and need not ask again why.
        return bool(told["refused"] + told["refused_upgrades"] >= count)

    await player.until(f"{count} refused", refused)


async def await_tokens(player: Player, count: int) -> None:
    await player.until(f"{count} tokens", lambda: player.tokens >= count)


async def await_published(player: Player, count: int) -> None:
    await player.until(f"{count} published", lambda: player.published >= count)


async def post(player: Player, path: str, body: object) -> None:
    await player.control.post(path, body)


AWAITED: dict[str, Callable[[Player, Any], Awaitable[None]]] = {
    "messages": await_messages,
    "last_message": await_last_message,
    "gap": await_gap,
    "state": await_state,
    "subscribed": await_subscribed,
    "refused": await_refused,
    "tokens": await_tokens,
    "published": await_published,
}

STEPS: dict[str, Callable[[Player, Any], Awaitable[None]]] = {
    "client": make_client,
    "subscribe": subscribe,
    "publish": lambda player, body: post(player, "/publish", body),
    "control": lambda player, body: post(player, *body),
    "modes": lambda player, body: post(player, f"/proxies/{player.proxy_id}", body),
    "mark": mark,
    "client_publishes": client_publishes,
    "await": wait,
    "holds": holds,
}


async def play(scenario: dict[str, Any], control: Control, transport: TransportName) -> None:
    """Plays it; fails with what did not hold."""
    player = Player(control, transport, await control.add_proxy())
    try:
        for step in scenario["steps"]:
            for name, body in player.fill(step).items():
                await STEPS[name](player, body)
    finally:
        await player.end()
        await control.delete(f"/proxies/{player.proxy_id}")
