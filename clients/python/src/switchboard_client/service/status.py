"""From gRPC's failures to the client's error: the stable code is the ``reason`` of ``google.rpc.ErrorInfo``."""

from __future__ import annotations

from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode
from grpc.aio import AioRpcError

from ..errors import SwitchboardError

DETAILS = "grpc-status-details-bin"

# What a failure means that did not come from the hub, and so has no reason: the library's own, or a proxy's.
_CODES = {
    StatusCode.DEADLINE_EXCEEDED: "timeout",
    StatusCode.UNAVAILABLE: "unavailable",
    StatusCode.UNAUTHENTICATED: "unauthenticated",
    StatusCode.PERMISSION_DENIED: "permission_denied",
    StatusCode.NOT_FOUND: "not_found",
    StatusCode.INVALID_ARGUMENT: "bad_request",
    StatusCode.RESOURCE_EXHAUSTED: "limit_exceeded",
}

_RETRYABLE = frozenset({"unavailable", "timeout", "rate_limited", "internal"})


def error_of(failure: AioRpcError) -> SwitchboardError:
    """The failure of a call as an exception."""
    known = _CODES.get(failure.code())
    code, message, retry_after = known or "internal", failure.details() or "", 0.0
    retryable = known in _RETRYABLE
    for key, value in failure.trailing_metadata():
        if key != DETAILS or not isinstance(value, bytes):
            continue
        for detail in status_pb2.Status.FromString(value).details:
            info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
            if detail.Unpack(info):
                code = info.reason
                retryable = code in _RETRYABLE
            elif detail.Unpack(retry):
                retry_after = retry.retry_delay.ToTimedelta().total_seconds()
    return SwitchboardError(code, message, retryable=retryable, retry_after=retry_after)
