"""Between commands and frames and their JSON."""

from __future__ import annotations

import base64
import json
from typing import Any

from .frames import Frame, read_frame

Command = dict[str, Any]
"""A command as it is written: its ``id``, and under its name what it asks."""

NO_FRAME = (KeyError, TypeError, AttributeError, ValueError)
"""What reading raises on bytes that are no frame."""


def payload(data: Any) -> dict[str, Any]:
    """The fields of a payload: bytes are base64 with ``binary`` beside them, anything else is JSON itself."""
    if isinstance(data, bytes | bytearray | memoryview):
        return {"data": base64.b64encode(data).decode(), "binary": True}
    return {"data": data}


def write_command(command: Command) -> str:
    """A command as a line of JSON. Fields that are None are left out; raises ``TypeError`` or ``ValueError`` on no JSON."""
    written = {
        name: {key: value for key, value in body.items() if value is not None or key == "data"}
        if isinstance(body, dict)
        else body
        for name, body in command.items()
    }
    return json.dumps(written, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def read_message(text: str | bytes) -> Frame | None:
    """The frame of one WebSocket message, or of one line; None where its kind is not known here."""
    raw = json.loads(text)
    if not isinstance(raw, dict) or not raw:
        raise ValueError("a message is no frame")
    kind = next(iter(raw))
    return read_frame(kind, raw[kind])
