"""The frames and results of the client protocol, as ``proto/PROTOCOL.md`` tells them.

Absent fields have their defaults, and fields that are not known here are passed over. Times are milliseconds since
1970, as on the wire; durations are seconds.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a channel's order of publications. The epoch is opaque: compare it for equality, nothing else."""

    epoch: str
    offset: int

    @classmethod
    def read(cls, raw: Json) -> Position:
        return cls(raw.get("epoch", ""), raw.get("offset", 0))

    def write(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "offset": self.offset}


@dataclass(frozen=True, slots=True)
class Policy:
    """What a channel offers."""

    recovery: bool = False
    presence: bool = False
    join_leave: bool = False
    durable: bool = False

    @classmethod
    def read(cls, raw: Json) -> Policy:
        names = ("recovery", "presence", "join_leave", "durable")
        return cls(*(raw.get(name, False) for name in names))


@dataclass(frozen=True, slots=True)
class Sender:
    """The client behind a publication."""

    user: str = ""
    session: str = ""


@dataclass(frozen=True, slots=True)
class Member:
    """One session that is present in a channel. ``info`` is the JSON value of its token."""

    session: str
    user: str = ""
    info: Any = None

    @classmethod
    def read(cls, raw: Json) -> Member:
        return cls(raw.get("session", ""), raw.get("user", ""), raw.get("info"))


@dataclass(frozen=True, slots=True)
class Message:
    """A publication. ``data`` is a JSON value, or ``bytes`` where ``binary`` is true."""

    channel: str
    """Empty: a service sent it to this session or user directly."""
    offset: int
    """0: it is not in history."""
    data: Any
    binary: bool = False
    id: str = ""
    """The publisher's idempotency id."""
    sender: Sender | None = None
    """The client that published; None when it was a service."""
    time: int = 0
    tags: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, raw: Json) -> Message:
        sender = raw.get("from")
        return cls(
            channel=raw.get("channel", ""),
            offset=raw.get("offset", 0),
            data=read_data(raw),
            binary=raw.get("binary", False),
            id=raw.get("id", ""),
            sender=None if sender is None else Sender(sender.get("user", ""), sender.get("session", "")),
            time=raw.get("time", 0),
            tags=raw.get("tags", {}),
        )


@dataclass(frozen=True, slots=True)
class Gap:
    """What lay before ``position`` may have been missed: reload what the channel describes, then go on.

    ``reason`` is ``trimmed``, ``epoch_changed``, ``slow_consumer``, ``interrupted``, or one that is newer than this client.
    """

    channel: str
    position: Position
    reason: str


@dataclass(frozen=True, slots=True)
class Join:
    """A member has come."""

    channel: str
    member: Member


@dataclass(frozen=True, slots=True)
class Leave:
    """A member has gone."""

    channel: str
    member: Member


@dataclass(frozen=True, slots=True)
class Open:
    """The first frame of a session."""

    session: str
    user: str = ""
    node: str = ""
    time: int = 0
    expires_at: int = 0
    key: str = ""
    command_bytes_max: int = 0
    """0: the hub did not say."""


@dataclass(frozen=True, slots=True)
class Subscribed:
    """How a subscription stands: by the reply to a subscribe, or by the server's hand."""

    channel: str
    position: Position
    recovered: bool
    policy: Policy

    @classmethod
    def read(cls, raw: Json, channel: str) -> Subscribed:
        position = Position.read(raw.get("position", {}))
        return cls(channel, position, raw.get("recovered", False), Policy.read(raw.get("policy", {})))


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    """The server has unsubscribed the session."""

    channel: str
    reason: str
    resubscribe: bool


@dataclass(frozen=True, slots=True)
class Expiring:
    """The token is about to end."""

    expires_at: int


