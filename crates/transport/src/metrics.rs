//! What the clients' side of HTTP counts. Refused openings are the node's to count, for they are the same everywhere.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The counters of a [`Clients`](crate::Clients).
#[derive(Clone, Debug, Default)]
pub struct TransportMetrics {
    /// Connections that speak HTTP; a socket that the node has adopted is none of them any more.
    pub connections: Gauge,
    /// Connections accepted.
    pub accepts: Counter,
    /// Failures to accept, most often for want of descriptors.
    pub accept_errors: Counter,
    /// Connections answered 503 unread because there were too many.
    pub connections_refused: Counter,
    /// TLS handshakes that failed.
    pub tls_errors: Counter,
}

impl TransportMetrics {
    /// Registers every metric.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "http_connections",
            "Connections that speak HTTP",
            self.connections.clone(),
        );
        registry.register("http_accepts", "Connections accepted", self.accepts.clone());
        registry.register(
            "http_accept_errors",
            "Failures to accept a connection",
            self.accept_errors.clone(),
        );
        registry.register(
            "http_connections_refused",
            "Connections refused because there were too many",
            self.connections_refused.clone(),
        );
        registry.register(
            "http_tls_errors",
            "TLS handshakes that failed",
            self.tls_errors.clone(),
        );
    }
}
