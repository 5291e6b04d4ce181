"""The control API at a real hub: publishing and presence, with and without an event loop."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest
from grpc import StatusCode
from grpc.aio import server

from switchboard_client import Client, Message, Position, SwitchboardError
from switchboard_client.proto import publish_pb2 as pb
from switchboard_client.proto import publish_pb2_grpc, types_pb2
from switchboard_client.service import (
    Failed,
    Item,
    Published,
    Service,
    Snapshot,
    WatchedJoin,
    WatchedLeave,
    connect,
    connect_blocking,
)

from .stage import Control, Stage


def channel(namespace: str = "chat") -> str:
    return f"{namespace}:{secrets.token_hex(6)}"


@pytest.fixture
async def hub(stage: Stage) -> AsyncIterator[Service]:
    async with connect(stage.grpc, api_key=stage.api_key) as service:
        yield service


async def test_what_a_service_publishes_arrives(hub: Service, control: Control) -> None:
    name = channel()
    async with Client(control.stage.proxy, token=await control.token(user="ann")) as client:
        subscription = client.subscribe(name)
        await subscription.ready()
        first = await hub.publisher.publish(name, {"text": "hé"}, id="once", tags={"kind": "note"})
        again = await hub.publisher.publish(name, {"text": "hé"}, id="once")
        assert (first.duplicate, again.duplicate, again.position) == (False, True, first.position)
        await hub.publisher.publish(name, b"\x00\xff")
        messages = [await anext(subscription) for _ in range(2)]
        assert [message.data for message in messages if isinstance(message, Message)] == [{"text": "hé"}, b"\x00\xff"]
        assert isinstance(messages[0], Message)
        assert (messages[0].tags, messages[0].sender, messages[0].id) == ({"kind": "note"}, None, "once")


async def test_a_publish_may_depend_on_the_latest_position(hub: Service) -> None:
    name = channel()
    first = await hub.publisher.publish(name, 1)
    second = await hub.publisher.publish(name, 2, expected_position=first.position)
    assert second.position == Position(first.position.epoch, 2)
    with pytest.raises(SwitchboardError) as refused:
        await hub.publisher.publish(name, 3, expected_position=first.position)
    assert (refused.value.code, refused.value.retryable) == ("position_unavailable", False)


async def test_a_batch_and_a_stream_tell_the_fate_of_each_item(hub: Service) -> None:
    name = channel()
    fates = await hub.publisher.publish_batch([Item(name, 1), Item("nowhere:1", 2), Item(name, 3)])
    assert [fate.position.offset if isinstance(fate, Published) else fate.error.code for fate in fates] == [
        1,
        "unknown_namespace",
        2,
    ]

    async def items() -> AsyncIterator[Item]:
        for n in range(500):
            yield Item("nowhere:1" if n == 250 else name, n)

    told = [(item.data, fate) async for item, fate in hub.publisher.publish_stream(items())]
    assert [n for n, _ in told] == list(range(500))
    assert [n for n, fate in told if isinstance(fate, Failed)] == [250]
    offsets = [fate.position.offset for _, fate in told if isinstance(fate, Published)]
    assert offsets == list(range(3, 502))


async def test_a_stream_whose_items_fail_fails_with_their_error(hub: Service) -> None:
    async def items() -> AsyncIterator[Item]:
        yield Item(channel(), 1)
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        async for _ in hub.publisher.publish_stream(items()):
            pass


async def test_failures_are_the_hubs_by_their_code_and_end_at_the_deadline(stage: Stage, hub: Service) -> None:
    with pytest.raises(SwitchboardError) as unknown:
        await hub.publisher.publish("nowhere:1", 1)
    assert (unknown.value.code, unknown.value.retryable) == ("unknown_namespace", False)
    with pytest.raises(TypeError):
        await hub.publisher.publish(channel(), object())
    async with connect(stage.grpc, api_key="wrong") as stranger:
        with pytest.raises(SwitchboardError) as refused:
            await stranger.presence.lookup("ann")
        assert refused.value.code == "unauthenticated"
    # Port 9 takes no connections, so every attempt fails, and the last failure is told at the deadline.
    async with connect("127.0.0.1:9", api_key="any") as nowhere:
        with pytest.raises(SwitchboardError) as late:
            await nowhere.publisher.publish(channel(), 1, timeout=0.5)
        assert late.value.code in ("unavailable", "timeout")


class Flaky(publish_pb2_grpc.PublishServiceServicer):
    """Answers the first attempt with UNAVAILABLE, though it has published."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    async def Publish(self, request: pb.PublishRequest, context: Any) -> pb.PublishResponse:  # noqa: N802
        self.ids.append(request.item.id)
        if len(self.ids) == 1:
            await context.abort(StatusCode.UNAVAILABLE, "gone for a moment")
        return pb.PublishResponse(position=types_pb2.Position(epoch="e", offset=7), duplicate=True)


