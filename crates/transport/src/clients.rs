//! The clients' side of HTTP as one thing: its routes, its listeners, its end.

use std::future::Future;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::any;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use rustls::ServerConfig;
use socket2::Socket;
use switchboard_core::{ClientError, ErrorCode, TokenVerifier};
use switchboard_node::Node;
use tokio::net::{TcpListener, UnixStream};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::config::TransportConfig;
use crate::metrics::TransportMetrics;
use crate::refusal::Refusal;
use crate::{commands, listener, poll, pump, sse, ws};

/// How long a browser may remember what a preflight has told it.
const PREFLIGHT_AGE: Duration = Duration::from_mins(10);

/// Serves clients. Cloning is a reference count.
///
/// ```text
/// let clients = Clients::new(node, verifier, TransportConfig::default(), stop).with_routes(page);
/// clients.serve(listener, None).await;      // until `stop` is cancelled and everybody has gone
/// ```
#[derive(Clone)]
pub struct Clients {
    shared: Arc<Shared>,
    router: Router,
}

/// What all connections and handlers share.
pub(crate) struct Shared {
    pub(crate) node: Node,
    pub(crate) verifier: Arc<dyn TokenVerifier>,
    pub(crate) config: TransportConfig,
    pub(crate) metrics: TransportMetrics,
    /// No new connections or requests; what is under way ends well.
    pub(crate) stop: CancellationToken,
    /// Everything ends now.
    pub(crate) abort: CancellationToken,
    tasks: TaskTracker,
}

impl Clients {
    /// Serves the sessions of `node` to those whom `verifier` knows, until `stop` is cancelled.
    pub fn new(
        node: Node,
        verifier: Arc<dyn TokenVerifier>,
        config: TransportConfig,
        stop: CancellationToken,
    ) -> Self {
        let shared = Arc::new(Shared {
            node,
            verifier,
            config,
            metrics: TransportMetrics::default(),
            stop,
            abort: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        let router = routes(&shared, Router::new());
        Self { shared, router }
    }

    /// Serves further routes beside those of the protocol. They must not begin with `/v1/` and have no fallback.
    #[must_use]
    pub fn with_routes(mut self, extra: Router) -> Self {
        self.router = routes(&self.shared, extra);
        self
    }

    /// The counters.
    pub fn metrics(&self) -> &TransportMetrics {
        &self.shared.metrics
    }

    /// Accepts and serves connections until the stop token is cancelled, then waits for those under way. Several
    /// listeners may be served at once.
    ///
    /// With `tls`, connections speak TLS; its protocols are set to HTTP/2 and HTTP/1.1. A node that cannot own sockets
    /// (TLS, HTTP/2) serves the same at a higher price; better terminate TLS in front of it.
    ///
    /// After the stop no connection is accepted, idle ones are closed, and polls that wait are answered. Sockets that the
    /// node has adopted are its own: drain it first. Sessions in TLS and HTTP/2 end with the node's; see
    /// [`abort`](Self::abort).
    ///
    /// # Cancel safety
    /// Cancel safe: connections go on being served, only nothing is accepted any more.
    pub async fn serve(&self, listener: TcpListener, tls: Option<Arc<ServerConfig>>) {
        listener::run(&self.shared, &self.router, listener, tls).await;
        self.shared.tasks.close();
        tokio::select! {
            () = self.shared.tasks.wait() => {}
            () = self.shared.abort.cancelled() => {}
        }
    }

    /// Ends every connection at once: for the deadline of a shutdown.
    pub fn abort(&self) {
        self.shared.stop.cancel();
        self.shared.abort.cancel();
    }
}

impl std::fmt::Debug for Clients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clients")
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Whether clients may have this descriptor, and so many more. The system deals out the lowest number that is free, so
    /// a number tells that at least as many are open.
    pub(crate) fn may_keep(&self, descriptor: &impl AsRawFd, more: usize) -> bool {
        let max = self.config.descriptors_max;
        max == 0 || usize::try_from(descriptor.as_raw_fd()).is_ok_and(|number| number < max + more)
    }

    /// A pair for a connection that the node cannot own: the near end for the node, the far end for the pump.
    ///
    /// # Errors
    /// `unavailable` when descriptors are short.
    pub(crate) fn pair(&self) -> Result<(Socket, UnixStream), ClientError> {
        let short = || {
            let message = "this node is short of descriptors: try again";
            ClientError::new(ErrorCode::Unavailable, message)
        };
        let (near, far) = pump::pair().map_err(|error| {
            tracing::debug!(%error, "no socket pair");
            short()
        })?;
        if self.may_keep(&near, 0) && self.may_keep(&far, 0) {
            Ok((near, far))
        } else {
            Err(short())
        }
    }

    /// Runs a task that the end waits for, and that an abort ends.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_on(&Handle::current(), task);
    }

    /// The same from a thread of another runtime.
    pub(crate) fn spawn_on(
        &self,
        runtime: &Handle,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let abort = self.abort.clone();
        let task = async move {
            abort.run_until_cancelled_owned(task).await;
        };
        self.tasks.spawn_on(task, runtime);
    }

    /// Held by what the end waits for though it is no task of its own.
    pub(crate) fn task_token(&self) -> TaskTrackerToken {
        self.tasks.token()
    }
}

fn routes(shared: &Arc<Shared>, extra: Router) -> Router {
    // Methods are the handlers' affair: a refusal is a problem document, and RFC 8441 opens a WebSocket by CONNECT.
    Router::new()
        .route("/v1/ws", any(ws::open))
        .route("/v1/sse", any(sse::open))
        .route("/v1/poll", any(poll::answer))
        .route("/v1/commands", any(commands::execute))
        .layer(cross_origin(&shared.config))
        .with_state(Arc::clone(shared))
        .merge(extra)
        .fallback(async || {
            let message = "no such path: the hub serves /v1/ws, /v1/sse, /v1/poll and /v1/commands";
            Refusal::with_status(StatusCode::NOT_FOUND, ErrorCode::NotFound, message)
                .into_response()
        })
}

fn cross_origin(config: &TransportConfig) -> CorsLayer {
    let allowed = config.allowed_origins.clone();
    let is_allowed = move |origin: &HeaderValue, _: &_| {
        origin.to_str().is_ok_and(|origin| allowed.contains(origin))
    };
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(is_allowed))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::CACHE_CONTROL,
            HeaderName::from_static("last-event-id"),
        ])
        .expose_headers([header::RETRY_AFTER, header::WWW_AUTHENTICATE])
        .max_age(PREFLIGHT_AGE)
}
