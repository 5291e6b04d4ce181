"""A WebSocket. Where the handshake fails without an answer, a plain GET of the same address asks why."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Sequence

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from ..codec import NO_FRAME, Command, read_message, write_command
from ..frames import Close, Frame, Open
from ..machine.ladder import TransportName
from ..machine.verdict import Barred, Broken, Closed, Loss
from ..timing import MESSAGE_BYTES_MAX, OUTGOING_MAX
from .http import BROKEN_HTTP, address, broken, headers, refusal
from .link import LinkLost, LinkOptions

UPGRADE_REQUIRED = 426
"""An upgrade is needed, and nothing else is wrong."""

SUBPROTOCOL = "switchboard.v1.json"

NOT_SAID = (1005, 1006)
"""Closed with no status, and without a close frame: it was not the hub's word."""


class WebSocketLink:
    """A session on a WebSocket."""

    transport: TransportName = "websocket"

    def __init__(self, socket: ClientConnection, opened: Open) -> None:
        self.opened = opened
        self._socket = socket
        self._outgoing: asyncio.Queue[str] = asyncio.Queue(OUTGOING_MAX)
        self._overflowed = False
        self._writing = asyncio.create_task(self._write())

    def send(self, commands: Sequence[Command]) -> None:
        for command in commands:
            try:
                self._outgoing.put_nowait(write_command(command))
            except asyncio.QueueFull:
                # Commands after a hole would be out of order: the link ends, and a new one asks anew.
                self._overflowed = True
                self._socket.transport.abort()
                return

    async def receive(self) -> Frame | None:
        try:
            message = await self._socket.recv()
        except ConnectionClosed as closed:
            raise LinkLost(self._closed(closed)) from closed
        frame = read(message)
        if isinstance(frame, Close):
            raise LinkLost(Closed(frame, framed=True))
        return frame

    async def close(self) -> None:
        self._writing.cancel()
        await end(self._socket)

    def _closed(self, closed: ConnectionClosed) -> Loss:
        if self._overflowed:
            return Broken(f"{OUTGOING_MAX} commands wait for a socket that takes none")
        if closed.rcvd is None or closed.rcvd.code in NOT_SAID:
            return broken(closed)
        return Closed(Close(closed.rcvd.code, closed.rcvd.reason), framed=False)

    async def _write(self) -> None:
        # The loss is told by `receive`, which sees the same end.
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self._socket.send(await self._outgoing.get())


def read(message: str | bytes) -> Frame | None:
    """The frame of a message; raises ``LinkLost`` where it is none."""
    try:
        return read_message(message)
    except NO_FRAME as error:
        raise LinkLost(Broken(f"a message is no frame: {error}")) from error


async def end(socket: ClientConnection) -> None:
    """Closes a socket in good order, or at once where the peer does not answer."""
    try:
        async with asyncio.timeout(0.5):
            await socket.close()
    except TimeoutError:
        socket.transport.abort()


async def open_websocket(options: LinkOptions) -> WebSocketLink:
    """Opens a session over WebSocket; the caller bounds the time. Raises ``LinkLost``."""
    url = f"{address(options.base, 'ws')}?heartbeat={options.timing.heartbeat:g}"
    try:
        socket = await connect(
            url.replace("http", "ws", 1),
            subprotocols=[SUBPROTOCOL],  # type: ignore[list-item] # a NewType of str
            additional_headers=headers(options),
            open_timeout=None,
            # The hub pings, and heartbeats show that it lives.
            ping_interval=None,
            close_timeout=0.5,
            max_size=MESSAGE_BYTES_MAX,
            ssl=options.ssl if options.base.startswith("https") else None,
        )
    except InvalidStatus as refused:
        response = refused.response
        if response.status_code == UPGRADE_REQUIRED:
            raise LinkLost(Barred("WebSocket upgrades do not get through")) from refused
        told = {name.lower(): value for name, value in response.headers.raw_items()}
        raise LinkLost(refusal(response.status_code, told, bytes(response.body or b""))) from refused
    except (InvalidHandshake, InvalidURI, EOFError, OSError) as error:
        raise LinkLost(await ask_why(options, error)) from error
    try:
        message = await socket.recv()
    except ConnectionClosed as closed:
        if closed.rcvd is not None and closed.rcvd.code not in NOT_SAID:
            raise LinkLost(Closed(Close(closed.rcvd.code, closed.rcvd.reason), framed=False)) from closed
        raise LinkLost(Barred("the socket opened and was closed before it gave a session")) from closed
    except asyncio.CancelledError:
        socket.transport.abort()
        raise
    frame = read(message)
    if isinstance(frame, Open):
        return WebSocketLink(socket, frame)
    await end(socket)
    if isinstance(frame, Close):
        raise LinkLost(Closed(frame, framed=True))
    raise LinkLost(Broken("the first frame is not `open`"))


async def ask_why(options: LinkOptions, error: Exception) -> Loss:
    """Asks by a plain GET why a handshake failed without an answer."""
    if isinstance(error, ConnectionRefusedError | ssl.SSLError):
        return broken(error)
    try:
        response = await options.http.get(
            address(options.base, "ws"), headers=headers(options), timeout=options.timing.request
        )
    except BROKEN_HTTP as failure:
        return broken(failure)
    if response.status_code == UPGRADE_REQUIRED:
        return Barred("WebSocket upgrades do not get through")
    return refusal(response.status_code, response.headers, response.content)
