"""The client: it keeps a connection, and hands frames to whom they concern."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from secrets import token_hex
from ssl import SSLContext, create_default_context
from types import TracebackType
from typing import Any, Literal, Self

import httpx

from .codec import Command, payload, write_command
from .connection import Connection
from .errors import SwitchboardError
from .frames import (
    Expiring,
    Frame,
    Heartbeat,
    HistoryPage,
    Message,
    Open,
    Position,
    PresencePage,
    Reply,
    WireError,
    read_data,
)
from .machine.ladder import TransportName
from .machine.verdict import Broken, Verdict
from .requests import PendingRequests
from .session import Session
from .subscription import Subscription
from .timing import INBOX_MAX, Timing
from .tokens import GetToken, Tokens
from .transport.link import Link

logger = logging.getLogger("switchboard_client")

ConnectionState = Literal["disconnected", "connecting", "connected"]

RENEW_AT = 0.75
"""A token is renewed when this part of its time has passed."""

RENEW_AGAIN = 5.0
"""Seconds until a renewal that failed is tried again."""


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The client's state; after a loss with its code and message."""

    state: ConnectionState
    transport: TransportName
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Opened:
    """A session began; ``moved``: in place of one that went on until now, without a break."""

    session: Open
    transport: TransportName
    moved: bool


@dataclass(frozen=True, slots=True)
class Direct:
    """What a service sent to this session or user, past all channels."""

    message: Message


@dataclass(frozen=True, slots=True)
class Found:
    """The server subscribed this session to a channel that was not asked for here."""

    subscription: Subscription


@dataclass(frozen=True, slots=True)
class Stopped:
    """The client stopped, and not because it was told to."""

    error: SwitchboardError


ClientEvent = StateChanged | Opened | Direct | Found | Stopped


