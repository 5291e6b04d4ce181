//! Publishing as a service.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use switchboard_proto::api::v1;
use switchboard_proto::api::v1::publish_item::Payload as Wire;
use switchboard_proto::api::v1::publish_result::Result as Fate;

use super::Service;
use crate::client::random_id;
use crate::{Error, Payload, Position};

/// What to publish.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Where.
    pub channel: String,
    /// JSON or bytes.
    pub payload: Payload,
    /// The idempotency id: the same one publishes once. None: a random one.
    pub id: Option<String>,
    /// The publisher's tags.
    pub tags: BTreeMap<String, String>,
    /// Is not to receive it, usually the session that caused it.
    pub exclude_session: Option<String>,
    /// Publish only while this is the channel's latest position; else it fails with `position_unavailable`.
    pub expected_position: Option<Position>,
    /// Deliver to those subscribed now, and keep nothing.
    pub skip_history: bool,
}

impl Item {
    /// A payload for a channel, with nothing beside it.
    pub fn new(channel: impl Into<String>, payload: impl Into<Payload>) -> Self {
        Self {
            channel: channel.into(),
            payload: payload.into(),
            id: None,
            tags: BTreeMap::new(),
            exclude_session: None,
            expected_position: None,
            skip_history: false,
        }
    }

    /// A value as JSON.
    ///
    /// # Errors
    /// As [`Payload::json`].
    pub fn json<T: Serialize + ?Sized>(
        channel: impl Into<String>,
        data: &T,
    ) -> Result<Self, Error> {
        Ok(Self::new(channel, Payload::json(data)?))
    }

    fn write(self) -> v1::PublishItem {
        let payload = match self.payload {
            Payload::Json(text) => Wire::Json(Bytes::copy_from_slice(text.get().as_bytes())),
            Payload::Binary(bytes) => Wire::Binary(bytes),
        };
        v1::PublishItem {
            channel: self.channel,
            payload: Some(payload),
            id: self.id.unwrap_or_else(random_id),
            tags: self.tags,
            exclude_session: self.exclude_session.unwrap_or_default(),
            expected_position: self.expected_position.map(|position| v1::Position {
                epoch: position.epoch,
                offset: position.offset,
            }),
            skip_history: self.skip_history,
        }
    }
}

/// Where an item is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Its place, or that of the first one with its id.
    pub position: Position,
    /// An item with this id was published before.
    pub duplicate: bool,
}

impl Published {
    fn read(position: Option<v1::Position>, duplicate: bool) -> Self {
        let v1::Position { epoch, offset } = position.unwrap_or_default();
        let position = Position { epoch, offset };
        Self {
            position,
            duplicate,
        }
    }
}

impl Service {
    /// Publishes an item, and returns once the hub has accepted it. What may succeed later is repeated, with the item's id: so it happens
    /// once.
    ///
    /// # Errors
    /// The hub's code, such as `permission_denied` or `position_unavailable`; `unavailable`, `timeout`.
    pub async fn publish(&self, item: Item) -> Result<Published, Error> {
        let asked = v1::PublishRequest {
            item: Some(item.write()),
        };
        let call = |request| async move { self.publishing().publish(request).await };
        let answer = self.repeated(&asked, call).await?;
        Ok(Published::read(answer.position, answer.duplicate))
    }

    /// Publishes many items in one call, and gives the fate of each, in their order. Items of one channel keep their order.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), where the call failed as a whole.
    pub async fn publish_batch(
        &self,
        items: Vec<Item>,
    ) -> Result<Vec<Result<Published, Error>>, Error> {
        let items = items.into_iter().map(Item::write).collect();
        let asked = v1::PublishBatchRequest { items };
        let call = |request| async move { self.publishing().publish_batch(request).await };
        let answer = self.repeated(&asked, call).await?;
        Ok(answer.results.into_iter().map(fate).collect())
    }
}

fn fate(told: v1::PublishResult) -> Result<Published, Error> {
    match told.result {
        Some(Fate::Published(published)) => {
            Ok(Published::read(published.position, published.duplicate))
        }
        Some(Fate::Error(told)) => {
            let error = Error::new(told.code, told.message);
            Err(if told.retryable {
                error.retryable(None)
            } else {
                error
            })
        }
        None => Err(Error::new("internal", "the hub told no result")),
    }
}
