"""Which transport to try next: down a rung when one is barred, up again later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ..timing import Timing

TransportName = Literal["websocket", "sse"]


class Ladder:
    """The transports in order of preference, and where on them the client stands."""

    def __init__(self, rungs: Sequence[TransportName], timing: Timing) -> None:
        if not rungs:
            raise ValueError("`transports` names none")
        self._rungs = tuple(rungs)
        self._timing = timing
        self._rung = 0
        self._early_deaths = 0
        self._step_ups = 0
        self._has_stepped_up = False

    @property
    def transport(self) -> TransportName:
        """The transport to use now."""
        return self._rungs[self._rung]

    @property
    def better(self) -> TransportName | None:
        """The transport of the rung above; None at the top."""
        return self._rungs[self._rung - 1] if self._rung > 0 else None

    @property
    def step_up_after(self) -> float:
        """How long to stay before the rung above is tried, in seconds."""
        return min(self._timing.step_up_max, self._timing.step_up * 2.0 ** min(self._step_ups, 20))

    def barred(self) -> bool:
        """An attempt gave no session, and the transport is to blame.

        Says whether a lower rung is taken: below the last comes the first again, and that is none.
        """
        self._early_deaths = 0
        return self._down()

    def died(self, lived: float) -> bool:
        """A session's connection broke after so many seconds, with no word of the hub. Says whether a lower rung is taken."""
        if lived >= self._timing.proven:
            self._early_deaths = 0
            return False
        self._early_deaths += 1
        return self._early_deaths >= self._timing.early_deaths_max and self.barred()

    def stepped_up(self) -> None:
        """The rung above gave a session: stand there."""
        self._rung = max(0, self._rung - 1)
        self._has_stepped_up = True
        self._early_deaths = 0

    def step_up_failed(self) -> None:
        """The rung above was tried and gave none."""
        self._step_ups += 1

    def proven(self) -> None:
        """The present connection has lived long enough to prove its transport."""
        self._early_deaths = 0
        self._has_stepped_up = False
        if self._rung == 0:
            self._step_ups = 0

    def _down(self) -> bool:
        # A better transport that was stepped up to and did not last is tried again more rarely.
        if self._has_stepped_up:
            self._step_ups += 1
        self._has_stepped_up = False
        before = self._rung
        self._rung = (before + 1) % len(self._rungs)
        return self._rung > before
