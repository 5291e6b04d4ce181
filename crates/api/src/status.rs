//! The one table from error codes to gRPC statuses.
//!
//! Every refusal carries `google.rpc.ErrorInfo` with the stable code as its reason, so that a caller never has to read a
//! message; and `google.rpc.RetryInfo` where the time to retry at is known.

use std::collections::HashMap;

use http::HeaderMap;
use switchboard_core::{ClientError, ErrorCode};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The domain of every `ErrorInfo`.
pub const ERROR_DOMAIN: &str = "switchboard";

/// What an error code is in gRPC.
pub(crate) fn grpc_code(code: ErrorCode) -> Code {
    match code {
        ErrorCode::BadRequest | ErrorCode::PayloadTooLarge => Code::InvalidArgument,
        ErrorCode::Unauthenticated | ErrorCode::TokenExpired => Code::Unauthenticated,
        ErrorCode::PermissionDenied => Code::PermissionDenied,
        ErrorCode::UnknownNamespace | ErrorCode::NotFound => Code::NotFound,
        ErrorCode::AlreadySubscribed => Code::AlreadyExists,
        ErrorCode::NotSubscribed | ErrorCode::PositionUnavailable => Code::FailedPrecondition,
        ErrorCode::LimitExceeded | ErrorCode::RateLimited => Code::ResourceExhausted,
        ErrorCode::Timeout => Code::DeadlineExceeded,
        ErrorCode::NoService | ErrorCode::Unavailable => Code::Unavailable,
        ErrorCode::Internal => Code::Internal,
    }
}

/// An error as the status of a call.
pub(crate) fn status(error: ClientError) -> Status {
    detailed(grpc_code(error.code), error)
}

/// A refusal without a time to retry at.
pub(crate) fn refused(
    code: ErrorCode,
    message: impl Into<std::borrow::Cow<'static, str>>,
) -> Status {
    status(ClientError::new(code, message))
}

/// What the caller asked for needs something that this hub has not been given.
pub(crate) fn not_configured(message: &'static str) -> Status {
    detailed(
        Code::FailedPrecondition,
        ClientError::new(ErrorCode::NotFound, message),
    )
}

/// The end of a stream when the node drains: the caller goes on elsewhere.
pub(crate) fn draining() -> Status {
    let after = std::time::Duration::from_secs(1);
    status(
        ClientError::new(
            ErrorCode::Unavailable,
            "this node is draining: go on at another",
        )
        .retry_after(after),
    )
}

/// Gives a status of tonic's own (an unknown method, a message that cannot be decoded) the details that all others have.
pub(crate) fn explained(status: Status) -> Status {
    if status.code() == Code::Ok || !status.details().is_empty() {
        return status;
    }
    let (code, reason) = match status.code() {
        // Our own `internal` has details, so this one is tonic's: the message was no protobuf.
        Code::InvalidArgument | Code::Internal => (Code::InvalidArgument, ErrorCode::BadRequest),
        // How tonic says that a message is too large.
        Code::OutOfRange => (Code::InvalidArgument, ErrorCode::PayloadTooLarge),
        Code::Cancelled => return status,
        Code::Unauthenticated => (Code::Unauthenticated, ErrorCode::Unauthenticated),
        Code::PermissionDenied => (Code::PermissionDenied, ErrorCode::PermissionDenied),
        Code::DeadlineExceeded => (Code::DeadlineExceeded, ErrorCode::Timeout),
        Code::ResourceExhausted => (Code::ResourceExhausted, ErrorCode::LimitExceeded),
        Code::Unavailable => (Code::Unavailable, ErrorCode::Unavailable),
        Code::Unimplemented => (Code::Unimplemented, ErrorCode::NotFound),
        Code::NotFound => (Code::NotFound, ErrorCode::NotFound),
        other => (other, ErrorCode::Internal),
    };
    let message = match status.message() {
        "" => format!("{code:?}"),
        message => message.to_owned(),
    };
    detailed(code, ClientError::new(reason, message))
}

/// [`explained`] for a status that is headers already; gives its code, nothing where there is none.
pub(crate) fn explain(headers: &mut HeaderMap) -> Option<Code> {
    let status = Status::from_header_map(headers)?;
    if status.code() == Code::Ok || !status.details().is_empty() {
        return Some(status.code());
    }
    let status = explained(status);
    headers.remove(Status::GRPC_MESSAGE);
    status.add_header(headers).ok()?;
    Some(status.code())
}

fn detailed(code: Code, error: ClientError) -> Status {
    let mut details =
        ErrorDetails::with_error_info(error.code.as_str(), ERROR_DOMAIN, HashMap::new());
    if let Some(after) = error.retry_after {
        details.set_retry_info(Some(after));
    }
    Status::with_error_details(code, error.message.into_owned(), details)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_status_tells_code_reason_and_time_to_retry() {
        let error = ClientError::new(ErrorCode::RateLimited, "slower")
            .retry_after(Duration::from_millis(1500));
        let status = status(error);
        assert_eq!(
            (status.code(), status.message()),
            (Code::ResourceExhausted, "slower")
        );
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!(
            (info.reason.as_str(), info.domain.as_str()),
            ("rate_limited", "switchboard")
        );
        assert_eq!(
            details.retry_info().unwrap().retry_delay,
            Some(Duration::from_millis(1500))
        );
    }

    #[test]
    fn statuses_of_the_framework_get_details_too() {
        let check = |from: Status, code: Code, reason: &str| {
            let mut headers = from.to_http_headers();
            assert_eq!(explain(&mut headers), Some(code));
            let status = Status::from_header_map(&headers).unwrap();
            assert_eq!((status.code(), status.message()), (code, from.message()));
            assert_eq!(status.get_details_error_info().unwrap().reason, reason);
        };
        check(
            Status::internal("no protobuf"),
            Code::InvalidArgument,
            "bad_request",
        );
        check(
            Status::out_of_range("too large"),
            Code::InvalidArgument,
            "payload_too_large",
        );
        check(
            Status::unimplemented("which?"),
            Code::Unimplemented,
            "not_found",
        );
        let mut ours = refused(ErrorCode::Internal, "broken").to_http_headers();
        assert_eq!(explain(&mut ours), Some(Code::Internal));
        assert_eq!(explain(&mut HeaderMap::new()), None);
    }

    trait ToHeaders {
        fn to_http_headers(&self) -> HeaderMap;
    }

    impl ToHeaders for Status {
        fn to_http_headers(&self) -> HeaderMap {
            let mut headers = HeaderMap::new();
            self.add_header(&mut headers).unwrap();
            headers
        }
    }
}
