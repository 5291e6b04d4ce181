"""Times and bounds of a client, each with its default."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Times in seconds."""

    backoff_base: float = 0.5
    """The first wait is between 0 and this."""
    backoff_cap: float = 30.0
    """No wait by backoff is longer."""
    open: float = 8.0
    """How long an attempt may take to its ``open`` frame."""
    heartbeat: float = 20.0
    """The hub is asked for a sign of life at this interval; at least 1."""
    silence: float | None = None
    """How long a connection may say nothing; None: two heartbeats."""
    request: float = 10.0
    """How long a POST of commands, or a question why a handshake failed, may take."""
    early_deaths_max: int = 2
    """Connections in a row that die young before the next transport is taken."""
    proven: float = 5.0
    """A connection that lived less has died young; one that lived more has proven its transport."""
    step_up: float = 30.0
    """On a lower transport, how long until a better one is tried; doubles with each failure."""
    step_up_max: float = 600.0
    """The longest such wait."""

    def __post_init__(self) -> None:
        if self.heartbeat < 1:
            raise ValueError("`heartbeat` is at least 1 second")

    @property
    def silence_after(self) -> float:
        """After so long a silence a connection is given up."""
        return 2 * self.heartbeat if self.silence is None else self.silence


PENDING_MAX = 1000
"""Commands under way, and waiting for a connection: a bound against a caller that never waits."""

INBOX_MAX = 1000
"""Events that wait for a subscription's reader; by default. One more, and the oldest are dropped and told as a gap."""

OUTGOING_MAX = 4096
"""Commands that wait for a socket that takes none: all that is pending, and what subscriptions ask."""

INCOMING_MAX = 256
"""Frames that wait between an event stream's reader and the client; a full queue holds the stream back."""

MESSAGE_BYTES_MAX = 16 * 1024 * 1024
"""The longest message that is taken from a hub: a page of history is the largest."""
