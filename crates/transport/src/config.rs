//! What the clients' side of HTTP is made with.

use std::sync::Arc;

use switchboard_auth::AllowedOrigins;
use switchboard_core::Grants;

use crate::proxies::TrustedProxies;

/// The configuration of [`Clients`](crate::Clients). Bounds that concern sessions are the node's `Limits`.
#[derive(Clone, Debug)]
pub struct TransportConfig {
    /// Origins whose pages may use the cookie, and read answers across origins (CORS). Default: none.
    pub allowed_origins: AllowedOrigins,
    /// What clients without any credential may do. Default: nothing, they are refused with 401.
    pub anonymous: Option<Arc<Grants>>,
    /// The cookie that carries tokens. Default: none, cookies are not looked at.
    pub cookie_name: Option<String>,
    /// Peers whose `X-Forwarded-For` is believed. Default: none.
    pub trusted_proxies: TrustedProxies,
    /// Whether permessage-deflate is agreed to where a client offers it. Default: yes.
    pub compression: bool,
    /// Bytes of the body of one `POST /v1/commands`. Default 256 KiB, four of the largest commands.
    pub body_bytes_max: usize,
    /// Connections that speak HTTP at once, parked polls included and adopted sockets not; above it new ones are
    /// answered 503 unread. 0 for no bound. Default 0; the server works it out from the descriptor limit.
    pub connections_max: usize,
    /// Descriptors that the process may have open before clients get no more of them; those who come then are answered 503.
    /// What is left up to the system's limit is for services, operators and files. 0 for no bound. Default 0; the server
    /// works it out from the descriptor limit.
    pub descriptors_max: usize,
}

impl Default for TransportConfig {
    fn default() -> Self {
        Self {
            allowed_origins: AllowedOrigins::default(),
            anonymous: None,
            cookie_name: None,
            trusted_proxies: TrustedProxies::default(),
            compression: true,
            body_bytes_max: 256 * 1024,
            connections_max: 0,
            descriptors_max: 0,
        }
    }
}
