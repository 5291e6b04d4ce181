"""Where tokens come from, and when the next is needed."""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Callable
from typing import Literal

from .errors import SwitchboardError

TokenReason = Literal["connect", "expiring", "refused"]
"""Why a token is asked for."""

GetToken = Callable[[TokenReason], Awaitable[str] | str]
"""Fetches a token. A ``SwitchboardError`` with the code ``permission_denied`` or ``unauthenticated`` stops the client;
after other exceptions it is asked again."""

SPARE = 2.0
"""A token is not used for an opening when it ends within so many seconds."""

_FINAL = frozenset({"permission_denied", "unauthenticated"})


def is_final(error: Exception) -> bool:
    """Whether the application said by this error that there will be no token."""
    return isinstance(error, SwitchboardError) and error.code in _FINAL


class Tokens:
    """The present token."""

    def __init__(self, token: str | None, get_token: GetToken | None) -> None:
        self._token = token
        self._get_token = get_token
        self.ends_at = math.inf
        """When the hub says that the present one ends, by this machine's monotonic clock."""

    @property
    def can_renew(self) -> bool:
        """Whether another can be had."""
        return self._get_token is not None

    async def for_opening(self, now: float, *, fresh: bool) -> str | None:
        """A token for an opening; ``fresh`` when the present one was refused."""
        if self._get_token is None:
            if fresh:
                raise SwitchboardError(
                    "unauthenticated", "the token was refused, and there is no `get_token` to ask for another"
                )
            return self._token
        if not fresh and self._token is not None and self.ends_at - now > SPARE:
            return self._token
        return await self.renew("refused" if fresh else "connect")

    async def renew(self, reason: TokenReason) -> str:
        """Asks for a new one."""
        if self._get_token is None:
            raise SwitchboardError("unauthenticated", "there is no `get_token`")
        told = self._get_token(reason)
        self._token = await told if inspect.isawaitable(told) else told
        self.ends_at = math.inf
        return self._token
