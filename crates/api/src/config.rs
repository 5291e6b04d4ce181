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

/// The control API's bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiBounds {
    /// Bytes of one message from a caller: a batch, or one item of a stream.
    pub message_bytes_max: usize,
    /// Items of one PublishBatch. Default 1000.
    pub batch_items_max: usize,
    /// Connections at a time; more wait to be accepted. Default 1024: callers are services, which keep a few each.
    pub connections_max: usize,
    /// Calls at a time, streams among them; more are refused with `unavailable`. Default 10,000.
    pub calls_max: usize,
    /// Calls at a time of one connection (SETTINGS_MAX_CONCURRENT_STREAMS). Default 1024.
    pub calls_per_connection_max: u32,
    /// How long a call may take to begin its response when the caller names no deadline. Default 30 s.
    pub call_timeout: Duration,
    /// How often a quiet connection is pinged. Default 30 s.
    pub ping_interval: Duration,
    /// How long the answer may take. Default 10 s.
    pub ping_timeout: Duration,
    /// How long sent bytes may stay unacknowledged before the kernel gives a peer up.
    pub tcp_user_timeout: Duration,
    /// How long calls under way may take at shutdown before their connections are broken off. Default 5 s.
    pub shutdown_grace: Duration,
}

impl ApiBounds {
    /// Bounds that fit a node's: a message may hold the largest payload, and a batch of ordinary ones.
    pub fn new(limits: &Limits) -> Self {
        Self {
            // 4 MiB is gRPC's usual bound; 64 KiB is room for what stands around a payload.
            message_bytes_max: (4 * 1024 * 1024).max(limits.payload_bytes_max + 64 * 1024),
            batch_items_max: 1000,
            connections_max: 1024,
            calls_max: 10_000,
            calls_per_connection_max: 1024,
            call_timeout: Duration::from_secs(30),
            ping_interval: limits.ping_interval,
            ping_timeout: limits.pong_timeout,
            tcp_user_timeout: limits.tcp_user_timeout,
            shutdown_grace: Duration::from_secs(5),
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
