"""The format of ``text/event-stream`` (WHATWG HTML, section 9.2.6), as far as the hub writes it."""

from __future__ import annotations


class EventStreamParser:
    """Cuts a stream of text into events, whatever the chunks."""

    def __init__(self) -> None:
        self._rest = ""
        self._type = ""
        self._data: list[str] = []

    def push(self, chunk: str) -> list[tuple[str, str]]:
        """The events that this chunk completes: type and data of each."""
        events: list[tuple[str, str]] = []
        *lines, self._rest = (self._rest + chunk).split("\n")
        for raw in lines:
            line = raw.removesuffix("\r")
            if line == "":
                if self._data:
                    events.append((self._type or "message", "\n".join(self._data)))
                self._type, self._data = "", []
                continue
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                self._type = value
            elif name == "data":
                self._data.append(value)
        return events
