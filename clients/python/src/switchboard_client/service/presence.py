"""Who is there, as a service asks: members page by page, counts, a watch that resumes, and whether a user is online."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from random import random
from typing import TYPE_CHECKING

from grpc.aio import AioRpcError

from ..frames import Member
from ..machine.backoff import backoff
from ..proto import presence_pb2 as pb
from ..proto import types_pb2
from ..proto.presence_pb2_grpc import PresenceServiceStub
from .status import error_of

if TYPE_CHECKING:
    from .connection import Calls


@dataclass(frozen=True, slots=True)
class MemberPage:
    """One page of members, and how many there are in the whole channel."""

    members: tuple[Member, ...]
    count: int
    users: int
    next_page: str
    """Asks for the next page; empty: this was the last."""


@dataclass(frozen=True, slots=True)
class MemberCount:
    """How many sessions, and how many distinct users, are in a channel."""

    channel: str
    members: int
    users: int


@dataclass(frozen=True, slots=True)
class PresencePosition:
    """A place in a channel's order of joins and leaves; the epoch is opaque."""

    epoch: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All who are there: replaces what was known before."""

    members: tuple[Member, ...]
    position: PresencePosition


@dataclass(frozen=True, slots=True)
class WatchedJoin:
    """A member has come."""

    member: Member
    position: PresencePosition


@dataclass(frozen=True, slots=True)
class WatchedLeave:
    """A member has gone."""

    member: Member
    position: PresencePosition


PresenceEvent = Snapshot | WatchedJoin | WatchedLeave


@dataclass(frozen=True, slots=True)
class UserSession:
    """One session of a user."""

    session: str
    node: str
    transport: str
    """``websocket``, ``sse``, ``poll``, or empty where this client does not know it."""
    connected_at: int
    """Milliseconds since 1970."""
    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Online:
    """Where a user is."""

    online: bool
    sessions: tuple[UserSession, ...]
    unreached_nodes: tuple[str, ...]
    """Nodes that did not answer: what they have is missing here."""


class PresenceReader:
    """Reads presence. Everything here is repeated, where it may succeed later, within its deadline."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._stub = PresenceServiceStub(calls.channel)

    async def page(self, channel: str, *, size: int = 0, page: str = "", timeout: float = 10.0) -> MemberPage:
        """One page of a channel's members; a ``size`` of 0 is the hub's default."""
        request = pb.ListMembersRequest(channel=channel, page_size=size, page_token=page)
        answer = await self._calls.repeated(
            lambda left: self._stub.ListMembers(request, timeout=left, metadata=self._calls.metadata), timeout
        )
        members = tuple(map(_member, answer.members))
        return MemberPage(members, answer.count, answer.users, answer.next_page_token)

    async def members(self, channel: str, *, page_size: int = 0, timeout: float = 10.0) -> AsyncGenerator[Member, None]:
        """All of a channel's members, page after page; ``timeout`` is for each page."""
        token = ""
        while True:
            page = await self.page(channel, size=page_size, page=token, timeout=timeout)
            for member in page.members:
                yield member
            token = page.next_page
            if not token:
                return

    async def count(self, channels: Sequence[str], *, timeout: float = 10.0) -> list[MemberCount]:
        """How many are in each channel, in the order asked."""
        request = pb.CountMembersRequest(channels=channels)
        answer = await self._calls.repeated(
            lambda left: self._stub.CountMembers(request, timeout=left, metadata=self._calls.metadata), timeout
        )
        return [MemberCount(count.channel, count.members, count.users) for count in answer.counts]

    async def lookup(self, user: str, *, timeout: float = 10.0) -> Online:
        """Whether a user is online, and by which sessions."""
        request = pb.LookupUserRequest(user=user)
        answer = await self._calls.repeated(
            lambda left: self._stub.LookupUser(request, timeout=left, metadata=self._calls.metadata), timeout
        )
        return Online(answer.online, tuple(map(_session, answer.sessions)), tuple(answer.unreached_nodes))

    async def watch(
        self, channel: str, *, resume: PresencePosition | None = None
    ) -> AsyncGenerator[PresenceEvent, None]:
        """First who is there, then every join and leave; it resumes by itself where it broke off, or begins with a new snapshot.

        Raises ``SwitchboardError`` where another attempt would fail again.
        """
        attempt = 0
        epoch = resume.epoch if resume else ""
        while True:
            gathered: list[Member] = []
            request = pb.WatchPresenceRequest(channel=channel)
            if resume is not None:
                request.resume.CopyFrom(pb.PresencePosition(epoch=resume.epoch, sequence=resume.sequence))
            call = self._stub.WatchPresence(request, metadata=self._calls.metadata)
            try:
                async for answer in call:
                    attempt = 0
                    if answer.HasField("snapshot"):
                        part = answer.snapshot
                        gathered.extend(map(_member, part.members))
                        epoch = part.epoch
                        if not part.complete:
                            continue
                        resume = PresencePosition(epoch, part.sequence)
                        members, gathered = tuple(gathered), []
                        yield Snapshot(members, resume)
                    elif answer.HasField("join"):
                        resume = PresencePosition(epoch, answer.join.sequence)
                        yield WatchedJoin(_member(answer.join.member), resume)
                    elif answer.HasField("leave"):
                        resume = PresencePosition(epoch, answer.leave.sequence)
                        yield WatchedLeave(_member(answer.leave.member), resume)
            except AioRpcError as failure:
                error = error_of(failure)
                if not error.retryable:
                    raise error from failure
                wait = error.retry_after or backoff(attempt, random(), base=0.1, cap=5.0)
            else:
                wait = backoff(attempt, random(), base=0.1, cap=5.0)  # The node left: another one goes on.
            finally:
                call.cancel()
            attempt += 1
            await asyncio.sleep(wait)


def _member(written: types_pb2.Member) -> Member:
    info = json.loads(written.info) if written.info else None
    return Member(written.session, written.user, info)


def _session(written: types_pb2.Session) -> UserSession:
    names = types_pb2.Transport.keys()
    known = written.transport < len(names) and written.transport > 0
    transport = names[written.transport].removeprefix("TRANSPORT_").lower() if known else ""
    return UserSession(written.session, written.node, transport, written.connected_ms, tuple(written.channels))
