//! What every transport gives: frames, and at last an end.

use super::Frame;

/// The next thing that a transport gave.
#[derive(Debug)]
pub enum Step {
    /// A frame.
    Frame(Frame),
    /// The end.
    Ended(Ended),
}

/// How a session ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// The close code: of the WebSocket's close frame, else of the last `close` frame. Nothing: the connection broke.
    pub code: Option<u16>,
    /// The reason beside it, or what broke.
    pub reason: String,
}

impl Ended {
    #[allow(
        clippy::needless_pass_by_value,
        reason = "errors are handed over as they come"
    )]
    pub(super) fn broken(what: impl ToString) -> Self {
        Self {
            code: None,
            reason: what.to_string(),
        }
    }

    pub(super) fn of_close(frame: &Frame) -> Self {
        let code = frame.body["code"]
            .as_u64()
            .and_then(|code| u16::try_from(code).ok());
        Self {
            code,
            reason: frame.body["reason"].as_str().unwrap_or_default().to_owned(),
        }
    }
}
