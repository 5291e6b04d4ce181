//! A hub to test against.

use std::sync::Arc;
use std::time::Duration;

use switchboard_api::{Api, ApiBounds, ApiConfig, ApiTls, Health, ServeError};
use switchboard_auth::{ApiKeyConfig, ApiKeySecret, ApiKeys, Issuer, Scope};
use switchboard_core::identity::BoxFuture;
use switchboard_core::{
    ChannelName, ChannelPattern, ErrorCode, Grants, Identity, Limits, Policy, PolicyTable,
    TokenError, TokenVerifier,
};
use switchboard_engine::{MemoryConfig, MemoryEngine, Sink};
use switchboard_node::{Engine, Node, NodeConfig, Opening, Transport};
use switchboard_proto::api::v1;
use switchboard_protocol::wire::Wire;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_types::StatusExt;

/// A key with every scope and every channel.
pub(crate) const ALL: &str = "sk_all_0123456789abcdef";
/// A key that may publish to `chat:*`.
pub(crate) const PUBLISHER: &str = "sk_publisher_0123456789";
/// A key that may read `chat:*`.
pub(crate) const READER: &str = "sk_reader_0123456789abc";
/// A key that may issue tokens for `chat:*`.
pub(crate) const ISSUER: &str = "sk_issuer_0123456789abc";
/// A key with the scope `admin` alone.
pub(crate) const DEPLOY: &str = "sk_deploy_0123456789abc";

/// No test takes so long unless something hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) type Client = InterceptedService<Channel, Key>;

/// Brings an API key.
#[derive(Clone)]
pub(crate) struct Key(MetadataValue<Ascii>);

impl Key {
    pub(crate) fn new(secret: &str) -> Self {
        Self(format!("Bearer {secret}").parse().unwrap())
    }
}

impl Interceptor for Key {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request
            .metadata_mut()
            .insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// A node with its control API.
pub(crate) struct Hub {
    pub(crate) node: Node,
    pub(crate) health: Health,
    pub(crate) shutdown: CancellationToken,
    pub(crate) served: JoinHandle<Result<(), ServeError>>,
    pub(crate) address: String,
}

/// How a hub differs from the usual one.
pub(crate) struct Plan {
    pub(crate) issuer: Option<Issuer>,
    pub(crate) bounds: ApiBounds,
    pub(crate) tls: Option<ApiTls>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            issuer: None,
            bounds: ApiBounds::new(&limits()),
            tls: None,
        }
    }
}

struct NoTokens;

impl TokenVerifier for NoTokens {
    fn verify<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Arc<Identity>, TokenError>> {
        let message = "no tokens here".to_owned();
        Box::pin(async {
            Err(TokenError {
                code: ErrorCode::Unauthenticated,
                message,
            })
        })
    }
}

pub(crate) fn limits() -> Limits {
    Limits {
        payload_bytes_max: 1024,
        ..Limits::default()
    }
}

pub(crate) fn keys() -> ApiKeys {
    let key = |name: &str, secret: &str, scopes: &[Scope], channels: &str| ApiKeyConfig {
        name: name.to_owned(),
        secret: ApiKeySecret::Text(secret.to_owned()),
        scopes: scopes.to_vec(),
        channels: vec![ChannelPattern::parse(channels).unwrap()],
    };
    ApiKeys::new(vec![
        key("all", ALL, &Scope::ALL, "*"),
        key("publisher", PUBLISHER, &[Scope::Publish], "chat:*"),
        key("reader", READER, &[Scope::Read], "chat:*"),
        key("issuer", ISSUER, &[Scope::Tokens], "chat:*"),
        key("deploy", DEPLOY, &[Scope::Admin], "*"),
    ])
    .unwrap()
}

pub(crate) fn memory(sink: Arc<dyn Sink>) -> Arc<dyn Engine> {
    MemoryEngine::new(sink, MemoryConfig::default())
}

