//! Errors that clients and services see: stable codes, the same on every way out.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// A stable error code: in replies, in problem documents, and as the reason of gRPC's ErrorInfo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(
    missing_docs,
    reason = "the names are the documentation; proto/PROTOCOL.md lists them with their meaning"
)]
pub enum ErrorCode {
    BadRequest,
    Unauthenticated,
    PermissionDenied,
    UnknownNamespace,
    NotFound,
    AlreadySubscribed,
    NotSubscribed,
    LimitExceeded,
    RateLimited,
    PayloadTooLarge,
    PositionUnavailable,
    TokenExpired,
    NoService,
    Timeout,
    Unavailable,
    Internal,
}

impl ErrorCode {
    /// The code on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Unauthenticated => "unauthenticated",
            Self::PermissionDenied => "permission_denied",
            Self::UnknownNamespace => "unknown_namespace",
            Self::NotFound => "not_found",
            Self::AlreadySubscribed => "already_subscribed",
            Self::NotSubscribed => "not_subscribed",
            Self::LimitExceeded => "limit_exceeded",
            Self::RateLimited => "rate_limited",
            Self::PayloadTooLarge => "payload_too_large",
            Self::PositionUnavailable => "position_unavailable",
            Self::TokenExpired => "token_expired",
            Self::NoService => "no_service",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    /// Whether the same request may work later.
    pub fn retryable(self) -> bool {
        matches!(
            self,
            Self::RateLimited
                | Self::Timeout
                | Self::Unavailable
                | Self::Internal
                | Self::NoService
        )
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error as a client or a service sees it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ClientError {
    /// The stable code.
    pub code: ErrorCode,
    /// What was wrong and what to do, for a person.
    pub message: Cow<'static, str>,
    /// When to try again, where that is known.
    pub retry_after: Option<Duration>,
}

impl ClientError {
    /// Makes an error without a time to retry at.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_after: None,
        }
    }

    /// The same error with a time to retry at.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }
}
