"""FAULT_RUNS runs of faults at random, many at a time. FAULT_SEED plays the same again; a failure prints the seed of its run."""

from __future__ import annotations

import asyncio
import os
import random
import re
import time
from dataclasses import dataclass, field
from typing import Any

from switchboard_client import (
    Client,
    ClientEvent,
    Gap,
    Message,
    Opened,
    StateChanged,
    Stopped,
    Subscription,
    Timing,
    TransportName,
)

from .stage import Control, until

RUNS = int(os.environ.get("FAULT_RUNS", "200"))
SEED = int(os.environ.get("FAULT_SEED", time.time_ns() % 1_000_000_000))
AT_A_TIME = int(os.environ.get("FAULT_AT_A_TIME", "40"))
SETTLE = 20.0

WAYS: list[list[TransportName]] = [["websocket"], ["sse"], ["websocket", "sse"], ["websocket", "sse"]]

# What may go wrong, each as a change of modes; modes of `commands` are harmless to a WebSocket, and so on.
MODES: list[dict[str, Any]] = [
    {"ws": "kill", "kill_after_ms": 30},
    {"ws": "stall"},
    {"ws": "refuse"},
    {"ws": "strip"},
    {"ws": "hang"},
    {"sse": "kill", "kill_after_ms": 60},
    {"sse": "buffer"},
    {"sse": "refuse"},
    {"commands": "lose"},
    {"commands": "drop"},
    {"commands": "refuse"},
    {"delay_ms": 40},
    {"delay_ms": 150},
    {"answer": "close"},
    {"answer": 503},
    {"answer": 502},
]
CALM = {"ws": "pass", "sse": "pass", "commands": "pass", "delay_ms": 0, "answer": "pass", "kill_after_ms": 0}

TIMING = Timing(
    backoff_base=0.02,
    backoff_cap=0.25,
    open=1.5,
    heartbeat=1,
    silence=2.5,
    request=1,
    proven=0.4,
    step_up=0.5,
    step_up_max=3,
)


@dataclass
class Outcome:
    """How a run went."""

    seed: int
    began: float = field(default_factory=time.monotonic)
    failure: str = ""
    sessions: int = 0
    faults: int = 0
    seen: list[tuple[int, dict[str, int]]] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    def note(self, what: str) -> None:
        self.log.append(f"{(time.monotonic() - self.began) * 1000:.0f} {what}")

    def hear(self, event: ClientEvent) -> None:
        match event:
            case Opened():
                self.sessions += 1
                self.note(f"open {event.transport}{' (moved)' if event.moved else ''}")
            case StateChanged():
                self.note(f"{event.state} {event.message}")
            case Stopped():
                self.note(f"stopped {event.error}")

    async def read(self, subscription: Subscription) -> None:
        async for event in subscription:
            match event:
                case Message():
                    self.seen.append((event.offset, event.data))
                    self.note(f"message {event.offset}")
                case Gap():
                    self.gaps.append(event.reason)


def judge(seen: list[tuple[int, dict[str, int]]], gaps: list[str], service: int, own: int) -> str:
    """What is wrong with what was seen; nothing when all is well."""
    if gaps:
        return f"gaps where history reaches: {gaps}"
    if len(seen) != service + own:
        return f"{len(seen)} of {service + own} messages came"
    for index, (offset, _) in enumerate(seen):
        if offset != index + 1:
            return f"offset {offset} came as number {index + 1}"
    numbers = [data["n"] for _, data in seen if "n" in data]
    if numbers != list(range(service)):
        return f"the service's came as {numbers}"
    mine = {data["mine"] for _, data in seen if "mine" in data}
    return "" if len(mine) == own else f"{len(mine)} of the client's own {own} came"