async def test_a_repeated_publish_carries_the_id_of_the_first() -> None:
    flaky, running = Flaky(), server()  # type: ignore[abstract]
    publish_pb2_grpc.add_PublishServiceServicer_to_server(flaky, running)
    port = running.add_insecure_port("127.0.0.1:0")
    await running.start()
    async with connect(f"127.0.0.1:{port}", api_key="any") as service:
        assert await service.publisher.publish("chat:1", 1) == Published(Position("e", 7), duplicate=True)
    await running.stop(None)
    assert len(flaky.ids) == 2
    assert flaky.ids[0] == flaky.ids[1] != ""


async def test_presence_is_listed_counted_looked_up_and_watched(hub: Service, control: Control) -> None:
    room, user = channel("room"), f"user-{secrets.token_hex(6)}"
    watch = hub.presence.watch(room)
    empty = await anext(watch)
    assert isinstance(empty, Snapshot)
    assert empty.members == ()
    token = await control.token(user=user, grants={"subscribe": ["*"], "info": {"name": "Ann"}})
    async with Client(control.stage.proxy, token=token) as client, Client(control.stage.proxy, token=token) as other:
        await client.subscribe(room).ready()
        joined = await anext(watch)
        assert isinstance(joined, WatchedJoin)
        assert (joined.member.user, joined.member.info) == (user, {"name": "Ann"})
        await other.subscribe(room).ready()
        members = [member async for member in hub.presence.members(room, page_size=1)]
        assert [member.user for member in members] == [user, user]
        page = await hub.presence.page(room, size=1)
        assert (page.count, page.users, len(page.members)) == (2, 1, 1)
        counts = await hub.presence.count([room, channel("room")])
        assert [(count.members, count.users) for count in counts] == [(2, 1), (0, 0)]
        online = await hub.presence.lookup(user)
        assert online.online
        assert {session.transport for session in online.sessions} == {"websocket"}
        assert {session.channels for session in online.sessions} == {(room,)}
    changes = [await anext(watch) for _ in range(3)]
    assert [type(change) for change in changes] == [WatchedJoin, WatchedLeave, WatchedLeave]
    assert not (await hub.presence.lookup(user)).online
    await watch.aclose()
    # Resumed where nothing was missed it sends only what comes; resumed earlier it begins with a new snapshot.
    resumed = hub.presence.watch(room, resume=changes[-1].position)
    resuming = asyncio.create_task(anext(resumed))
    earlier = hub.presence.watch(room, resume=joined.position)
    assert isinstance(await anext(earlier), Snapshot)
    async with Client(control.stage.proxy, token=token) as client:
        await client.subscribe(room).ready()
        change = await resuming
        assert isinstance(change, WatchedJoin)
        assert change.position.sequence == changes[-1].position.sequence + 1
    await resumed.aclose()
    await earlier.aclose()


def test_the_same_without_an_event_loop(stage: Stage) -> None:
    room, name = channel("room"), channel()
    with connect_blocking(stage.grpc, api_key=stage.api_key) as hub:
        first = hub.publisher.publish(name, {"text": "hi"}, id="once")
        assert hub.publisher.publish(name, {"text": "hi"}, id="once").position == first.position
        fates = hub.publisher.publish_batch([Item(name, 2), Item("nowhere:1", 3)])
        assert [type(fate) for fate in fates] == [Published, Failed]
        assert list(hub.presence.members(room)) == []
        assert hub.presence.page(room).count == 0
        assert [count.members for count in hub.presence.count([room])] == [0]
        assert not hub.presence.lookup("nobody").online
        watch = hub.presence.watch(room)
        assert isinstance(next(watch), Snapshot)
        with pytest.raises(SwitchboardError, match="unknown_namespace"):
            hub.publisher.publish("nowhere:1", 1)