@dataclass(frozen=True, slots=True)
class Draining:
    """Come back, to any node, after so many seconds; still served until then."""

    reconnect_after: float


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Nothing else was to be said."""

    time: int


@dataclass(frozen=True, slots=True)
class Close:
    """The last frame of a session."""

    code: int
    reason: str = ""
    reconnect: bool = False
    reconnect_after: float = 0.0


@dataclass(frozen=True, slots=True)
class WireError:
    """Why a command failed."""

    code: str
    message: str
    retryable: bool = False
    retry_after: float = 0.0


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to the command of the same id: ``result`` is what is under the command's name."""

    id: int
    verb: str
    result: Json
    error: WireError | None = None


@dataclass(frozen=True, slots=True)
class PresencePage:
    """One page of members, and how many there are in the whole channel."""

    members: tuple[Member, ...]
    count: int
    users: int
    next_page: str
    """Asks for the next page; empty: this was the last."""

    @classmethod
    def read(cls, raw: Json) -> PresencePage:
        members = tuple(Member.read(member) for member in raw.get("members", ()))
        return cls(members, raw.get("count", 0), raw.get("users", 0), raw.get("next_page", ""))


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """What was read of a channel's history, and the channel's latest position."""

    publications: tuple[Message, ...]
    position: Position

    @classmethod
    def read(cls, raw: Json) -> HistoryPage:
        publications = tuple(Message.read(message) for message in raw.get("publications", ()))
        return cls(publications, Position.read(raw.get("position", {})))


Frame = (
    Open | Reply | Message | Join | Leave | Gap | Subscribed | Unsubscribed | Expiring | Draining | Heartbeat | Close
)


def read_data(raw: Json) -> Any:
    """The payload beside a ``binary`` flag: JSON has no bytes, so they are base64 on the wire."""
    data = raw.get("data")
    return base64.b64decode(data) if raw.get("binary") and isinstance(data, str) else data


def _seconds(raw: Json, name: str) -> float:
    return float(raw.get(name, 0)) / 1000


def _open(raw: Json) -> Open:
    return Open(
        session=raw.get("session", ""),
        user=raw.get("user", ""),
        node=raw.get("node", ""),
        time=raw.get("time", 0),
        expires_at=raw.get("expires_at", 0),
        key=raw.get("key", ""),
        command_bytes_max=raw.get("limits", {}).get("command_bytes_max", 0),
    )


def _reply(raw: Json) -> Reply:
    error = raw.get("error")
    if error is not None:
        told = WireError(
            code=error.get("code", "internal"),
            message=error.get("message", ""),
            retryable=error.get("retryable", False),
            retry_after=_seconds(error, "retry_after"),
        )
        return Reply(raw["id"], "error", {}, told)
    verb = next((name for name in raw if name != "id"), "")
    return Reply(raw["id"], verb, raw.get(verb, {}))


_READERS: Mapping[str, Callable[[Json], Frame]] = {
    "open": _open,
    "reply": _reply,
    "message": Message.read,
    "join": lambda raw: Join(raw.get("channel", ""), Member.read(raw.get("member", {}))),
    "leave": lambda raw: Leave(raw.get("channel", ""), Member.read(raw.get("member", {}))),
    "gap": lambda raw: Gap(raw.get("channel", ""), Position.read(raw.get("position", {})), raw.get("reason", "")),
    "subscribed": lambda raw: Subscribed.read(raw, raw.get("channel", "")),
    "unsubscribed": lambda raw: Unsubscribed(
        raw.get("channel", ""), raw.get("reason", ""), raw.get("resubscribe", False)
    ),
    "expiring": lambda raw: Expiring(raw.get("expires_at", 0)),
    "draining": lambda raw: Draining(_seconds(raw, "reconnect_after")),
    "heartbeat": lambda raw: Heartbeat(raw.get("time", 0)),
    "close": lambda raw: Close(
        raw.get("code", 0), raw.get("reason", ""), raw.get("reconnect", False), _seconds(raw, "reconnect_after")
    ),
}


def read_frame(kind: str, raw: Json) -> Frame | None:
    """What is under a frame's kind; None for a kind that is not known here, which is passed over.

    Raises ``KeyError``, ``TypeError``, ``AttributeError`` or ``ValueError`` on what is no frame.
    """
    reader = _READERS.get(kind)
    return None if reader is None else reader(raw)