async def run(control: Control, seed: int) -> Outcome:
    """One client behind a proxy of its own that misbehaves at random, while a service and the client publish."""
    chance = random.Random(seed)
    outcome = Outcome(seed)
    channel = f"chat:fault-{seed}"
    transports = chance.choice(WAYS)
    outcome.note(f"transports {transports}")
    barred = {"ws": chance.choice(["kill", "stall", "refuse", "strip", "hang"])} if chance.random() < 0.3 else {}
    proxy, url = await control.add_proxy(**(barred if len(transports) > 1 else {}))
    token = await control.token(user=f"user-{seed}")
    async with Client(url, token=token, transports=transports, timing=TIMING, on_event=outcome.hear) as client:
        subscription = client.subscribe(channel)
        reading = asyncio.create_task(outcome.read(subscription))
        try:
            await subscription.ready(timeout=SETTLE)
            service, own = chance.randrange(15, 40), chance.randrange(0, 6)
            published: list[asyncio.Task[Any]] = []
            n = 0
            while n < service or len(published) < own:
                luck = chance.random()
                if luck < 0.35:
                    outcome.faults += 1
                    await fault(control, proxy, chance, outcome)
                elif luck < 0.5 and len(published) < own:
                    work = client.publish(channel, {"mine": len(published)}, timeout=SETTLE)
                    published.append(asyncio.create_task(work))
                elif n < service:
                    count = min(chance.randrange(1, 5), service - n)
                    await control.post("/publish", {"channel": channel, "count": count, "from": n})
                    n += count
                # Faults are to meet the client at some time, not between two frames.
                await asyncio.sleep(chance.random() * 0.12)
            await control.post(f"/proxies/{proxy}", CALM)
            outcome.note("calm")
            await asyncio.gather(*published)
            await until("all messages", lambda: len(outcome.seen) >= service + own, SETTLE)
            # What came twice would come before the answer to this.
            await client.ping(timeout=SETTLE)
            outcome.failure = judge(outcome.seen, outcome.gaps, service, own)
        except Exception as error:
            outcome.failure = f"{type(error).__name__}: {error}"
        finally:
            subscription.unsubscribe()
            await reading
    await control.delete(f"/proxies/{proxy}")
    return outcome


async def fault(control: Control, proxy: str, chance: random.Random, outcome: Outcome) -> None:
    what = chance.randrange(0, 6)
    if what < 2:
        outcome.note("cut")
        await control.post(f"/proxies/{proxy}/cut")
    elif what == 2:
        outcome.note("half-open")
        await control.post(f"/proxies/{proxy}/half-open")
    else:
        modes = CALM | chance.choice(MODES)
        outcome.note(str(modes))
        await control.post(f"/proxies/{proxy}", modes)


def test_the_judge_sees_losses_doubles_disorder_and_gaps() -> None:
    good = [(1, {"n": 0}), (2, {"mine": 0}), (3, {"n": 1})]
    assert judge(good, [], 2, 1) == ""
    for seen, gaps, told in (
        (good[1:], [], "2 of 3"),
        ([*good, good[2]], [], "4 of 3"),
        ([good[0], good[2], good[1]], [], "offset 3 came as number 2"),
        ([(1, {"n": 1}), (2, {"mine": 0}), (3, {"n": 0})], [], r"came as \[1, 0\]"),
        (good, ["trimmed"], "gaps"),
    ):
        assert re.search(told, judge(seen, gaps, 2, 1))


async def test_runs_lose_nothing_double_nothing_and_keep_the_order(control: Control) -> None:
    began = time.monotonic()
    places = asyncio.Semaphore(AT_A_TIME)

    async def one(seed: int) -> Outcome:
        async with places:
            return await run(control, seed)

    outcomes = await asyncio.gather(*(one(SEED + index) for index in range(RUNS)))
    failed = [outcome for outcome in outcomes if outcome.failure]
    for outcome in failed:
        print(f"FAULT_SEED={outcome.seed} FAULT_RUNS=1: {outcome.failure}; {'; '.join(outcome.log)}")
    print(
        f"seed {SEED}: {RUNS} runs in {time.monotonic() - began:.0f} s, {sum(o.faults for o in outcomes)} faults, "
        f"{sum(o.sessions for o in outcomes)} sessions, {sum(len(o.seen) for o in outcomes)} messages"
    )
    assert [outcome.seed for outcome in failed] == []
