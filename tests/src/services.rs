//! The control API over gRPC, with an API key: the clients that the proto files generate, and short forms of what every
//! test needs.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use serde_json::Value;
use switchboard_proto::api::v1 as api;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// Puts the API key into every call.
#[derive(Clone, Debug)]
pub struct ApiKey(Option<MetadataValue<Ascii>>);

impl Interceptor for ApiKey {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(key) = &self.0 {
            request.metadata_mut().insert("authorization", key.clone());
        }
        Ok(request)
    }
}

/// A connection with an API key in every call.
pub type Link = InterceptedService<Channel, ApiKey>;

/// The services' side of a hub.
#[derive(Clone, Debug)]
pub struct Services {
    link: Link,
}

impl Services {
    /// Connects; an empty key sends none.
    ///
    /// # Errors
    /// The hub cannot be reached, or the key is no header value.
    pub async fn connect(address: SocketAddr, key: &str) -> Result<Self> {
        Self::connect_to(Endpoint::from_shared(format!("http://{address}"))?, key).await
    }

    /// The same with an endpoint of the test's own, such as one that speaks TLS.
    ///
    /// # Errors
    /// The same.
    pub async fn connect_to(endpoint: Endpoint, key: &str) -> Result<Self> {
        let channel = endpoint.connect().await.context("gRPC")?;
        let key = if key.is_empty() {
            None
        } else {
            Some(format!("Bearer {key}").parse()?)
        };
        Ok(Self {
            link: InterceptedService::new(channel, ApiKey(key)),
        })
    }

    /// `PublishService`.
    pub fn publishing(&self) -> api::publish_service_client::PublishServiceClient<Link> {
        api::publish_service_client::PublishServiceClient::new(self.link.clone())
    }

    /// `PresenceService`.
    pub fn presence(&self) -> api::presence_service_client::PresenceServiceClient<Link> {
        api::presence_service_client::PresenceServiceClient::new(self.link.clone())
    }

    /// `ChannelService`.
    pub fn channels(&self) -> api::channel_service_client::ChannelServiceClient<Link> {
        api::channel_service_client::ChannelServiceClient::new(self.link.clone())
    }

    /// `SessionService`.
    pub fn sessions(&self) -> api::session_service_client::SessionServiceClient<Link> {
        api::session_service_client::SessionServiceClient::new(self.link.clone())
    }

    /// `TokenService`.
    pub fn tokens(&self) -> api::token_service_client::TokenServiceClient<Link> {
        api::token_service_client::TokenServiceClient::new(self.link.clone())
    }

    /// `NodeService`.
    pub fn nodes(&self) -> api::node_service_client::NodeServiceClient<Link> {
        api::node_service_client::NodeServiceClient::new(self.link.clone())
    }

    /// Sends JSON outside any channel; gives the number of sessions that it was handed to.
    ///
    /// # Errors
    /// The hub's status.
    pub async fn send(&self, target: api::Target, data: &Value) -> Result<u64> {
        let payload = api::send_request::Payload::Json(data.to_string().into_bytes().into());
        let request = api::SendRequest {
            target: Some(target),
            payload: Some(payload),
        };
        let sent = self.sessions().send(request).await?;
        Ok(sent.into_inner().delivered)
    }

    /// Publishes JSON and gives its position.
    ///
    /// # Errors
    /// The hub's status.
    pub async fn publish(&self, channel: &str, data: &Value) -> Result<api::Position> {
        self.publish_item(item(channel, data)).await
    }

    /// Publishes one item and gives its position.
    ///
    /// # Errors
    /// The hub's status.
    pub async fn publish_item(&self, item: api::PublishItem) -> Result<api::Position> {
        let response = self
            .publishing()
            .publish(api::PublishRequest { item: Some(item) })
            .await?
            .into_inner();
        response
            .position
            .context("a publish answered without a position")
    }

    /// Publishes `{"n": n}` for each `n` of a range, in order, by one batch call.
    ///
    /// # Errors
    /// The hub's status, or an item refused.
    pub async fn publish_numbers(
        &self,
        channel: &str,
        numbers: std::ops::Range<u64>,
    ) -> Result<()> {
        let items: Vec<_> = numbers
            .map(|n| item(channel, &serde_json::json!({"n": n})))
            .collect();
        for chunk in items.chunks(100) {
            let request = api::PublishBatchRequest {
                items: chunk.to_vec(),
            };
            let response = self.publishing().publish_batch(request).await?.into_inner();
            for result in response.results {
                match result.result {
                    Some(api::publish_result::Result::Published(_)) => {}
                    other => anyhow::bail!("an item was not published: {other:?}"),
                }
            }
        }
        Ok(())
    }
}

/// An item with JSON.
pub fn item(channel: &str, data: &Value) -> api::PublishItem {
    api::PublishItem {
        channel: channel.to_owned(),
        payload: Some(api::publish_item::Payload::Json(
            data.to_string().into_bytes().into(),
        )),
        ..api::PublishItem::default()
    }
}

/// The target that is one session.
pub fn session(id: &str) -> api::Target {
    api::Target {
        target: Some(api::target::Target::Session(id.to_owned())),
    }
}

/// The target that is all of a user's sessions.
pub fn user(id: &str) -> api::Target {
    api::Target {
        target: Some(api::target::Target::User(id.to_owned())),
    }
}

/// The reason in the `ErrorInfo` of a status.
pub fn reason(status: &Status) -> Option<String> {
    use tonic_types::StatusExt as _;
    status.get_details_error_info().map(|info| info.reason)
}
