"""What a loss means: whether to come back, when, with which token, and whether the transport is to blame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..frames import Close

Next = Literal["again", "token", "stop"]


@dataclass(frozen=True, slots=True)
class Closed:
    """The hub said why: a ``close`` frame (``framed``), or a WebSocket close code of its own."""

    close: Close
    framed: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """An HTTP status came in place of a session; ``code`` is the problem's, empty when somebody else than the hub answered."""

    status: int
    code: str = ""
    message: str = ""
    retry_after: float = 0.0


@dataclass(frozen=True, slots=True)
class Broken:
    """The network broke it, or nothing could be reached."""

    message: str


@dataclass(frozen=True, slots=True)
class Untrusted:
    """Somebody else than the hub is there, as far as certificates can tell."""

    message: str


@dataclass(frozen=True, slots=True)
class Barred:
    """The hub can be reached and finds nothing wrong, only this transport is barred."""

    message: str


@dataclass(frozen=True, slots=True)
class Silent:
    """It was to say something and did not."""

    message: str


Loss = Closed | Refused | Broken | Untrusted | Barred | Silent


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do after a loss."""

    next: Next
    """``again``: with backoff; ``token``: with a new token; ``stop``: not by itself."""
    code: str
    message: str
    after: float = 0.0
    """Wait so many seconds instead of by backoff; 0: no advice."""
    transport: bool = False
    """The transport, not the hub or the network, is to blame."""


_STAYS_AWAY = frozenset({1000, 1002, 1003, 1007, 1008, 1009, 1010})


def judge_code(code: int) -> Next:
    """Judges a close code by itself: what its range says."""
    if 4100 <= code < 4200:
        return "token"
    if 4200 <= code < 4300 or code in _STAYS_AWAY:
        return "stop"
    return "again"


def judge(loss: Loss) -> Verdict:
    """Judges a loss."""
    match loss:
        case Closed(close, framed):
            return _judge_close(close, framed)
        case Refused():
            return _judge_refusal(loss)
        case Broken(message):
            return Verdict("again", "unavailable", message)
        case Untrusted(message):
            return Verdict("stop", "untrusted", message)
        case Barred(message) | Silent(message):
            return Verdict("again", "unavailable", message, transport=True)


def _judge_close(close: Close, framed: bool) -> Verdict:
    decided = judge_code(close.code)
    # Where a `close` frame came, its `reconnect` decides; the range still tells whether a new token is needed.
    if framed and decided != "token":
        decided = "again" if close.reconnect else "stop"
    elif framed and not close.reconnect and close.code not in (4100, 4101):
        decided = "stop"
    message = close.reason or f"closed with {close.code}"
    return Verdict(decided, f"closed_{close.code}", message, after=close.reconnect_after)


def _judge_refusal(loss: Refused) -> Verdict:
    def verdict(decided: Next, transport: bool = False) -> Verdict:
        message = loss.message or f"refused with status {loss.status}"
        return Verdict(decided, loss.code or "unavailable", message, after=loss.retry_after, transport=transport)

    if loss.code in ("token_expired", "unauthenticated"):
        return verdict("token")
    # 429 and 503 ask to wait, whoever says so; 410 means that the session is gone, and another may be opened.
    if loss.status in (429, 503, 410):
        return verdict("again")
    # Not the hub's own words: some proxy bars this way.
    if loss.code == "":
        return verdict("token") if loss.status == 401 else verdict("again", transport=True)
    return verdict("again" if loss.status >= 500 or loss.status == 408 else "stop")
