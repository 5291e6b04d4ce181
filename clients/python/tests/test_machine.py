"""What is decided without I/O: backoff, verdicts, the ladder, and a channel's place."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from switchboard_client import Gap, Message, Position, Subscribed, Timing
from switchboard_client.frames import Close, Policy
from switchboard_client.machine.backoff import backoff
from switchboard_client.machine.ladder import Ladder
from switchboard_client.machine.place import Place
from switchboard_client.machine.verdict import (
    Barred,
    Broken,
    Closed,
    Loss,
    Refused,
    Silent,
    Untrusted,
    judge,
    judge_code,
)
from switchboard_client.transport.http import refusal, retry_after


def test_the_wait_is_random_up_to_a_bound_that_doubles() -> None:
    assert [backoff(attempt, 1.0) for attempt in (0, 1, 2, 5, 6, 40)] == [0.5, 1, 2, 16, 30, 30]
    assert backoff(3, 0.25) == 1.0
    assert backoff(10, 0.0) == 0.0
    assert backoff(1, 0.5, base=0.05, cap=0.08) == pytest.approx(0.04)


@pytest.mark.parametrize(
    ("codes", "wanted"),
    [
        ((1000, 1002, 1003, 1007, 1008, 1009, 4200, 4201, 4202, 4299), "stop"),
        ((1001, 1011, 1013, 4000, 4001, 4099, 4300), "again"),
        ((4100, 4101, 4199), "token"),
    ],
)
def test_ranges_of_close_codes_decide(codes: tuple[int, ...], wanted: str) -> None:
    assert {judge_code(code) for code in codes} == {wanted}


@pytest.mark.parametrize(
    ("loss", "decided", "after", "transport"),
    [
        (Closed(Close(1001, "", True, 2.5), framed=True), "again", 2.5, False),
        (Closed(Close(4000, "", False), framed=True), "stop", 0, False),
        (Closed(Close(1000, "", True), framed=True), "again", 0, False),
        (Closed(Close(4101, "", False), framed=True), "token", 0, False),
        (Closed(Close(4150, "", False), framed=True), "stop", 0, False),
        (Closed(Close(4000), framed=False), "again", 0, False),
        (Refused(401, "token_expired"), "token", 0, False),
        (Refused(401, "unauthenticated"), "token", 0, False),
        (Refused(403, "permission_denied"), "stop", 0, False),
        (Refused(503, "unavailable", "", 3.0), "again", 3.0, False),
        (Refused(429, "", "", 1.0), "again", 1.0, False),
        (Refused(410, "not_found"), "again", 0, False),
        (Refused(502), "again", 0, True),
        (Refused(404), "again", 0, True),
        (Refused(500, "internal"), "again", 0, False),
        (Broken("reset"), "again", 0, False),
        (Untrusted("a stranger"), "stop", 0, False),
        (Barred("no upgrades"), "again", 0, True),
        (Silent("nothing"), "again", 0, True),
    ],
)
def test_a_loss_tells_what_to_do(loss: Loss, decided: str, after: float, transport: bool) -> None:
    verdict = judge(loss)
    assert (verdict.next, verdict.after, verdict.transport) == (decided, after, transport)


def test_a_refusal_is_read_from_its_problem_and_its_retry_after() -> None:
    told = {"content-type": "application/problem+json", "retry-after": "7"}
    body = b'{"code":"rate_limited","detail":"slowly"}'
    assert refusal(429, told, body) == Refused(429, "rate_limited", "slowly", 7.0)
    assert refusal(429, told, body[:9]) == Refused(429, "", "", 7.0)
    assert refusal(502, {"content-type": "text/html"}, b"<html>") == Refused(502)
    now = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
    assert retry_after("Thu, 01 Jan 2026 12:00:05 GMT", now) == 5.0
    assert retry_after("Thu, 01 Jan 2026 11:00:00 GMT", now) == 0.0
    assert retry_after("soon", now) == retry_after(None, now) == 0.0


def test_the_ladder_goes_down_where_a_transport_is_barred_or_dies_young_and_up_more_and_more_rarely() -> None:
    ladder = Ladder(("websocket", "sse"), Timing(proven=5, step_up=30, step_up_max=100))
    assert (ladder.transport, ladder.better) == ("websocket", None)
    assert ladder.died(1) is False
    assert ladder.died(6) is False
    assert ladder.died(1) is False
    assert ladder.died(1) is True
    assert (ladder.transport, ladder.better, ladder.step_up_after) == ("sse", "websocket", 30)
    ladder.step_up_failed()
    assert ladder.step_up_after == 60
    ladder.stepped_up()
    assert ladder.barred() is True
    assert ladder.step_up_after == 100
    assert ladder.barred() is False, "below the last comes the first again, after a wait"
    ladder.proven()
    assert ladder.transport == "websocket"
    with pytest.raises(ValueError, match="names none"):
        Ladder((), Timing())


def begun(offset: int = 4, *, recovered: bool = False, epoch: str = "e") -> Subscribed:
    return Subscribed("a", Position(epoch, offset), recovered, Policy())


def message(offset: int) -> Message:
    return Message("a", offset, offset)


def test_a_place_delivers_each_offset_once_and_tells_holes() -> None:
    place = Place("a")
    assert place.message(message(1)).deliver is False, "not subscribed yet"
    assert place.begin(begun()) is True
    assert place.begin(begun(9)) is False, "it has begun already"
    assert [place.message(message(offset)).deliver for offset in (4, 5, 5, 6)] == [False, True, False, True]
    judged = place.message(message(9))
    assert judged.deliver
    assert judged.gap == Gap("a", Position("e", 8), "interrupted")
    assert place.message(message(0)).deliver, "it has no place, and moves nobody's position"
    assert place.position == Position("e", 9)


def test_a_place_goes_on_from_its_position_in_the_next_session() -> None:
    place = Place("a", rewind=3, token="t")
    assert place.ask() == {"channel": "a", "rewind": 3, "token": "t"}
    place.begin(begun())
    place.message(message(5))
    place.lost()
    assert place.state == "subscribing"
    assert place.message(message(6)).deliver is False
    assert place.ask() == {"channel": "a", "position": {"epoch": "e", "offset": 5}, "token": "t"}
    place.begin(begun(3, recovered=True))
    assert place.message(message(5)).deliver is False, "it was seen in the session before"
    assert place.message(message(6)).deliver is True


def test_a_gap_moves_the_place_and_another_epoch_is_asked_anew() -> None:
    place = Place("a", position=Position("e", 5))
    assert place.must_ask_anew(begun(6)) is True
    assert place.must_ask_anew(begun(1, epoch="f")) is True
    assert place.must_ask_anew(begun(5)) is False
    assert place.must_ask_anew(begun(9, recovered=True)) is False
    assert Place("a").must_ask_anew(begun(9)) is False
    place.begin(begun(2, epoch="f"))
    assert place.gap(Gap("a", Position("f", 4), "epoch_changed")) is True
    assert place.message(message(4)).deliver is False
    assert place.message(message(5)).gap is None
    assert place.position == Position("f", 5)
    place.end()
    assert place.gap(Gap("a", Position("f", 9), "trimmed")) is False
