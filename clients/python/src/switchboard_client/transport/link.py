"""What every transport gives: a link to one session. Frames come in, commands go out, and in the end it is lost or closed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ssl import SSLContext
from typing import Protocol

import httpx

from ..codec import Command
from ..frames import Frame, Open
from ..machine.ladder import TransportName
from ..machine.verdict import Loss
from ..timing import Timing


class LinkLost(Exception):  # noqa: N818 - it is how a link ends, not an error of somebody's
    """The link ended, or there was none to be had."""

    def __init__(self, loss: Loss) -> None:
        super().__init__(loss)
        self.loss = loss


@dataclass(frozen=True, slots=True)
class LinkOptions:
    """What a link is opened with."""

    base: str
    """The hub, such as ``https://hub.example.com``; a path before ``/v1/`` is kept."""
    token: str | None
    timing: Timing
    http: httpx.AsyncClient
    ssl: SSLContext
    """Whom to trust, for ``https``."""


class Link(Protocol):
    """A hold on a session that stands: its ``open`` frame has come."""

    @property
    def transport(self) -> TransportName: ...

    @property
    def opened(self) -> Open: ...

    def send(self, commands: Sequence[Command]) -> None:
        """Commands, in order. What cannot be sent any more is dropped: the loss is told by ``receive``."""

    async def receive(self) -> Frame | None:
        """The next frame, or None for a sign of life that is none.

        Raises ``LinkLost``. Cancel safety: nothing is lost when it is cancelled and the link goes on.
        """

    async def close(self) -> None:
        """Ends it, within a second. ``receive`` is not to be called any more."""
