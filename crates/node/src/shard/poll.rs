//! Poll sessions: frames wait in the outbox until a later poll's cursor acknowledges them, so a lost response loses nothing.

use bytes::Bytes;

/// A poll's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollBatch {
    /// The whole response body: `{"key":"…","cursor":"…","frames":[…]}`.
    pub body: Bytes,
}

/// Why a poll or a POST was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PollRefused {
    /// The session is not (or no longer) on this node, or the key is wrong.
    #[error("the session is gone: open a new one from the cursor")]
    Gone,
}
