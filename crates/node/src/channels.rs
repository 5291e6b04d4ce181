//! Channels: their history and their list.

use std::collections::HashMap;

use switchboard_core::{ChannelName, ChannelPattern, ClientError, Position};
use switchboard_engine::{History, Read, ReadFrom};

use crate::node::Node;
use crate::shard::mail::Control;
use crate::shared::{Shared, engine_error};

/// A page of channels.
#[derive(Clone, Debug, Default)]
pub struct ChannelListing {
    /// The channels, sorted by name.
    pub channels: Vec<ChannelSummary>,
    /// The name to go on after; nothing on the last page.
    pub next: Option<ChannelName>,
}

/// A channel in a list.
#[derive(Clone, Debug)]
pub struct ChannelSummary {
    /// Its name.
    pub channel: ChannelName,
    /// Subscriptions on this node.
    pub subscriptions: u64,
    /// Members, on all nodes.
    pub members: u64,
    /// Where it stands.
    pub position: Position,
}

impl Node {
    /// Reads a channel's history; at most `limit` publications, and never more than the configured page.
    ///
    /// # Errors
    /// `unknown_namespace`, `unavailable`. A position that cannot be read from gives `complete: false`.
    pub async fn read_history(
        &self,
        channel: &ChannelName,
        from: ReadFrom,
        limit: Option<u32>,
    ) -> Result<History, ClientError> {
        self.shared().read_history(channel, from, limit).await
    }

    /// Removes a channel's history; offsets go on.
    ///
    /// # Errors
    /// `unknown_namespace`, `unavailable`.
    pub async fn remove_history(&self, channel: &ChannelName) -> Result<(), ClientError> {
        self.shared().policy(channel)?;
        self.shared()
            .engine
            .remove_history(channel)
            .await
            .map_err(engine_error)
    }

    /// Lists channels that have subscribers on this node, a position or members, sorted by name.
    ///
    /// # Errors
    /// `unavailable`.
    pub async fn list_channels(
        &self,
        pattern: Option<ChannelPattern>,
        after: Option<ChannelName>,
        limit: usize,
    ) -> Result<ChannelListing, ClientError> {
        let shared = self.shared();
        let after_text = after.as_ref().map(ChannelName::as_str);
        let known = shared
            .engine
            .channels(pattern.as_ref(), after_text, limit)
            .await
            .map_err(engine_error)?;
        let mut found: HashMap<ChannelName, ChannelSummary> = known
            .channels
            .into_iter()
            .map(|info| {
                let (channel, position, members) = (info.channel, info.position, info.members);
                (
                    channel.clone(),
                    ChannelSummary {
                        channel,
                        subscriptions: 0,
                        members,
                        position,
                    },
                )
            })
            .collect();
        let mut more = known.more;
        // Channels that are only subscribed to are not known to the engine; and what it cut off is not looked at here.
        let last_known = if more {
            found.keys().max().cloned()
        } else {
            None
        };
        for local in self
            .ask_shards(|reply| Control::Channels { reply })
            .await
            .into_iter()
            .flatten()
        {
            let (channel, subscriptions): (ChannelName, u64) = local;
            let wanted = pattern.as_ref().is_none_or(|p| p.matches(&channel))
                && after.as_ref().is_none_or(|a| channel > *a)
                && last_known.as_ref().is_none_or(|l| channel <= *l);
            if !wanted {
                continue;
            }
            if let Some(summary) = found.get_mut(&channel) {
                summary.subscriptions += subscriptions;
            } else if subscriptions > 0 {
                let read = Read {
                    from: ReadFrom::Newest,
                    limit: 0,
                };
                let position = shared
                    .engine
                    .read(&channel, read)
                    .await
                    .map_err(engine_error)?
                    .top;
                found.insert(
                    channel.clone(),
                    ChannelSummary {
                        channel,
                        subscriptions,
                        members: 0,
                        position,
                    },
                );
            }
        }
        let mut channels: Vec<_> = found.into_values().collect();
        channels.sort_by(|a, b| a.channel.cmp(&b.channel));
        more |= channels.len() > limit;
        channels.truncate(limit);
        let next = channels
            .last()
            .filter(|_| more)
            .map(|last| last.channel.clone());
        Ok(ChannelListing { channels, next })
    }
}

impl Shared {
    pub(crate) async fn read_history(
        &self,
        channel: &ChannelName,
        from: ReadFrom,
        limit: Option<u32>,
    ) -> Result<History, ClientError> {
        self.policy(channel)?;
        let limit = limit.unwrap_or(u32::MAX).min(self.limits.history_page_max) as usize;
        self.engine
            .read(channel, Read { from, limit })
            .await
            .map_err(engine_error)
    }
}