class Client:
    """A connection to a hub, with its subscriptions. To be made and used inside a running event loop.

    ``async with Client(url, get_token=...) as client`` connects, and closes it at the end. ``on_event`` is told what happens to the
    connection; it must not block. ``ssl`` says whom to trust, for ``https``; by default whom the machine trusts.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        get_token: GetToken | None = None,
        transports: Sequence[TransportName] = ("websocket", "sse"),
        timing: Timing | None = None,
        ssl: SSLContext | None = None,
        inbox_max: int = INBOX_MAX,
        on_event: Callable[[ClientEvent], None] | None = None,
    ) -> None:
        self._timing = timing or Timing()
        self._on_event = on_event
        self._state: ConnectionState = "disconnected"
        self._opened: Open | None = None
        self._error: SwitchboardError | None = None
        self._last_id = 0
        self._running: asyncio.Task[None] | None = None
        self._renewal: asyncio.TimerHandle | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._tokens = Tokens(token, get_token)
        ssl = ssl or create_default_context()
        self._http = httpx.AsyncClient(timeout=self._timing.request, verify=ssl)
        self._requests = PendingRequests(self._next_id, self._send_request, self._timing)
        self._session = Session(
            host=self,
            timing=self._timing,
            inbox_max=inbox_max,
            next_id=self._next_id,
            send=self._send,
            found=lambda subscription: self._tell(Found(subscription)),
            stuck=lambda message: self._connection.give_up(Broken(message)),
        )
        self._connection = Connection(
            base=f"http{url[2:]}" if url.startswith("ws") else url,
            transports=transports,
            timing=self._timing,
            tokens=self._tokens,
            http=self._http,
            ssl=ssl,
            events=self,
        )

    @property
    def state(self) -> ConnectionState:
        return self._state

    @property
    def transport(self) -> TransportName:
        """The transport in use, or being tried."""
        return self._connection.transport

    @property
    def session(self) -> Open | None:
        """The present session, as its ``open`` frame told it; None while there is none."""
        return self._opened if self._state == "connected" else None

    @property
    def subscriptions(self) -> Mapping[str, Subscription]:
        """All subscriptions, by channel."""
        return self._session.subscriptions

    async def __aenter__(self) -> Self:
        self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def connect(self) -> None:
        """Connects, and stays so until ``disconnect``."""
        if self._running is None:
            self._error = None
            self._enter("connecting")
            self._running = asyncio.get_running_loop().create_task(self._run())

    async def ready(self, *, timeout: float = 10.0) -> Open:
        """Waits for a session. Raises ``SwitchboardError`` when the client stopped, or there is none in time."""
        try:
            async with asyncio.timeout(timeout):
                while self.session is None:
                    if self._error is not None:
                        raise self._error
                    await self._changed.wait()
        except TimeoutError:
            raise SwitchboardError("timeout", f"no session within {timeout:g} s", retryable=True) from None
        return self.session

    async def disconnect(self) -> None:
        """Disconnects. Subscriptions stay, and go on where they were at the next ``connect``; what was asked fails."""
        if self._renewing is not None:
            self._renewing.cancel()
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            await asyncio.wait({running})
            self._stop(None)

    async def close(self) -> None:
        """Disconnects for good: subscriptions end, and nothing of this client is left."""
        await self.disconnect()
        self._session.end(self._error)
        await self._http.aclose()

    def subscribe(
        self, channel: str, *, position: Position | None = None, rewind: int | None = None, token: str | None = None
    ) -> Subscription:
        """The subscription of a channel: a new one, or the one that there is. Connects where need be.

        It begins with what is published from now on, with the last ``rewind`` publications, or after a ``position`` that was kept
        from an earlier visit. ``token`` grants this one channel.
        """
        subscription = self._session.subscribe(channel, position=position, rewind=rewind, token=token)
        self.connect()
        return subscription

    async def publish(
        self, channel: str, data: Any, *, id: str | None = None, timeout: float = 10.0
    ) -> Position | None:
        """Publishes a JSON value or bytes, and gives its position; None where the channel keeps no history.

        It is repeated until it is answered or its time is over, with an idempotency id, a random one by default: so it happens
        once. Raises ``SwitchboardError``.
        """
        body = {"channel": channel, **payload(data), "id": id or token_hex(16)}
        result = await self._requests.ask("publish", body, safe=True, timeout=timeout)
        position = result.get("position")
        return None if position is None else Position.read(position)

    async def presence(
        self, channel: str, *, limit: int | None = None, page: str | None = None, timeout: float = 10.0
    ) -> PresencePage:
        """Who is present; ``limit=0`` asks for the counts alone, ``page`` is the ``next_page`` of the page before."""
        body = {"channel": channel, "limit": limit, "page": page}
        return PresencePage.read(await self._requests.ask("presence", body, safe=True, timeout=timeout))

    async def history(
        self,
        channel: str,
        *,
        position: Position | None = None,
        limit: int | None = None,
        reverse: bool = False,
        timeout: float = 10.0,
    ) -> HistoryPage:
        """What the channel retains, after ``position``, or with ``reverse`` before it, nearest first."""
        body = {
            "channel": channel,
            "position": None if position is None else position.write(),
            "limit": limit,
            "reverse": reverse or None,
        }
        return HistoryPage.read(await self._requests.ask("history", body, safe=True, timeout=timeout))

    async def call(self, method: str, data: Any = None, *, timeout: float = 10.0) -> Any:
        """Asks a service. It is not repeated: when the connection is lost before the answer it fails with ``unavailable``."""
        body = {"method": method, **payload(data)}
        return read_data(await self._requests.ask("call", body, safe=False, timeout=timeout))

    async def ack(self, channel: str, offset: int, *, timeout: float = 10.0) -> None:
        """In a durable channel: everything up to this offset is done. Returns when the hub keeps it."""
        await self._requests.ask("ack", {"channel": channel, "offset": offset}, safe=True, timeout=timeout)

    async def ping(self, *, timeout: float = 10.0) -> int:
        """The hub's clock, in milliseconds since 1970."""
        return int((await self._requests.ask("ping", {}, safe=True, timeout=timeout)).get("time", 0))

    def leave(self, subscription: Subscription) -> None:
        """As ``subscription.unsubscribe()``."""
        self._session.leave(subscription)

    # What follows is told by the connection.

    def adopted(self, link: Link, *, moved: bool) -> None:
        if moved:
            self._requests.lost()
        self._opened = link.opened
        if not moved:
            self._enter("connected")
        self._plan_renewal(link.opened.expires_at, link.opened.time)
        self._tell(Opened(link.opened, link.transport, moved))
        self._session.opened()
        self._requests.opened()

    def lost(self, verdict: Verdict) -> None:
        self._leave_session()
        if verdict.next != "stop":
            self._enter("connecting", verdict.code, verdict.message)

    def took(self, frame: Frame) -> None:
        match frame:
            case Reply():
                if not self._requests.answer(frame):
                    self._session.answer(frame)
            case Message(channel=""):
                self._tell(Direct(frame))
            case Expiring():
                self._start_renewal()
            case Heartbeat() | Open():
                pass
            case _:
                self._session.take(frame)  # type: ignore[arg-type] # draining and close end with the connection

    async def _run(self) -> None:
        try:
            await self._connection.run()
        except SwitchboardError as error:
            self._running = None
            self._stop(error)
        except Exception as error:
            logger.exception("the client failed")
            self._running = None
            self._stop(SwitchboardError("internal", str(error)))

    def _stop(self, error: SwitchboardError | None) -> None:
        self._error = error
        self._leave_session()
        self._requests.fail(error or SwitchboardError("disconnected", "the client was disconnected"))
        if error is None:
            self._enter("disconnected")
        else:
            self._enter("disconnected", error.code, error.message)
            self._tell(Stopped(error))

    def _leave_session(self) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
        self._opened = None
        self._session.lost()
        self._requests.lost()

    def _enter(self, state: ConnectionState, code: str = "", message: str = "") -> None:
        self._state = state
        self._changed.set()
        self._changed = asyncio.Event()
        self._tell(StateChanged(state, self._connection.transport, code, message))

    def _tell(self, event: ClientEvent) -> None:
        if self._on_event is None:
            return
        try:
            self._on_event(event)
        except Exception:
            logger.exception("on_event failed")

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _send(self, commands: Sequence[Command]) -> None:
        if self._connection.link is not None:
            self._connection.link.send(commands)

    def _send_request(self, command: Command) -> bool:
        if self._opened is None:
            return False
        bytes_max = self._opened.command_bytes_max
        if bytes_max and len(write_command(command).encode()) > bytes_max:
            # The hub would close a socket for it, and that for good: the command would fail again.
            error = WireError("payload_too_large", f"a command has {bytes_max} bytes at most here")
            self._requests.answer(Reply(command["id"], "error", {}, error))
        else:
            self._send([command])
        return True

    def _plan_renewal(self, expires_at: int, hub_time: int) -> None:
        """By the hub's clock, for this machine's may be wrong."""
        if self._renewal is not None:
            self._renewal.cancel()
        if expires_at == 0:
            return
        loop = asyncio.get_running_loop()
        left = max(0.0, (expires_at - hub_time) / 1000)
        self._tokens.ends_at = loop.time() + left
        if self._tokens.can_renew:
            self._renewal = loop.call_later(left * RENEW_AT, self._start_renewal)

    def _start_renewal(self) -> None:
        if self._tokens.can_renew and (self._renewing is None or self._renewing.done()):
            self._renewing = asyncio.get_running_loop().create_task(self._renew())

    async def _renew(self) -> None:
        """Brings the hub a new token before the present one ends."""
        if self._renewal is not None:
            self._renewal.cancel()
        try:
            self._connection.token = await self._tokens.renew("expiring")
            result = await self._requests.ask("refresh", {"token": self._connection.token}, safe=False, timeout=10.0)
            self._plan_renewal(result.get("expires_at", 0), await self.ping())
        except Exception as error:
            # Until it ends there is time to try again; after that the hub closes with 4100, and the next connection asks anew.
            logger.info("the token was not renewed: %s", error)
            if self._opened is not None:
                self._renewal = asyncio.get_running_loop().call_later(RENEW_AGAIN, self._start_renewal)
