//! Who is present, asked by services and clients.

use switchboard_core::{ChannelName, ClientError, ErrorCode};
use switchboard_engine::{Counts, MemberPage, MemberQuery};

use crate::node::Node;
use crate::shared::{Shared, engine_error};

impl Node {
    /// Lists a page of a channel's members; `limit` 0 asks for the counts alone, nothing for the largest page.
    ///
    /// # Errors
    /// `unknown_namespace`, `not_found` (the namespace does not track presence), `bad_request` (no such page), `unavailable`.
    pub async fn list_members(
        &self,
        channel: &ChannelName,
        page: Option<Box<str>>,
        limit: Option<u32>,
    ) -> Result<MemberPage, ClientError> {
        self.shared().list_members(channel, page, limit).await
    }

    /// Counts the members of many channels; channels without presence count nobody.
    ///
    /// # Errors
    /// `unavailable`.
    pub async fn count_members(
        &self,
        channels: &[ChannelName],
    ) -> Result<Vec<Counts>, ClientError> {
        self.shared()
            .engine
            .count_members(channels)
            .await
            .map_err(engine_error)
    }
}

impl Shared {
    pub(crate) async fn list_members(
        &self,
        channel: &ChannelName,
        page: Option<Box<str>>,
        limit: Option<u32>,
    ) -> Result<MemberPage, ClientError> {
        self.tracks_presence(channel)?;
        let limit = limit.unwrap_or(u32::MAX).min(self.limits.presence_page_max) as usize;
        self.engine
            .members(channel, MemberQuery { after: page, limit })
            .await
            .map_err(engine_error)
    }

    pub(crate) fn tracks_presence(&self, channel: &ChannelName) -> Result<(), ClientError> {
        if self.policy(channel)?.presence {
            return Ok(());
        }
        let message = format!(
            "namespace `{}` does not track presence: set `presence = true`",
            channel.namespace()
        );
        Err(ClientError::new(ErrorCode::NotFound, message))
    }
}
