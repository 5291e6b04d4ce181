"""An event stream, with commands by POST."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Sequence

import httpx

from ..codec import NO_FRAME, Command, write_command
from ..frames import Close, Frame, Open, Reply, WireError, read_frame
from ..machine.ladder import TransportName
from ..machine.verdict import Barred, Broken, Closed, Loss, Refused, Silent, Untrusted
from ..timing import INCOMING_MAX, OUTGOING_MAX
from .event_stream import EventStreamParser
from .http import BROKEN_HTTP, address, broken, headers, refusal
from .link import LinkLost, LinkOptions

POST_COMMANDS_MAX = 128
"""One POST carries so many at most: half of what the hub takes by default."""

POST_LENGTH_MAX = 65_536
"""And so much text, but for a single command that is longer."""

OF_THE_COMMANDS = (400, 413, 415, 429)
"""Statuses that say what is wrong with these commands, not with the session."""


class SseLink:
    """A session on an event stream."""

    transport: TransportName = "sse"

    def __init__(self, options: LinkOptions, response: httpx.Response) -> None:
        self.opened = Open(session="")
        self._options = options
        self._response = response
        self._parser = EventStreamParser()
        self._incoming: asyncio.Queue[Frame | Loss | None] = asyncio.Queue(INCOMING_MAX)
        self._outgoing: deque[Command] = deque()
        self._asked = asyncio.Event()
        self._loss: Loss | None = None
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._write())]

    def send(self, commands: Sequence[Command]) -> None:
        self._outgoing.extend(commands)
        if len(self._outgoing) > OUTGOING_MAX:
            # Commands after a hole would be out of order: the link ends, and a new one asks anew.
            self._loss = Broken(f"{OUTGOING_MAX} commands wait for a hub that takes none")
            self._outgoing.clear()
        self._asked.set()

    async def receive(self) -> Frame | None:
        item = await self._incoming.get()
        if isinstance(item, Broken | Closed | Refused | Untrusted | Barred | Silent):
            raise LinkLost(item)
        return item

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._response.aclose()

    async def _read(self) -> None:
        try:
            async for chunk in self._response.aiter_text():
                events = self._parser.push(chunk)
                if not events:
                    await self._incoming.put(None)
                for kind, data in events:
                    frame = read_frame(kind, json.loads(data))
                    if isinstance(frame, Close):
                        return await self._incoming.put(Closed(frame, framed=True))
                    await self._incoming.put(frame)
        except BROKEN_HTTP as error:
            await self._incoming.put(broken(error))
        except NO_FRAME as error:
            await self._incoming.put(Broken(f"an event is no frame: {error}"))
        else:
            await self._incoming.put(Broken("the stream ended"))

    async def _write(self) -> None:
        """One POST after the other, so that commands keep their order."""
        while True:
            await self._asked.wait()
            # Those of one turn of the loop go together.
            await asyncio.sleep(0)
            self._asked.clear()
            while self._outgoing and self._loss is None:
                self._loss = await self._post(self._next())
            if self._loss is not None:
                return await self._incoming.put(self._loss)

    def _next(self) -> list[Command]:
        commands: list[Command] = []
        length = 0
        while self._outgoing and len(commands) < POST_COMMANDS_MAX:
            length += len(write_command(self._outgoing[0]))
            if commands and length > POST_LENGTH_MAX:
                break
            commands.append(self._outgoing.popleft())
        return commands

    async def _post(self, commands: Sequence[Command]) -> Loss | None:
        options = self._options
        try:
            async with asyncio.timeout(options.timing.request):
                # The key is the proof, so no token goes along.
                response = await options.http.post(
                    address(options.base, "commands"),
                    params={"key": self.opened.key},
                    content="\n".join(map(write_command, commands)).encode(),
                    headers={"content-type": "text/plain"},
                    timeout=options.timing.request,
                )
            if response.is_success:
                for line in response.text.split("\n"):
                    if line.strip():
                        [(kind, raw), *_] = json.loads(line).items()
                        await self._incoming.put(read_frame(kind, raw))
                return None
        except (*BROKEN_HTTP, TimeoutError) as error:
            # Whether they were carried out is not known: the session is opened anew, from its positions.
            return broken(error)
        except NO_FRAME as error:
            return Broken(f"a reply is no frame: {error}")
        refused = refusal(response.status_code, response.headers, response.content)
        if refused.code == "" or refused.status not in OF_THE_COMMANDS:
            return refused
        told = WireError(refused.code, refused.message, refused.status == 429, refused.retry_after)
        for command in commands:
            if "id" in command:
                await self._incoming.put(Reply(command["id"], "error", {}, told))
        return None


async def open_sse(options: LinkOptions) -> SseLink:
    """Opens a session over Server-Sent Events; the caller bounds the time. Raises ``LinkLost``."""
    request = options.http.build_request(
        "GET",
        address(options.base, "sse"),
        params={"heartbeat": f"{options.timing.heartbeat:g}"},
        headers={**headers(options), "accept": "text/event-stream"},
        # How long it may be silent is the client's to judge.
        timeout=httpx.Timeout(options.timing.open, read=None),
    )
    try:
        response = await options.http.send(request, stream=True)
    except BROKEN_HTTP as error:
        raise LinkLost(broken(error)) from error
    if not response.is_success:
        try:
            body = await response.aread()
        except BROKEN_HTTP:
            body = b""
        finally:
            await response.aclose()
        raise LinkLost(refusal(response.status_code, response.headers, body))
    link = SseLink(options, response)
    try:
        while (frame := await link.receive()) is None:
            pass  # A comment opens the stream.
    except BaseException:
        await link.close()
        raise
    if not isinstance(frame, Open):
        await link.close()
        raise LinkLost(Broken("the first frame is not `open`"))
    link.opened = frame
    return link
