"""What the transports over HTTP share: addresses, headers, and what a refusal says."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from ..machine.verdict import Broken, Loss, Refused, Untrusted
from .link import LinkOptions


def address(base: str, path: str) -> str:
    """The address of a path of the protocol."""
    return f"{base.rstrip('/')}/v1/{path}"


def headers(options: LinkOptions) -> dict[str, str]:
    """Headers of a request, but for what is its own."""
    told = {"cache-control": "no-store"}
    if options.token is not None:
        told["authorization"] = f"Bearer {options.token}"
    return told


def retry_after(text: str | None, now: datetime | None = None) -> float:
    """Retry-After in seconds, be it seconds or a date; 0 when there is none or it says nothing."""
    if not text:
        return 0.0
    if text.strip().isdigit():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - (now or datetime.now(UTC))).total_seconds())


def refusal(status: int, told: Mapping[str, str], body: bytes) -> Refused:
    """What an answer that gives no session says."""
    code = message = ""
    if told.get("content-type", "").startswith("application/problem+json"):
        try:
            problem = json.loads(body)
        except ValueError:
            problem = None  # Cut on its way: the status alone has to do.
        if isinstance(problem, dict):
            code, message = str(problem.get("code", "")), str(problem.get("detail", ""))
    return Refused(status, code, message, retry_after(told.get("retry-after")))


OF_ITS_TIME = (9, 10)
"""OpenSSL's numbers for a certificate that is not valid yet, and for one that has ended: it is renewed some day."""


def broken(error: BaseException) -> Loss:
    """What a failure of the network means."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError) and cause.verify_code not in OF_ITS_TIME:
            return Untrusted(f"the hub's certificate is not trusted: {cause.verify_message}")
        cause = cause.__cause__ or cause.__context__
    return Broken(str(error) or type(error).__name__)


BROKEN_HTTP = (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError)
"""What a request fails with."""
