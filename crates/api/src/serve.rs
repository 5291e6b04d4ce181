//! Puts the services together and serves them.

use std::sync::Arc;

use switchboard_node::Node;
use switchboard_proto::FILE_DESCRIPTOR_SET;
use switchboard_proto::api::v1::channel_service_server::ChannelServiceServer;
use switchboard_proto::api::v1::node_service_server::NodeServiceServer;
use switchboard_proto::api::v1::presence_service_server::PresenceServiceServer;
use switchboard_proto::api::v1::publish_service_server::PublishServiceServer;
use switchboard_proto::api::v1::session_service_server::SessionServiceServer;
use switchboard_proto::api::v1::token_service_server::TokenServiceServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic_health::pb::FILE_DESCRIPTOR_SET as HEALTH_DESCRIPTOR_SET;
use tower::Layer;

use crate::config::{ApiBounds, ApiConfig, ApiTls};
use crate::guard::{Guard, GuardLayer};
use crate::health::Health;
use crate::incoming::incoming;
use crate::service::Service;

/// HTTP/2 flow control, a stream: what a PublishStream may send ahead while the hub is busy.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;

/// HTTP/2 flow control, a connection.
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// The control API of a node.
pub struct Api {
    node: Node,
    bounds: ApiBounds,
    routes: Routes,
    guard: GuardLayer,
    health: Health,
    stopping: CancellationToken,
}

/// Why the control API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Certificate, key or authority are no PEM, or do not fit together.
    #[error("the control API's certificate or key cannot be used")]
    Tls(#[source] tonic::transport::Error),
    /// The server failed.
    #[error("the control API's server failed")]
    Server(#[source] tonic::transport::Error),
}

impl Api {
    /// Puts the services together.
    ///
    /// # Panics
    /// When the descriptors that were compiled in are broken.
    pub fn new(node: Node, config: ApiConfig) -> Self {
        let ApiConfig {
            keys,
            issuer,
            bounds,
        } = config;
        let closing = CancellationToken::new();
        let (reporter, health_server) = tonic_health::server::health_reporter();
        let health = Health::new(reporter, closing.clone());
        let service = Service {
            node: node.clone(),
            issuer: issuer.map(Arc::new),
            closing,
            batch_items_max: bounds.batch_items_max,
        };
        let max = bounds.message_bytes_max;
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(HEALTH_DESCRIPTOR_SET)
        };
        let routes =
            Routes::new(PublishServiceServer::new(service.clone()).max_decoding_message_size(max))
                .add_service(
                    PresenceServiceServer::new(service.clone()).max_decoding_message_size(max),
                )
                .add_service(
                    ChannelServiceServer::new(service.clone()).max_decoding_message_size(max),
                )
                .add_service(
                    SessionServiceServer::new(service.clone()).max_decoding_message_size(max),
                )
                .add_service(
                    TokenServiceServer::new(service.clone()).max_decoding_message_size(max),
                )
                .add_service(NodeServiceServer::new(service).max_decoding_message_size(max))
                .add_service(health_server)
                .add_service(
                    reflection()
                        .build_v1()
                        .expect("the build made the descriptors"),
                )
                .add_service(
                    reflection()
                        .build_v1alpha()
                        .expect("the build made the descriptors"),
                )
                .prepare();
        let stopping = CancellationToken::new();
        let guard = GuardLayer::new(keys, &bounds, stopping.clone());
        Self {
            node,
            bounds,
            routes,
            guard,
            health,
            stopping,
        }
    }

    /// The services behind their guard, for a server of one's own: HTTP requests in, responses out.
    pub fn routes(&self) -> Guard<Routes> {
        self.guard.layer(self.routes.clone())
    }

    /// The handle by which the control API learns that the node drains.
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Serves until `shutdown`: then nobody new is let in, streams are ended, and calls under way have
    /// [`ApiBounds::shutdown_grace`] before their connections are broken off.
    ///
    /// # Errors
    /// See [`ServeError`]; TLS is looked at before anything is accepted.
    ///
    /// # Cancel safety
    /// When dropped, no more connections are accepted; those that stand are served on.
    pub async fn serve(
        self,
        listener: TcpListener,
        tls: Option<ApiTls>,
        shutdown: CancellationToken,
    ) -> Result<(), ServeError> {
        let Self {
            node,
            bounds,
            routes,
            guard,
            health,
            stopping,
        } = self;
        let mut server = Server::builder()
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .http2_max_header_list_size(u32::try_from(bounds.header_bytes_max).unwrap_or(u32::MAX))
            .max_concurrent_streams(bounds.calls_per_connection_max)
            .http2_keepalive_interval(Some(bounds.ping_interval))
            .http2_keepalive_timeout(Some(bounds.ping_timeout));
        if let Some(tls) = tls {
            server = server
                .tls_config(tls_config(&tls, &node))
                .map_err(ServeError::Tls)?;
        }
        health.register().await;
        let broken_off = CancellationToken::new();
        let connections = incoming(listener, &bounds, broken_off.clone());
        let ending = {
            let (shutdown, health) = (shutdown.clone(), health.clone());
            async move {
                shutdown.cancelled().await;
                health.drain().await;
                stopping.cancel();
            }
        };
        let serving = server
            .layer(guard)
            .add_routes(routes)
            .serve_with_incoming_shutdown(connections, ending);
        let break_off = async {
            health.follow(&node).await;
            shutdown.cancelled().await;
            tokio::time::sleep(bounds.shutdown_grace).await;
            tracing::warn!("api calls did not end in time: their connections are broken off");
            broken_off.cancel();
            std::future::pending().await
        };
        tokio::select! {
            served = serving => served.map_err(ServeError::Server),
            never = break_off => never,
        }
    }
}

fn tls_config(tls: &ApiTls, node: &Node) -> ServerTlsConfig {
    let config = ServerTlsConfig::new()
        .identity(Identity::from_pem(&tls.certificate, &tls.key))
        .timeout(node.limits().handshake_timeout);
    match &tls.client_authority {
        Some(authority) => config.client_ca_root(Certificate::from_pem(authority)),
        None => config,
    }
}
