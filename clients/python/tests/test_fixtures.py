"""The golden frames that hub and clients of all languages read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from switchboard_client.codec import NO_FRAME, payload, read_message, write_command
from switchboard_client.frames import (
    Close,
    Draining,
    Frame,
    Gap,
    HistoryPage,
    Join,
    Member,
    Message,
    Open,
    Policy,
    Position,
    PresencePage,
    Reply,
    Sender,
    Subscribed,
    Unsubscribed,
    read_frame,
)
from switchboard_client.transport.event_stream import EventStreamParser

from .stage import CLIENTS


def text(name: str) -> str:
    return (CLIENTS / "fixtures" / name).read_text()


def lines(name: str) -> list[str]:
    return text(name).splitlines()


def frames() -> list[Frame]:
    read = [read_message(line) for line in lines("frames.jsonl")]
    known = [frame for frame in read if frame is not None]
    assert len(known) == len(read)
    return known


def test_every_golden_frame_is_read() -> None:
    read = frames()
    position = Position("1z141z3", 9)
    bytes_message = Message("chat:1", 5, b"\x00\x01\xff", binary=True, time=1700000000000)
    hi = Message(
        channel="chat:1",
        offset=4,
        data={"text": "hi"},
        id="once-1",
        sender=Sender("ann", "8f03aa12-1-2c-5"),
        time=1700000000000,
        tags={"kind": "note", 'a "b"': "c\\d"},
    )
    for frame in (
        Open("8f03aa12-1-2c-5", "ann", "8f03aa12", 1700000000000, 1700000060000, "k-1", 65536),
        hi,
        bytes_message,
        Message("chat:1", 0, b"\x00\x01\xff", binary=True, time=1700000000000),
        Message("", 0, [1], time=1700000000000),
        Join("chat:1", Member("8f03aa12-1-2c-5", "ann", {"name": "Ann"})),
        Gap("chat:1", position, "trimmed"),
        Subscribed("inbox:ann", Position("1z141z3", 0), False, Policy(recovery=True, durable=True)),
        Unsubscribed("chat:1", 'left the "hall"\nby hand', True),
        Draining(2.5),
        Close(1001, "the node drains", True, 2.5),
        Close(4200, "disconnected by a service"),
    ):
        assert frame in read
    replies = {(frame.id, frame.verb): frame for frame in read if isinstance(frame, Reply)}
    page = PresencePage.read(replies[7, "presence"].result)
    assert page.members[1] == Member("8f03aa12-1-2d-1")
    assert (page.count, page.users, page.next_page) == (3, 2, "p2")
    assert HistoryPage.read(replies[10, "history"].result) == HistoryPage((hi, bytes_message), Position("1z141z3", 5))
    error = replies[2, "error"].error
    assert error is not None
    assert (error.code, error.retryable, error.retry_after) == ("rate_limited", True, 1.5)


@pytest.mark.parametrize("size", [1, 7, 64, 1_000_000])
def test_the_event_stream_gives_the_same_frames_however_it_is_cut(size: int) -> None:
    parser, stream = EventStreamParser(), text("sse.txt")
    events = [event for at in range(0, len(stream), size) for event in parser.push(stream[at : at + size])]
    assert [read_frame(kind, json.loads(data)) for kind, data in events] == frames()


def test_comments_and_events_that_move_the_cursor_alone_fire_nothing() -> None:
    stream = ":\n\nretry: 7\n\nid: AQ\n\nevent: heartbeat\r\ndata:{\ndata: }\r\n\r\nevent\ndata\n\n"
    assert EventStreamParser().push(stream) == [("heartbeat", "{\n}"), ("message", "")]


def test_commands_are_written_as_the_hub_reads_them() -> None:
    for line in lines("commands.jsonl"):
        command: dict[str, Any] = json.loads(line)
        assert json.loads(write_command(command)) == command
    written = write_command({"id": 6, "publish": {"channel": "chat:1", **payload(b"\x00\x01\xff")}})
    assert written == lines("commands.jsonl")[6]
    assert write_command({"presence": {"channel": "a", "limit": None, "page": None}}) == '{"presence":{"channel":"a"}}'


def test_what_is_not_known_is_passed_over_and_what_is_no_frame_is_refused() -> None:
    assert read_message('{"confetti":{"colour":"red"}}') is None
    assert read_message('{"heartbeat":{"time":1,"mood":"good"}}') == read_message('{"heartbeat":{"time":1}}')
    for broken in ("", "7", "[1]", "{}", '{"open":7}', '{"reply":{}}'):
        with pytest.raises(NO_FRAME):
            read_message(broken)
    with pytest.raises(TypeError):
        write_command({"publish": {"data": object()}})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_command({"publish": {"data": float("nan")}})
