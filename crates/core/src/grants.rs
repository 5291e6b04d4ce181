//! What a token lets its bearer do, channel by channel.

use crate::{ChannelName, ChannelPattern};

/// The grants of one token, from its private claim `switchboard`.
///
/// The default grants nothing. Presence and history of a channel need their own grant: knowing who is there is
/// more than being there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Channels that may be subscribed to.
    pub subscribe: Vec<ChannelPattern>,
    /// Channels that may be published to.
    pub publish: Vec<ChannelPattern>,
    /// Channels whose members may be listed.
    pub presence: Vec<ChannelPattern>,
    /// Channels whose history may be read at will (recovery needs no grant).
    pub history: Vec<ChannelPattern>,
    /// Channels subscribed at once when a session opens; being named here is the grant.
    pub channels: Vec<ChannelName>,
}

impl Grants {
    /// Tells whether `channel` may be subscribed to.
    pub fn may_subscribe(&self, channel: &ChannelName) -> bool {
        self.channels.contains(channel) || any(&self.subscribe, channel)
    }

    /// Tells whether `channel` may be published to.
    pub fn may_publish(&self, channel: &ChannelName) -> bool {
        any(&self.publish, channel)
    }

    /// Tells whether the members of `channel` may be listed.
    pub fn may_list_members(&self, channel: &ChannelName) -> bool {
        any(&self.presence, channel)
    }

    /// Tells whether the history of `channel` may be read.
    pub fn may_read_history(&self, channel: &ChannelName) -> bool {
        any(&self.history, channel)
    }
}

fn any(patterns: &[ChannelPattern], channel: &ChannelName) -> bool {
    patterns.iter().any(|pattern| pattern.matches(channel))
}
