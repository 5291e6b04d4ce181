"""How long to wait before coming back: a random time, since thousands of others lost their connection in the same moment."""

from __future__ import annotations


def backoff(attempt: int, random: float, *, base: float = 0.5, cap: float = 30.0) -> float:
    """Full jitter, in seconds: between 0 and ``min(cap, base * 2**attempt)``; ``random`` is between 0 and 1."""
    return random * min(cap, base * 2.0 ** min(attempt, 30))
