//! What the client fails with.

use std::time::Duration;

/// Whatever the client fails with; told apart by its [`code`](Self::code), such as `permission_denied`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Error {
    code: String,
    message: String,
    retryable: bool,
    retry_after: Option<Duration>,
}

impl Error {
    pub(crate) fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            retryable: false,
            retry_after: None,
        }
    }

    pub(crate) fn retryable(mut self, retry_after: Option<Duration>) -> Self {
        self.retryable = true;
        self.retry_after = retry_after;
        self
    }

    pub(crate) fn timeout(what: &str) -> Self {
        let message = format!("{what}: not done in time; whether it happened may be unknown");
        Self::new("timeout", message).retryable(None)
    }

    pub(crate) fn closed() -> Self {
        Self::new("disconnected", "the client is closed")
    }

    /// The stable code: one of the hub's (`proto/PROTOCOL.md`), `closed_CODE` for a close, or one of the client's own: `disconnected`,
    /// `timeout`, `aborted`, `unavailable`, `untrusted`, `token_failed`, `closed`, `overflow`, `unreadable`.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// What is wrong, for a person.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether the same may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }

    /// How long to wait before, where the hub said so.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}
