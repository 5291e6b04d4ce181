"""Commands that await their reply: deadlines, repetition, and what a lost connection means for each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import random
from typing import Any

from .codec import Command, write_command
from .errors import SwitchboardError
from .frames import Json, Reply, WireError
from .machine.backoff import backoff
from .timing import PENDING_MAX, Timing


@dataclass(slots=True, eq=False)
class _Pending:
    command: Command
    safe: bool
    """It may be carried out twice: it is sent again when the connection was lost, and when the hub says that it may succeed later."""
    outcome: asyncio.Future[Json]
    sent: bool = False
    attempt: int = 0
    retry: asyncio.TimerHandle | None = None

    def fail(self, error: SwitchboardError) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(error)


class PendingRequests:
    """All commands of a client but those of its subscriptions."""

    def __init__(self, next_id: Callable[[], int], send: Callable[[Command], bool], timing: Timing) -> None:
        self._next_id = next_id
        self._send = send
        """Sends when there is a session; says whether there was one."""
        self._timing = timing
        self._pending: dict[int, _Pending] = {}

    async def ask(self, verb: str, body: dict[str, Any], *, safe: bool, timeout: float) -> Json:
        """Asks, and awaits what the reply holds under the command's name.

        Raises ``SwitchboardError``; ``TypeError`` or ``ValueError`` where the data is no JSON.
        Cancel safety: what has been sent may still happen.
        """
        if len(self._pending) >= PENDING_MAX:
            raise SwitchboardError("overflow", f"{PENDING_MAX} commands are under way already", retryable=True)
        number = self._next_id()
        command = {"id": number, verb: body}
        write_command(command)  # What is no JSON is the caller's mistake, and told now.
        pending = _Pending(command, safe, asyncio.get_running_loop().create_future())
        self._pending[number] = pending
        try:
            async with asyncio.timeout(timeout):
                pending.sent = self._send(command)
                return await pending.outcome
        except TimeoutError:
            message = f"{verb}: no reply within {timeout:g} s; whether it happened may be unknown"
            raise SwitchboardError("timeout", message, retryable=True) from None
        finally:
            del self._pending[number]
            if pending.retry is not None:
                pending.retry.cancel()

    def answer(self, reply: Reply) -> bool:
        """A reply came. Says whether it was awaited here."""
        pending = self._pending.get(reply.id)
        if pending is None:
            return False
        error = reply.error
        if error is None:
            if not pending.outcome.done():
                pending.outcome.set_result(reply.result)
        elif error.retryable and pending.safe:
            self._later(pending, error)
        else:
            pending.fail(of_wire(error))
        return True

    def opened(self) -> None:
        """A session stands: what waits is sent, in the order in which it was asked."""
        for pending in list(self._pending.values()):
            if not pending.sent and pending.retry is None:
                pending.sent = self._send(pending.command)

    def lost(self) -> None:
        """The session is gone, and with it the replies of what was sent."""
        for pending in list(self._pending.values()):
            if pending.safe:
                pending.sent = False
            elif pending.sent:
                message = "the connection was lost before the reply: whether it happened is unknown"
                pending.fail(SwitchboardError("unavailable", message, retryable=True))

    def fail(self, error: SwitchboardError) -> None:
        """The client stops."""
        for pending in list(self._pending.values()):
            pending.fail(error)

    def _later(self, pending: _Pending, error: WireError) -> None:
        def again() -> None:
            pending.retry = None
            pending.sent = self._send(pending.command)

        pending.sent = False
        timing = self._timing
        wait = error.retry_after or backoff(pending.attempt, random(), base=timing.backoff_base, cap=timing.backoff_cap)
        pending.attempt += 1
        pending.retry = asyncio.get_running_loop().call_later(wait, again)


def of_wire(error: WireError) -> SwitchboardError:
    """The hub's error as an exception."""
    return SwitchboardError(error.code, error.message, retryable=error.retryable, retry_after=error.retry_after)
