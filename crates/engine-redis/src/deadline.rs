//! How operations end in time, and how their errors say whether they may have happened.

use std::time::Duration;

use switchboard_engine::EngineError;

use crate::reply::CallError;

/// Runs an operation to its end or to the deadline, whichever is first.
pub(crate) async fn within<T>(
    timeout: Duration,
    operation: impl Future<Output = Result<T, EngineError>>,
) -> Result<T, EngineError> {
    match tokio::time::timeout(timeout, operation).await {
        Ok(answer) => answer,
        Err(_) => Err(unanswered()),
    }
}

/// An error for what was sent and has no answer.
pub(crate) fn unanswered() -> EngineError {
    EngineError::Unavailable {
        reason: "redis did not answer in time".into(),
        may_have_happened: true,
    }
}

/// An error for what has certainly not happened.
pub(crate) fn refused(reason: &str) -> EngineError {
    EngineError::Unavailable {
        reason: reason.into(),
        may_have_happened: false,
    }
}

/// Says of a failed call whether it may have happened.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` takes")]
pub(crate) fn unavailable(error: CallError) -> EngineError {
    EngineError::Unavailable {
        reason: error.to_string().into(),
        may_have_happened: matches!(error, CallError::Lost(_) | CallError::Garbled),
    }
}

pub(crate) fn may_have_happened(error: &EngineError) -> bool {
    matches!(
        error,
        EngineError::Unavailable {
            may_have_happened: true,
            ..
        }
    )
}
