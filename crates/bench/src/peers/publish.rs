//! How a target is given publications: in the way its users' services do it, over connections that are kept open.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use switchboard_proto::api::v1::publish_item::Payload;
use switchboard_proto::api::v1::publish_result::Result as Outcome;
use switchboard_proto::api::v1::publish_service_client::PublishServiceClient;
use switchboard_proto::api::v1::{PublishBatchRequest, PublishItem, PublishRequest};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

use super::targets::Publishing;
use crate::publisher::{Key, connect};

/// The hub's channel: in a namespace that keeps a history.
pub(crate) const HUB_CHANNEL: &str = "b:0";
/// Below the 5 seconds after which Node and uvicorn close a connection that nothing comes on.
const KEEP_OPEN: Duration = Duration::from_secs(2);
/// The application that `PEERS.md` sets up in servers of the Pusher protocol.
const PUSHER_APP: &str = "bench";
const PUSHER_KEY: &str = "bench-key";
const PUSHER_SECRET: &str = "bench-secret";

/// A way to publish; clones share their connections.
#[derive(Clone)]
pub(crate) enum Sender {
    Grpc(PublishServiceClient<InterceptedService<Channel, Key>>),
    Http {
        client: reqwest::Client,
        address: SocketAddr,
        publishing: Publishing,
    },
}

impl Sender {
    /// To a hub's control API.
    pub(crate) async fn grpc(api: SocketAddr) -> Result<Self> {
        Ok(Self::Grpc(PublishServiceClient::new(connect(api).await?)))
    }

    /// To a peer.
    pub(crate) fn http(address: SocketAddr, publishing: Publishing) -> Result<Self> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .http1_only()
            .tcp_nodelay(true)
            .pool_idle_timeout(KEEP_OPEN)
            .build()?;
        Ok(Self::Http {
            client,
            address,
            publishing,
        })
    }

    /// Whether one call can hold several publications.
    pub(crate) fn has_batches(&self) -> bool {
        match self {
            Self::Grpc(_) => true,
            Self::Http { publishing, .. } => *publishing == Publishing::Pusher,
        }
    }

    /// Publishes and waits for the acknowledgement.
    pub(crate) async fn send(&mut self, payload: Vec<u8>) -> Result<()> {
        match self {
            Self::Grpc(client) => {
                let item = Some(item(payload));
                client.publish(PublishRequest { item }).await?;
                Ok(())
            }
            Self::Http {
                publishing: Publishing::Pusher,
                ..
            } => self.post_signed("events", &event(&payload)?).await,
            Self::Http {
                client, address, ..
            } => {
                let url = format!("http://{address}/publish");
                accepted(client.post(url).body(payload)).await
            }
        }
    }

    /// Publishes all of them in one call.
    pub(crate) async fn send_batch(&mut self, payloads: Vec<Vec<u8>>) -> Result<()> {
        if let Self::Grpc(client) = self {
            let items = payloads.into_iter().map(item).collect();
            let answer = client
                .publish_batch(PublishBatchRequest { items })
                .await?
                .into_inner();
            let published = |r: &switchboard_proto::api::v1::PublishResult| {
                matches!(r.result, Some(Outcome::Published(_)))
            };
            ensure!(
                answer.results.iter().all(published),
                "refused: {:?}",
                answer.results
            );
            return Ok(());
        }
        let events = payloads
            .iter()
            .map(|payload| event(payload))
            .collect::<Result<Vec<_>>>()?;
        self.post_signed("batch_events", &json!({"batch": events}))
            .await
    }

    /// A request of Pusher's HTTP API: signed over method, path, query and the body's MD5.
    async fn post_signed(&self, what: &str, body: &Value) -> Result<()> {
        let Self::Http {
            client, address, ..
        } = self
        else {
            return Ok(());
        };
        let body = serde_json::to_vec(body)?;
        let path = format!("/apps/{PUSHER_APP}/{what}");
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let query = signed((PUSHER_KEY, PUSHER_SECRET), &path, &body, now_s)?;
        let request = client
            .post(format!("http://{address}{path}?{query}"))
            .header("content-type", "application/json");
        accepted(request.body(body)).await
    }
}

async fn accepted(request: reqwest::RequestBuilder) -> Result<()> {
    let answer = request
        .send()
        .await
        .context("a publication was not taken")?;
    let status = answer.status();
    // The body is read in any case: only then the connection can be used again.
    let text = answer.text().await?;
    ensure!(
        status.is_success(),
        "a publication was refused: {status}: {text}"
    );
    Ok(())
}

fn item(payload: Vec<u8>) -> PublishItem {
    PublishItem {
        channel: HUB_CHANNEL.to_owned(),
        payload: Some(Payload::Json(payload.into())),
        ..PublishItem::default()
    }
}

/// An event of Pusher: its data is a string.
fn event(payload: &[u8]) -> Result<Value> {
    let data = std::str::from_utf8(payload)?;
    Ok(json!({"name": "message", "channel": "bench", "data": data}))
}

/// The query of a request with this body, with its signature (Pusher's HTTP API, "Authentication").
fn signed((key, secret): (&str, &str), path: &str, body: &[u8], now_s: u64) -> Result<String> {
    let mut query = format!(
        "auth_key={key}&auth_timestamp={now_s}&auth_version=1.0&body_md5={:x}",
        md5::compute(body)
    );
    let text = format!("POST\n{path}\n{query}");
    let secret = EncodingKey::from_secret(secret.as_bytes());
    let signature = jsonwebtoken::crypto::sign(text.as_bytes(), &secret, Algorithm::HS256)?;
    query.push_str("&auth_signature=");
    for byte in URL_SAFE_NO_PAD.decode(signature)? {
        write!(query, "{byte:02x}")?;
    }
    Ok(query)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked example of Pusher's documentation.
    #[test]
    fn a_request_is_signed_as_pusher_signs_it() {
        let keys = ("278d425bdf160c739803", "7ad3773142a6692b25b8");
        let body = br#"{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}"#;
        let query = signed(keys, "/apps/3/events", body, 1_353_088_179).unwrap();
        assert_eq!(
            query,
            "auth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0\
             &body_md5=ec365a775a4cd0599faeb73354201b6f\
             &auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"
        );
    }
}
