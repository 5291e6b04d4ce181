//! Health (grpc.health.v1): serving while the engine works and the node does not drain.

use std::time::Duration;

use switchboard_node::Node;
use switchboard_proto::api::v1;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// The services that are reported; the empty name is the server as a whole.
const SERVICES: [&str; 7] = [
    "",
    v1::publish_service_server::SERVICE_NAME,
    v1::presence_service_server::SERVICE_NAME,
    v1::channel_service_server::SERVICE_NAME,
    v1::session_service_server::SERVICE_NAME,
    v1::token_service_server::SERVICE_NAME,
    v1::node_service_server::SERVICE_NAME,
];

/// How often node and engine are looked at.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Tells the control API that the node drains. Cloning shares it.
#[derive(Clone)]
pub struct Health {
    reporter: HealthReporter,
    closing: CancellationToken,
}

impl Health {
    pub(crate) fn new(reporter: HealthReporter, closing: CancellationToken) -> Self {
        Self { reporter, closing }
    }

    /// Ends all streams with `unavailable` and reports NOT_SERVING, for good; other calls are answered as before. The same
    /// happens by itself within a second of [`Node::refuse_sessions`].
    ///
    /// # Cancel safety
    /// Streams are ended even when this is dropped; some services may then still be reported as serving.
    pub async fn drain(&self) {
        self.closing.cancel();
        self.report(ServingStatus::NotServing).await;
    }

    /// Whether streams have been ended.
    pub fn is_draining(&self) -> bool {
        self.closing.is_cancelled()
    }

    /// Makes all services known, before there is anybody to ask: not serving until the engine has been looked at.
    pub(crate) async fn register(&self) {
        self.report(ServingStatus::NotServing).await;
    }

    /// Follows node and engine until the node drains.
    pub(crate) async fn follow(&self, node: &Node) {
        let mut tick = tokio::time::interval(CHECK_INTERVAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut reported = None;
        loop {
            tokio::select! {
                () = self.closing.cancelled() => break,
                _ = tick.tick() => {}
            }
            if node.is_draining() {
                break;
            }
            let ready = tokio::select! {
                () = self.closing.cancelled() => break,
                ready = node.ready() => ready,
            };
            let works = ready.is_ok();
            if reported != Some(works) {
                reported = Some(works);
                self.report(if works {
                    ServingStatus::Serving
                } else {
                    ServingStatus::NotServing
                })
                .await;
            }
        }
        self.drain().await;
    }

    async fn report(&self, status: ServingStatus) {
        for service in SERVICES {
            self.reporter.set_service_status(service, status).await;
        }
    }
}
