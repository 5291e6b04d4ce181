"""What an application is told when something fails."""

from __future__ import annotations


class SwitchboardError(Exception):
    """Whatever the client fails with.

    ``code`` is stable: one of the hub's error codes, ``closed_CODE`` for a close, or one of the client's own:
    ``disconnected``, ``timeout``, ``unavailable``, ``token_failed``, ``closed``, ``overflow``.
    """

    def __init__(self, code: str, message: str, *, retryable: bool = False, retry_after: float = 0.0) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.retryable = retryable
        """The same may succeed later."""
        self.retry_after = retry_after
        """Not before so many seconds; 0: no advice."""
