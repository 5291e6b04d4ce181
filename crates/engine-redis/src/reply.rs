//! What Redis answers, without a word of the client library.

use bytes::Bytes;

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    Nil,
    Integer(i64),
    Bytes(Bytes),
    Array(Vec<Reply>),
}

/// Why a command has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// It was not sent: nothing has happened.
    #[error("{0}")]
    NotSent(Box<str>),
    /// The server refused it, in these words: nothing has happened.
    #[error("redis refused: {0}")]
    Refused(Box<str>),
    /// It was sent, and what became of it is not known.
    #[error("{0}")]
    Lost(Box<str>),
    /// The answer is none that the command gives.
    #[error("redis answered what this version of the engine does not understand")]
    Garbled,
}

impl CallError {
    /// The first word of a refusal, for example `NOSCRIPT`.
    pub(crate) fn code(&self) -> &str {
        match self {
            Self::Refused(text) => text.split(' ').next().unwrap_or_default(),
            _ => "",
        }
    }
}

impl Reply {
    pub(crate) fn array(self) -> Result<Vec<Reply>, CallError> {
        match self {
            Self::Array(items) => Ok(items),
            _ => Err(CallError::Garbled),
        }
    }

    pub(crate) fn bytes(self) -> Result<Bytes, CallError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(CallError::Garbled),
        }
    }

    pub(crate) fn text(self) -> Result<String, CallError> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| CallError::Garbled)
    }

    /// A number that is not negative, as an integer or as its digits.
    pub(crate) fn number(&self) -> Result<u64, CallError> {
        let number = match self {
            Self::Integer(number) => u64::try_from(*number).ok(),
            Self::Bytes(digits) => std::str::from_utf8(digits)
                .ok()
                .and_then(|digits| digits.parse().ok()),
            Self::Nil | Self::Array(_) => None,
        };
        number.ok_or(CallError::Garbled)
    }
}

/// Takes an array apart into exactly as many answers as are expected.
pub(crate) fn exactly<const N: usize>(reply: Reply) -> Result<[Reply; N], CallError> {
    reply.array()?.try_into().map_err(|_| CallError::Garbled)
}