/// A node with the namespaces `chat` and `doc`; `chat` tracks presence.
pub(crate) fn node(make_engine: impl FnOnce(Arc<dyn Sink>) -> Arc<dyn Engine>) -> Node {
    let chat = Policy {
        presence: true,
        presence_grace: Duration::ZERO,
        ..Policy::default()
    };
    let policies = PolicyTable::new(
        [("chat".into(), chat), ("doc".into(), Policy::default())],
        None,
    );
    let config = NodeConfig {
        limits: limits(),
        policies,
        shards: 2,
        io_uring: true,
        version: "0.0.0-test",
    };
    Node::start(config, Arc::new(NoTokens), |_, sink| make_engine(sink)).unwrap()
}

impl Hub {
    pub(crate) async fn start() -> Self {
        Self::with(Plan::default(), memory).await
    }

    pub(crate) async fn with(
        plan: Plan,
        make_engine: impl FnOnce(Arc<dyn Sink>) -> Arc<dyn Engine>,
    ) -> Self {
        let node = node(make_engine);
        let api = Api::new(
            node.clone(),
            ApiConfig {
                keys: keys(),
                issuer: plan.issuer,
                bounds: plan.bounds,
            },
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (health, shutdown) = (api.health(), CancellationToken::new());
        let served = tokio::spawn(api.serve(listener, plan.tls, shutdown.clone()));
        Self {
            node,
            health,
            shutdown,
            served,
            address,
        }
    }

    pub(crate) async fn channel(&self) -> Channel {
        Endpoint::new(format!("http://{}", self.address))
            .unwrap()
            .connect()
            .await
            .unwrap()
    }

    pub(crate) async fn client(&self, secret: &str) -> Client {
        InterceptedService::new(self.channel().await, Key::new(secret))
    }

    /// Ends it all, and fails when that hangs.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.served)
            .await
            .expect("serve returns")
            .unwrap()
            .unwrap();
        tokio::time::timeout(PATIENCE, self.node.shutdown())
            .await
            .expect("the node stops");
    }
}

pub(crate) fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

/// A JSON item.
pub(crate) fn item(channel: &str, json: &'static str) -> v1::PublishItem {
    v1::PublishItem {
        channel: channel.to_owned(),
        payload: Some(v1::publish_item::Payload::Json(json.as_bytes().into())),
        ..v1::PublishItem::default()
    }
}

pub(crate) fn request(item: v1::PublishItem) -> v1::PublishRequest {
    v1::PublishRequest { item: Some(item) }
}

/// The reason of the status, which must have one of ours.
#[track_caller]
pub(crate) fn reason(status: &Status) -> String {
    let info = status
        .get_details_error_info()
        .unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    assert_eq!(info.domain, "switchboard");
    info.reason
}

/// Asserts how a call was refused.
#[track_caller]
pub(crate) fn assert_refused<T: std::fmt::Debug>(
    answer: Result<T, Status>,
    code: tonic::Code,
    reason: &str,
) {
    let status = answer.expect_err("the call should be refused");
    assert_eq!(
        (status.code(), self::reason(&status).as_str()),
        (code, reason),
        "{}",
        status.message()
    );
}

/// The next of a stream, soon.
pub(crate) async fn next<T>(stream: &mut tonic::Streaming<T>) -> Result<Option<T>, Status> {
    tokio::time::timeout(PATIENCE, stream.message())
        .await
        .expect("an update comes soon")
}

/// A session of a user, by long poll: the only transport without a socket.
pub(crate) async fn open_session(hub: &Hub, user: &str, channels: &[&str]) {
    let grants = Grants {
        channels: channels.iter().map(|name| channel(name)).collect(),
        ..Grants::default()
    };
    let identity = Arc::new(Identity {
        user: Some(user.into()),
        info: None,
        grants: Arc::new(grants),
        expires_at_ms: None,
        token_id: None,
        issued_at_ms: None,
    });
    let opening = Opening {
        identity,
        transport: Transport::Poll,
        wire: Wire::Poll,
        channels: Vec::new(),
        rewind: 0,
        cursor: None,
        heartbeat: None,
        client_ip: None,
    };
    let admission = hub.node.admit(&opening).await.unwrap();
    hub.node.open_poll(opening, admission).await.unwrap();
}
