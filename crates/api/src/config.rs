//! What the control API is made with.

use std::fmt;
use std::time::Duration;

use switchboard_auth::{ApiKeys, Issuer};
use switchboard_core::Limits;

/// What the control API is made with.
pub struct ApiConfig {
    /// Who may call, and what for.
    pub keys: ApiKeys,
    /// Signs tokens; without one IssueToken refuses.
    pub issuer: Option<Issuer>,
    /// Bounds.
    pub bounds: ApiBounds,
}

/// The control API's bounds, as [`Limits`] explains them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiBounds {
    /// Bytes of one message from a caller: a batch, or one item of a stream.
    pub message_bytes_max: usize,
    /// Bytes of a call's headers: a key, a deadline, what tracing adds.
    pub header_bytes_max: usize,
    /// Items of one PublishBatch.
    pub batch_items_max: usize,
    /// Connections at a time; more wait to be accepted.
    pub connections_max: usize,
    /// How long a new connection may take to say that it speaks HTTP/2: one that says nothing holds a place.
    pub handshake_timeout: Duration,
    /// Calls at a time, streams among them, and as many again of those that need no key; more are refused with
    /// `unavailable`.
    pub calls_max: usize,
    /// Calls at a time of one connection (SETTINGS_MAX_CONCURRENT_STREAMS).
    pub calls_per_connection_max: u32,
    /// How long a call may take to begin its response when the caller names no deadline.
    pub call_timeout: Duration,
    /// How often a quiet connection is pinged.
    pub ping_interval: Duration,
    /// How long the answer may take.
    pub ping_timeout: Duration,
    /// How long sent bytes may stay unacknowledged before the kernel gives a peer up.
    pub tcp_user_timeout: Duration,
    /// How long calls under way may take at shutdown before their connections are broken off.
    pub shutdown_grace: Duration,
}

impl ApiBounds {
    /// Bounds that fit a node's: a message may hold the largest payload, and a batch of ordinary ones.
    pub fn new(limits: &Limits) -> Self {
        Self {
            // 64 KiB is room for what stands around a payload.
            message_bytes_max: limits
                .api_message_bytes_max
                .max(limits.payload_bytes_max + 64 * 1024),
            header_bytes_max: limits.header_bytes_max,
            batch_items_max: limits.batch_items_max,
            connections_max: limits.api_connections_max,
            handshake_timeout: limits.handshake_timeout,
            calls_max: limits.api_calls_max,
            calls_per_connection_max: limits.api_calls_per_connection_max,
            call_timeout: limits.api_call_timeout,
            ping_interval: limits.ping_interval,
            ping_timeout: limits.pong_timeout,
            tcp_user_timeout: limits.tcp_user_timeout,
            shutdown_grace: limits.api_shutdown_grace,
        }
    }
}

/// TLS for the control API; all of it PEM.
#[derive(Clone)]
pub struct ApiTls {
    /// The server's certificate chain.
    pub certificate: Vec<u8>,
    /// Its private key.
    pub key: Vec<u8>,
    /// The authority that callers' certificates must come from (mTLS); without one callers need none.
    pub client_authority: Option<Vec<u8>>,
}

impl fmt::Debug for ApiTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiTls")
            .field("mtls", &self.client_authority.is_some())
            .finish_non_exhaustive()
    }
}
