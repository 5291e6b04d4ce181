//! Members of a channel, and how their coming and going is told.

use std::sync::Arc;

use bytes::Bytes;

use crate::{ChannelName, Epoch, SessionId, UserId};

/// One session present in a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The session under which the member joined. It stays when the same user comes back within the grace in a new
    /// session, so that whoever saw the join understands the leave.
    pub session: SessionId,
    /// The user; nothing for an anonymous session.
    pub user: Option<UserId>,
    /// The token's `info`: one JSON text without raw line breaks.
    pub info: Option<Bytes>,
    /// When the member joined, milliseconds since 1970.
    pub joined_ms: u64,
}

/// What happened to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresenceChange {
    /// It came.
    Join,
    /// It went: for good, grace included.
    Leave,
}

/// One numbered change of a channel's members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceEvent {
    /// The channel.
    pub channel: ChannelName,
    /// The life of the channel's presence that `sequence` counts in.
    pub epoch: Epoch,
    /// 1, 2, 3 … within the epoch: a listing tells the number it stands at, so a watcher joins the two without a hole.
    pub sequence: u64,
    /// What happened.
    pub change: PresenceChange,
    /// To whom.
    pub member: Arc<Member>,
}
