//! What operators see: `/livez`, `/readyz`, `/metrics`.
//!
//! The listener stays up until the very end: a readiness probe that is refused a connection during the drain would be
//! read as a crash.

use std::net::TcpListener;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::registry::Registry;
use switchboard_node::Node;
use tokio_util::sync::CancellationToken;

/// The media type of what the registry encodes (OpenMetrics 1.0, which Prometheus reads).
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the routes look at.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) node: Node,
    registry: Arc<Registry>,
}

impl Admin {
    /// An admin side of this node.
    pub(crate) fn new(node: Node, registry: Registry) -> Self {
        Self {
            node,
            registry: Arc::new(registry),
        }
    }

    /// Serves until `stop`.
    ///
    /// # Errors
    /// The listener could not be taken over by the runtime.
    pub(crate) async fn serve(
        self,
        listener: TcpListener,
        stop: CancellationToken,
    ) -> std::io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let router = Router::new()
            .route("/", get(index))
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics));
        #[cfg(feature = "bench")]
        let router = router.merge(crate::bench::router());
        let router = router.with_state(self);
        axum::serve(listener, router)
            .with_graceful_shutdown(stop.cancelled_owned())
            .await
    }
}

async fn index() -> &'static str {
    "/livez    the process runs\n/readyz   new sessions are welcome\n/metrics  counters for Prometheus\n"
}

/// The process answers: that is all. A check that fails when something else is down would have it restarted for nothing.
async fn livez() -> &'static str {
    "ok\n"
}

/// New sessions are welcome: the node does not drain, and its engine answers.
async fn readyz(State(admin): State<Admin>) -> Response {
    match admin.node.ready().await {
        Ok(()) => "ok\n".into_response(),
        Err(not) => (StatusCode::SERVICE_UNAVAILABLE, format!("{not}\n")).into_response(),
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &admin.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
