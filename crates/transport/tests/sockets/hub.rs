//! A hub without its binary: a node, and clients' listeners on ports of the system's choice.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::ServerConfig;
use switchboard_core::identity::BoxFuture;
use switchboard_core::{
    ChannelName, ChannelPattern, ErrorCode, Grants, Identity, Limits, Payload, Policy, PolicyTable,
    TokenError, TokenVerifier,
};
use switchboard_engine::{MemoryConfig, MemoryEngine};
use switchboard_node::{Node, NodeConfig, Publish};
use switchboard_transport::{Clients, TransportConfig};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// The one good token. It grants everything in `chat`.
pub(crate) const TOKEN: &str = "good.token.here";

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Hub {
    pub(crate) node: Node,
    pub(crate) clients: Clients,
    pub(crate) address: SocketAddr,
    pub(crate) stop: CancellationToken,
    pub(crate) serving: JoinHandle<()>,
}

impl Hub {
    pub(crate) async fn start() -> Self {
        Self::with(Limits::default(), TransportConfig::default(), None).await
    }

    pub(crate) async fn with(
        limits: Limits,
        config: TransportConfig,
        tls: Option<Arc<ServerConfig>>,
    ) -> Self {
        let node_config = NodeConfig {
            limits,
            policies: PolicyTable::new([("chat".into(), Policy::default())], None),
            shards: 2,
            io_uring: true,
            version: "test",
        };
        let node = Node::start(node_config, Arc::new(OneToken), |_, sink| {
            MemoryEngine::new(sink, MemoryConfig::default())
        })
        .unwrap();
        let stop = CancellationToken::new();
        let clients = Clients::new(node.clone(), Arc::new(OneToken), config, stop.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn({
            let clients = clients.clone();
            async move { clients.serve(listener, tls).await }
        });
        Self {
            node,
            clients,
            address,
            stop,
            serving,
        }
    }

    pub(crate) async fn publish(&self, channel: &str, json: &str) {
        let publish = Publish {
            channel: ChannelName::parse(channel).unwrap(),
            payload: Payload::Json(Bytes::copy_from_slice(json.as_bytes())),
            id: None,
            tags: Vec::new(),
            exclude: None,
            expected_position: None,
            skip_history: false,
        };
        self.node.publish(publish).await.unwrap();
    }

    /// Waits until the node has so many sessions.
    pub(crate) async fn sessions(&self, count: usize) {
        let reached = timeout(PATIENCE, async {
            while self.node.sessions() != count {
                tokio::task::yield_now().await;
            }
        });
        let have = || self.node.sessions();
        reached
            .await
            .unwrap_or_else(|_| panic!("{} sessions, not {count}", have()));
    }

    /// Ends everything in the order of the server, and sees that nothing is left.
    pub(crate) async fn end(self) {
        self.node.shutdown().await;
        self.stop.cancel();
        timeout(PATIENCE, self.serving)
            .await
            .expect("connections stay after the stop")
            .unwrap();
        assert_eq!(self.node.sessions(), 0, "sessions are left");
        assert_eq!(
            self.clients.metrics().connections.get(),
            0,
            "connections are left"
        );
    }
}

struct OneToken;

impl TokenVerifier for OneToken {
    fn verify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Arc<Identity>, TokenError>> {
        Box::pin(async move {
            if token != TOKEN {
                let message = "the token is not the one".to_owned();
                return Err(TokenError {
                    code: ErrorCode::Unauthenticated,
                    message,
                });
            }
            let chat = vec![ChannelPattern::parse("chat:*").unwrap()];
            let grants = Grants {
                subscribe: chat.clone(),
                publish: chat,
                ..Grants::default()
            };
            Ok(Arc::new(Identity {
                user: Some("alice".into()),
                info: None,
                grants: Arc::new(grants),
                expires_at_ms: None,
                token_id: None,
                issued_at_ms: None,
            }))
        })
    }
}
