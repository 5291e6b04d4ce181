//! A payload accepted into a channel.

use bytes::Bytes;

use crate::{ChannelName, Epoch, Position, SessionId, UserId};

/// What a publisher handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// One valid JSON text without raw line breaks (whoever accepts it has checked that once); it is passed on as it is.
    Json(Bytes),
    /// Any bytes. JSON clients get them as base64 with `"binary": true`.
    Binary(Bytes),
}

impl Payload {
    /// The payload's bytes, whichever kind.
    pub fn bytes(&self) -> &Bytes {
        match self {
            Self::Json(bytes) | Self::Binary(bytes) => bytes,
        }
    }
}

/// Who published from the client's side; publications of services have none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The publishing session's user; nothing for an anonymous one.
    pub user: Option<UserId>,
    /// The publishing session.
    pub session: SessionId,
}

/// A payload accepted into a channel, with its place there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// The channel.
    pub channel: ChannelName,
    /// The channel's epoch.
    pub epoch: Epoch,
    /// 1, 2, 3 … within the epoch; 0 for a publication that skipped history: it has no place, is never recovered and
    /// moves nobody's position.
    pub offset: u64,
    /// The publisher's bytes.
    pub payload: Payload,
    /// The publisher's idempotency key.
    pub id: Option<Box<str>>,
    /// The client that published.
    pub from: Option<Origin>,
    /// When the engine accepted it, milliseconds since 1970.
    pub time_ms: u64,
    /// The publisher's tags, no name twice. Their order means nothing.
    pub tags: Vec<(Box<str>, Box<str>)>,
    /// A session that is not to get it: most often the one that caused it.
    pub exclude: Option<SessionId>,
}

impl Publication {
    /// Its place in the channel.
    pub fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            offset: self.offset,
        }
    }
}
