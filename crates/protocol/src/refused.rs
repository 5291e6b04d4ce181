//! A command that makes no sense.

use std::borrow::Cow;

use switchboard_core::{ClientError, ErrorCode, Reply};

/// The longest message about a refused command, in bytes: what it quotes came from the client.
const MESSAGE_BYTES_MAX: usize = 300;

/// Why a command was refused, with its id whenever that could be read, so that whoever awaits the reply gets one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Refused {
    /// The command's id.
    pub id: Option<u64>,
    /// Why.
    pub error: ClientError,
}

impl Refused {
    /// The reply that the client awaits; nothing when the command had no id, or none that could be read.
    pub fn into_reply(self) -> Option<Reply> {
        let Self { id, error } = self;
        id.map(|id| Reply {
            id,
            outcome: Err(error),
        })
    }
}

/// Makes a `bad_request`, its message cut to a sane length.
pub(crate) fn bad_request(message: impl Into<Cow<'static, str>>) -> ClientError {
    let mut message = message.into();
    if message.len() > MESSAGE_BYTES_MAX {
        let end = message.floor_char_boundary(MESSAGE_BYTES_MAX);
        message = Cow::Owned(format!("{}…", &message[..end]));
    }
    ClientError::new(ErrorCode::BadRequest, message)
}
