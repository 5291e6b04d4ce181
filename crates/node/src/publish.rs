//! Publishing: the one way into a channel, for services and clients.

use switchboard_core::{ChannelName, ClientError, ErrorCode, Origin, Payload, Position, SessionId};
use switchboard_engine::{PublishRequest, Published};

use crate::node::Node;
use crate::shared::{Shared, engine_error};

/// A publication, as a service hands it over. JSON payloads have been checked.
#[derive(Clone, Debug)]
pub struct Publish {
    /// The channel.
    pub channel: ChannelName,
    /// What to publish.
    pub payload: Payload,
    /// Idempotency key: the same id in the same channel within the namespace's window publishes once.
    pub id: Option<Box<str>>,
    /// Tags that travel along.
    pub tags: Vec<(Box<str>, Box<str>)>,
    /// A session that is not to get it.
    pub exclude: Option<SessionId>,
    /// Publish only if the channel stands here.
    pub expected_position: Option<Position>,
    /// Do not keep it: subscribers of this moment get it, it has no offset and is never recovered.
    pub skip_history: bool,
}

impl Node {
    /// Publishes. When it returns the publication is in history and on its way to every subscriber.
    ///
    /// # Errors
    /// `unknown_namespace`, `payload_too_large`, `position_unavailable` (the expected position is not the present
    /// one), `unavailable` (the message says whether it may have happened).
    ///
    /// # Cancel safety
    /// Dropping the future leaves open whether it happened: retry with the same id.
    pub async fn publish(&self, publish: Publish) -> Result<Published, ClientError> {
        self.shared().publish(publish, None).await
    }

    /// Publishes many, each as `publish` does, and each channel's in their order. One that is refused holds up none that
    /// follow. Gives an answer to each, when all are answered.
    ///
    /// # Cancel safety
    /// Dropping the future leaves open which happened: retry with the same ids.
    pub async fn publish_all(&self, all: Vec<Publish>) -> Vec<Result<Published, ClientError>> {
        let shared = self.shared();
        let (mut requests, mut refused) = (Vec::with_capacity(all.len()), Vec::new());
        for (at, publish) in all.into_iter().enumerate() {
            match shared.request(publish, None) {
                Ok(request) => requests.push(request),
                Err(error) => refused.push((at, error)),
            }
        }
        let answers = shared.engine.publish_all(requests).await.into_iter();
        let mut answers: Vec<_> = answers.map(|a| a.map_err(engine_error)).collect();
        // From the first on, so each gets to where it stood.
        for (at, error) in refused {
            answers.insert(at, Err(error));
        }
        answers
    }
}

impl Shared {
    pub(crate) async fn publish(
        &self,
        publish: Publish,
        from: Option<Origin>,
    ) -> Result<Published, ClientError> {
        let request = self.request(publish, from)?;
        self.engine.publish(request).await.map_err(engine_error)
    }

    /// What the engine is asked for, unless the policy refuses it.
    fn request(
        &self,
        publish: Publish,
        from: Option<Origin>,
    ) -> Result<PublishRequest, ClientError> {
        let policy = self.policy(&publish.channel)?;
        let size = publish.payload.bytes().len();
        if size > self.limits.payload_bytes_max {
            let message = format!(
                "payload of {size} bytes: at most {} are taken",
                self.limits.payload_bytes_max
            );
            return Err(ClientError::new(ErrorCode::PayloadTooLarge, message));
        }
        Ok(PublishRequest {
            retention: policy.retention,
            skip_history: publish.skip_history,
            channel: publish.channel,
            payload: publish.payload,
            id: publish.id,
            idempotency_window: policy.idempotency_window,
            from,
            tags: publish.tags,
            exclude: publish.exclude,
            expected_position: publish.expected_position,
        })
    }
}
