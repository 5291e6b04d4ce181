"""What a client asks, over each transport, of a real hub."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Any

import httpx
import pytest

from switchboard_client import (
    Client,
    ClientEvent,
    Direct,
    Found,
    Gap,
    Join,
    Leave,
    Message,
    Opened,
    Position,
    StateChanged,
    SwitchboardError,
    Timing,
    TransportName,
)
from switchboard_client.frames import Expiring, Frame

from .stage import Control, until

SETTINGS = {
    "namespaces.inbox": {"durable": True, "history_count": 1000},
    # So late that a client that renews in time is not told.
    "limits.expiring_notice_s": 0.2,
}

EVERYTHING = {"subscribe": ["*"], "publish": ["*"], "presence": ["*"], "history": ["*"]}

DRAINS_MAX = 5

transports = pytest.mark.parametrize("transport", ["websocket", "sse"])


async def make(control: Control, transport: TransportName, user: str = "", url: str = "", **more: Any) -> Client:
    grants = more.pop("grants", EVERYTHING)
    token = await control.token(user=user or f"user-{secrets.token_hex(6)}", grants=grants)
    return Client(url or control.stage.proxy, token=token, transports=[transport], **more)


def channel(namespace: str) -> str:
    return f"{namespace}:{secrets.token_hex(6)}"


def numbers(publications: tuple[Message, ...]) -> list[int]:
    return [publication.data["n"] for publication in publications]


@transports
async def test_a_publish_waits_for_the_connection_and_comes_back_with_its_sender(
    control: Control, transport: TransportName
) -> None:
    async with await make(control, transport, "ann") as client:
        subscription = client.subscribe(channel("chat"))
        position = await subscription.publish({"text": "hé"}, id="once")
        assert await subscription.publish({"text": "hé"}, id="once") == position
        await subscription.ready()
        await subscription.publish(b"\x00\xff")
        event = await anext(subscription)
        # The first may have been published before the subscription began.
        if isinstance(event, Message) and event.offset == 1:
            assert (event.data, event.id) == ({"text": "hé"}, "once")
            assert event.sender is not None
            assert event.sender.user == "ann"
            event = await anext(subscription)
        assert isinstance(event, Message)
        assert (event.data, event.offset, event.binary) == (b"\x00\xff", 2, True)
        assert (await subscription.history()).publications[1].data == b"\x00\xff"
        assert position == Position(event_epoch(subscription.position), 1)


def event_epoch(position: Position | None) -> str:
    assert position is not None
    return position.epoch


@transports
async def test_members_are_listed_and_come_and_go(control: Control, transport: TransportName) -> None:
    room = channel("room")
    async with (
        await make(control, transport, "ann", grants={**EVERYTHING, "info": {"name": "Ann"}}) as ann,
        await make(control, transport, "bob") as bob,
    ):
        subscription = ann.subscribe(room)
        await subscription.ready()
        theirs = bob.subscribe(room)
        await theirs.ready()
        joined = [await anext(subscription)]
        if isinstance(joined[0], Join) and joined[0].member.user == "ann":
            joined.append(await anext(subscription))
        assert isinstance(joined[-1], Join)
        assert joined[-1].member.user == "bob"
        page = await subscription.presence()
        assert {member.user: member.info for member in page.members} == {"ann": {"name": "Ann"}, "bob": None}
        assert (page.count, page.users) == (2, 2)
        first = await ann.presence(room, limit=1)
        second = await ann.presence(room, limit=1, page=first.next_page)
        assert {first.members[0].user, second.members[0].user} == {"ann", "bob"}
        assert (await ann.presence(room, limit=0)).members == ()
        theirs.unsubscribe()
        left = await anext(subscription)
        assert isinstance(left, Leave)
        assert left.member.user == "bob"
        assert [event async for event in theirs.messages()] == []


@transports
async def test_history_is_read_forwards_backwards_and_from_a_position(
    control: Control, transport: TransportName
) -> None:
    past = channel("chat")
    first = Position.read((await control.post("/publish", {"channel": past, "count": 5}))["first"])
    async with await make(control, transport) as client:
        assert numbers((await client.history(past, limit=2)).publications) == [0, 1]
        assert numbers((await client.history(past, reverse=True, limit=2)).publications) == [4, 3]
        assert numbers((await client.history(past, position=first)).publications) == [1, 2, 3, 4]
        assert (await client.history(past, limit=0)).position.offset == 5
        assert await client.ping() > 1_600_000_000_000


@transports
async def test_errors_are_the_hubs_by_their_code(control: Control, transport: TransportName) -> None:
    async with await make(control, transport) as client:
        for work, code in (
            (client.publish("nowhere:1", 1), "unknown_namespace"),
            (client.call("quote", {"symbol": "X"}, timeout=5), "no_service"),
            (client.publish("chat:1", "x" * 100_000), "payload_too_large"),
            (client.subscribe("chat:*").ready(), "bad_request"),
            (client.ack(channel("inbox"), 3), "not_subscribed"),
        ):
            with pytest.raises(SwitchboardError) as refused:
                await work
            assert refused.value.code == code
        assert client.state == "connected"


@transports
async def test_services_send_subscribe_and_unsubscribe_by_their_own_hand(
    control: Control, transport: TransportName
) -> None:
    user = f"user-{secrets.token_hex(6)}"
    events: asyncio.Queue[ClientEvent] = asyncio.Queue()

    async def of_kind(kind: type[ClientEvent]) -> Any:
        while not isinstance(event := await events.get(), kind):
            pass
        return event

    async with await make(control, transport, user, on_event=events.put_nowait) as client:
        await client.ready()
        await control.post("/send", {"user": user, "data": {"note": 1}})
        assert (await of_kind(Direct)).message.data == {"note": 1}
        await control.post("/subscribe", {"user": user, "channel": f"chat:{user}"})
        subscription = (await of_kind(Found)).subscription
        assert subscription is client.subscriptions[f"chat:{user}"]
        await subscription.ready()
        await control.post("/unsubscribe", {"user": user, "channel": f"chat:{user}", "reason": "enough"})
        with pytest.raises(SwitchboardError, match="enough"):
            await anext(subscription)
        assert subscription.state == "unsubscribed"


@transports
async def test_what_is_not_acknowledged_comes_again_and_what_is_does_not(
    control: Control, transport: TransportName
) -> None:
    inbox, user = channel("inbox"), f"user-{secrets.token_hex(6)}"
    async with await make(control, transport, user) as client:
        assert (await client.subscribe(inbox).ready()).policy.durable
    await control.post("/publish", {"channel": inbox, "count": 3})
    async with await make(control, transport, user) as client:
        subscription = client.subscribe(inbox)
        assert [(await anext(subscription.messages())).data["n"] for _ in range(3)] == [0, 1, 2]
        await subscription.ack(2)
        with pytest.raises(SwitchboardError, match="never sent"):
            await subscription.ack(9)
    async with await make(control, transport, user) as client:
        [last] = [await anext(client.subscribe(inbox).messages())]
        assert last.data == {"n": 2}
        await client.subscriptions[inbox].ack(last)
    async with await make(control, transport, user) as client:
        subscription = client.subscribe(inbox)
        assert (await subscription.ready()).recovered
        await control.post("/publish", {"channel": inbox, "from": 3})
        assert (await anext(subscription.messages())).data == {"n": 3}


@transports
async def test_an_ack_whose_answer_is_lost_is_repeated_in_the_next_session(
    control: Control, transport: TransportName
) -> None:
    inbox, user = channel("inbox"), f"user-{secrets.token_hex(6)}"
    proxy, url = await control.add_proxy()
    timing = Timing(backoff_base=0.02, backoff_cap=0.1, request=1)
    async with await make(control, transport, user, url, timing=timing) as client:
        subscription = client.subscribe(inbox)
        await subscription.ready()
        await control.post("/publish", {"channel": inbox, "count": 2})
        message = [await anext(subscription.messages()) for _ in range(2)][1]
        # What is sent from now on is swallowed, and nothing can be reached.
        await control.post(f"/proxies/{proxy}", {"answer": "close", "commands": "drop"})
        await control.post(f"/proxies/{proxy}/half-open")
        acking = asyncio.create_task(subscription.ack(message, timeout=20))
        await asyncio.sleep(0)
        await control.post(f"/proxies/{proxy}/cut")
        await until("the loss", lambda: client.state == "connecting")
        await control.post(f"/proxies/{proxy}", {"answer": "pass", "commands": "pass"})
        await acking
    async with await make(control, transport, user) as client:
        subscription = client.subscribe(inbox)
        await subscription.ready()
        await control.post("/publish", {"channel": inbox, "from": 2})
        assert (await anext(subscription.messages())).data == {"n": 2}


@transports
async def test_a_call_that_the_connection_outlives_not_is_told_as_unavailable_and_never_repeated(
    control: Control, transport: TransportName
) -> None:
    proxy, url = await control.add_proxy()
    async with await make(control, transport, url=url, timing=Timing(backoff_base=0.02, backoff_cap=0.1)) as client:
        await client.ready()
        await control.post(f"/proxies/{proxy}/half-open")
        calling = asyncio.create_task(client.call("quote", timeout=20))
        await asyncio.sleep(0)
        await control.post(f"/proxies/{proxy}", {"commands": "drop"})
        await control.post(f"/proxies/{proxy}/cut")
        with pytest.raises(SwitchboardError) as lost:
            await calling
        assert lost.value.code in ("unavailable", "no_service")


@transports
async def test_after_a_disconnect_a_later_connect_goes_on_where_it_was(
    control: Control, transport: TransportName
) -> None:
    again = channel("chat")
    async with await make(control, transport) as client:
        subscription = client.subscribe(again)
        await subscription.ready()
        await client.disconnect()
        assert client.state == "disconnected"
        with pytest.raises(SwitchboardError) as late:
            await client.publish(again, 1, timeout=0.05)
        assert late.value.code == "timeout"
        await control.post("/publish", {"channel": again, "count": 3})
        client.connect()
        assert [(await anext(subscription.messages())).data["n"] for _ in range(3)] == [0, 1, 2]


@transports
async def test_a_position_that_was_kept_begins_there_in_another_visit(
    control: Control, transport: TransportName
) -> None:
    kept = channel("chat")
    await control.post("/publish", {"channel": kept, "count": 4})
    async with await make(control, transport) as client:
        subscription = client.subscribe(kept, rewind=3)
        assert (await anext(subscription.messages())).data == {"n": 1}
        position = subscription.position
        assert position is not None
        assert position.offset == 2, "what was received and not read does not count"
    async with await make(control, transport) as client:
        subscription = client.subscribe(kept, position=position)
        assert (await subscription.ready()).recovered
        assert (await anext(subscription.messages())).data == {"n": 2}
    async with await make(control, transport) as client:
        lost = await anext(client.subscribe(kept, position=Position("1", 2)))
        assert isinstance(lost, Gap)
        assert lost.reason == "epoch_changed"


@transports
async def test_a_burst_larger_than_the_inbox_is_read_whole_by_a_reader_that_keeps_up(
    control: Control, transport: TransportName
) -> None:
    many = channel("chat")
    first = Position.read((await control.post("/publish", {"channel": many, "count": 3001}))["first"])
    async with await make(control, transport) as client:
        subscription = client.subscribe(many, position=first)
        async with asyncio.timeout(20):
            seen = [(await anext(subscription)) for _ in range(3000)]
        assert [event.data["n"] for event in seen if isinstance(event, Message)] == list(range(1, 3001))


@transports
async def test_nothing_is_left_running_after_a_close(
    control: Control, transport: TransportName, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[httpx.AsyncClient] = []
    close = httpx.AsyncClient.aclose

    async def closing(self: httpx.AsyncClient) -> None:
        closed.append(self)
        await close(self)

    monkeypatch.setattr(httpx.AsyncClient, "aclose", closing)
    before = asyncio.all_tasks()
    proxy, url = await control.add_proxy()
    client = await make(control, transport, url=url)
    reading = asyncio.create_task(anext(client.subscribe(channel("chat")).messages()))
    await client.ready()
    await client.close()
    with pytest.raises(StopAsyncIteration):
        await reading
    assert asyncio.all_tasks() == before
    assert len(closed) == 1

    async def nothing_open() -> bool:
        return not (await control.get(f"/proxies/{proxy}"))["open"]

    await until("the end of all connections", nothing_open)


async def test_a_client_that_waits_for_a_better_transport_leaves_nothing(control: Control) -> None:
    before = asyncio.all_tasks()
    _, url = await control.add_proxy(ws="refuse")
    async with Client(url, token=await control.token(user="ann")) as client:
        await client.ready()
        assert client.transport == "sse"
    assert asyncio.all_tasks() == before


class Listening(Client):
    """Notes that the hub had to say that the token ends."""

    was_told = False

    def took(self, frame: Frame) -> None:
        self.was_told = self.was_told or isinstance(frame, Expiring)
        super().took(frame)


@transports
async def test_a_token_is_renewed_before_the_hub_has_to_say_so(control: Control, transport: TransportName) -> None:
    reasons: list[str] = []

    async def get_token(reason: str) -> str:
        reasons.append(reason)
        return await control.token(user="ann", ttl_s=2 if len(reasons) == 1 else 3600)

    async with Listening(control.stage.proxy, get_token=get_token, transports=[transport]) as client:
        first = await client.ready()
        await until("the renewal", lambda: len(reasons) == 2)
        # The session goes on after the end of the token that it began with.
        await until("its end", lambda: time.time() * 1000 > first.expires_at)
        await client.ping()
        assert client.session is first
        assert reasons == ["connect", "expiring"]
        assert not client.was_told


@transports
async def test_a_client_that_is_closed_while_it_connects_leaves_nothing(
    control: Control, transport: TransportName
) -> None:
    before = asyncio.all_tasks()
    _, url = await control.add_proxy(ws="stall", sse="buffer")
    client = await make(control, transport, url=url)
    client.subscribe(channel("chat"))
    await asyncio.sleep(0)
    await client.close()
    assert asyncio.all_tasks() == before
    assert client.state == "disconnected"


@transports
async def test_a_node_that_drains_is_left_without_a_break(control: Control, transport: TransportName) -> None:
    # A node closes when its time is up: a machine that is busy may be late once, and is not every time.
    told: list[str] = []
    for _ in range(DRAINS_MAX):
        told = await told_of_a_drain(control, transport)
        if told == ["connecting", "connected", "moved False", "moved True", "disconnected"]:
            return
    pytest.fail(f"{told}")


async def told_of_a_drain(control: Control, transport: TransportName) -> list[str]:
    told: list[str] = []

    def hear(event: ClientEvent) -> None:
        match event:
            case StateChanged(state=state):
                told.append(state)
            case Opened(moved=moved):
                told.append(f"moved {moved}")

    drained = channel("chat")
    async with await make(control, transport, on_event=hear) as client:
        subscription = client.subscribe(drained)
        await subscription.ready()
        await control.post("/hub/drain", {"wait": True})
        # The nodes of the stage share no history.
        gap = await anext(subscription)
        assert isinstance(gap, Gap)
        assert gap.reason == "epoch_changed"
        await control.post("/publish", {"channel": drained})
        assert (await anext(subscription.messages())).data == {"n": 0}
    return told
