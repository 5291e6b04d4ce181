"""The connection: which link to open when, with which token; and what is done when one is lost, drains, or a better one can be had."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import random
from ssl import SSLContext
from typing import NoReturn, Protocol

import httpx

from .errors import SwitchboardError
from .frames import Draining, Frame
from .machine.backoff import backoff
from .machine.ladder import Ladder, TransportName
from .machine.verdict import Broken, Loss, Silent, Verdict, judge
from .timing import Timing
from .tokens import Tokens, is_final
from .transport.link import Link, LinkLost, LinkOptions
from .transport.sse import open_sse
from .transport.websocket import open_websocket

OPENERS: dict[TransportName, Callable[[LinkOptions], Awaitable[Link]]] = {
    "websocket": open_websocket,
    "sse": open_sse,
}

TOKEN_REFUSALS_MAX = 5
"""New tokens in a row that may be refused; then the client stops."""

FAIR_AFTER = 64
"""Frames that are taken in before others have a turn: a buffer that is full must not keep readers from reading."""


class ConnectionEvents(Protocol):
    """Whom a connection tells."""

    def adopted(self, link: Link, *, moved: bool) -> None:
        """A session stands; ``moved``: in place of one that went on until now."""

    def lost(self, verdict: Verdict) -> None:
        """The session is gone; another one follows, or the connection stops."""

    def took(self, frame: Frame) -> None:
        """A frame of the present session."""


class Connection:
    """Keeps one session, for as long as ``run`` runs."""

    def __init__(
        self,
        *,
        base: str,
        transports: Sequence[TransportName],
        timing: Timing,
        tokens: Tokens,
        http: httpx.AsyncClient,
        ssl: SSLContext,
        events: ConnectionEvents,
    ) -> None:
        self.link: Link | None = None
        self.token: str | None = None
        """The token in use; a renewal replaces it."""
        self._base = base
        self._timing = timing
        self._tokens = tokens
        self._http = http
        self._ssl = ssl
        self._events = events
        self._ladder = Ladder(transports, timing)
        self._attempt = 0
        self._token_refusals = 0
        self._candidate: Link | None = None
        self._reading: asyncio.Task[Loss] | None = None
        self._given_up: Loss | None = None
        self._movers: set[asyncio.Task[None]] = set()
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def transport(self) -> TransportName:
        """The transport in use, or being tried."""
        return self._ladder.transport

    async def run(self) -> NoReturn:
        """Connects, and comes back whenever the connection is lost. Raises ``SwitchboardError`` when it stops for good."""
        fresh = False
        try:
            while True:
                fresh = await self._once(fresh)
        finally:
            if self._candidate is not None:
                self._close(self._candidate)
                self._candidate = None
            await asyncio.gather(*self._closing, return_exceptions=True)

    def give_up(self, loss: Loss) -> None:
        """Ends the present session from outside: it is of no use."""
        self._given_up = loss
        if self._reading is not None:
            self._reading.cancel()

    async def _once(self, fresh: bool) -> bool:
        """One session, from its token to its end and the wait after it. Says whether the next needs a fresh token."""
        now = asyncio.get_running_loop().time
        try:
            self.token = await self._tokens.for_opening(now(), fresh=fresh)
        except Exception as error:
            if is_final(error):
                raise SwitchboardError("token_failed", str(error)) from error
            await self._pause(0.0)
            return self._token_refusals > 0
        lived: float | None = None
        try:
            link = await self._open(self._ladder.transport)
        except LinkLost as lost:
            loss = lost.loss
        else:
            loss, lived = await self._serve(link)
        verdict = judge(loss)
        if lived is not None:
            if lived >= self._timing.proven:
                self._attempt = self._token_refusals = 0
                self._ladder.proven()
            self._events.lost(verdict)
        if verdict.next == "stop":
            raise SwitchboardError(verdict.code, verdict.message)
        if verdict.next == "token":
            return await self._refused(verdict)
        if not self._step_down(verdict, loss, lived):
            await self._pause(verdict.after)
        return self._token_refusals > 0

    async def _refused(self, verdict: Verdict) -> bool:
        """A token was refused: another is asked for at once, and then ever more slowly."""
        self._token_refusals += 1
        if self._token_refusals > TOKEN_REFUSALS_MAX:
            raise SwitchboardError(verdict.code, verdict.message)
        if self._token_refusals > 1:
            await self._pause(verdict.after)
        return True

    def _step_down(self, verdict: Verdict, loss: Loss, lived: float | None) -> bool:
        """Says whether another transport is to be tried, and that at once."""
        if lived is None:
            return verdict.transport and self._ladder.barred()
        # A reset soon after the opening, again and again, is some proxy's doing; the hub would have said why it closes.
        return isinstance(loss, Broken | Silent) and self._ladder.died(lived)

    async def _pause(self, after: float) -> None:
        timing = self._timing
        wait = after or backoff(self._attempt, random(), base=timing.backoff_base, cap=timing.backoff_cap)
        self._attempt += 1
        await asyncio.sleep(wait)

    async def _open(self, transport: TransportName) -> Link:
        options = LinkOptions(self._base, self.token, self._timing, self._http, self._ssl)
        try:
            async with asyncio.timeout(self._timing.open):
                return await OPENERS[transport](options)
        except TimeoutError as error:
            raise LinkLost(Silent("the session did not open in time")) from error

    async def _serve(self, link: Link) -> tuple[Loss, float]:
        """Serves a session, and those that it moves to without a break: the loss of the last, and how long it lived."""
        loop = asyncio.get_running_loop()
        moved = False
        while True:
            began = loop.time()
            self.link = link
            self._events.adopted(link, moved=moved)
            if self._ladder.better is not None:
                self._move(self._ladder.better, self._ladder.step_up_after, up=True)
            reading = self._reading = loop.create_task(self._read(link))
            if self._given_up is not None:
                reading.cancel()
            try:
                await asyncio.wait({reading})
            finally:
                reading.cancel()
                for mover in self._movers:
                    mover.cancel()
                self._movers.clear()
                self._reading = self.link = None
                self._close(link)
            candidate, self._candidate = self._candidate, None
            given_up, self._given_up = self._given_up, None
            if candidate is None:
                loss = given_up if reading.cancelled() and given_up is not None else reading.result()
                return loss, loop.time() - began
            link, moved = candidate, True

    async def _read(self, link: Link) -> Loss:
        silence = self._timing.silence_after
        taken = 0
        try:
            while True:
                async with asyncio.timeout(silence):
                    frame = await link.receive()
                if isinstance(frame, Draining):
                    self._move(link.transport, frame.reconnect_after, up=False)
                elif frame is not None:
                    self._events.took(frame)
                taken += 1
                if taken % FAIR_AFTER == 0:
                    await asyncio.sleep(0)
        except LinkLost as lost:
            return lost.loss
        except TimeoutError:
            return Silent("nothing was heard for too long")

    def _move(self, transport: TransportName, after: float, *, up: bool) -> None:
        self._movers.add(asyncio.get_running_loop().create_task(self._moving(transport, after, up)))

    async def _moving(self, transport: TransportName, after: float, up: bool) -> None:
        """After a while opens a session beside the present one, which then takes its place."""
        while True:
            await asyncio.sleep(after)
            try:
                candidate = await self._open(transport)
                break
            except LinkLost:
                if not up:
                    return  # The present one serves until the hub closes it.
                self._ladder.step_up_failed()
                after = self._ladder.step_up_after
        if self._candidate is not None or self._reading is None:
            return self._close(candidate)
        if up:
            self._ladder.stepped_up()
        self._candidate = candidate
        self._reading.cancel()

    def _close(self, link: Link) -> None:
        closing = asyncio.get_running_loop().create_task(link.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
