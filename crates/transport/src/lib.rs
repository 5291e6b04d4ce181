//! The clients' side of HTTP: from an accepted socket to a session on a node.
//!
//! Purpose: the accept loop, HTTP/1.1 and HTTP/2, TLS, the checks before a session exists, and the four routes by which
//! clients open sessions and send commands. A connection that becomes a WebSocket or an event stream leaves this crate: its
//! socket is handed to the node, whose shards write frames to it directly.
//!
//! Deliberately absent: frames and commands (`protocol` and `node`), how tokens are checked (`auth`), files and
//! environment (`server` hands over plain structs), any state of a session.
//!
//! Reading order: [`config`], [`proxies`] and [`metrics`]; [`clients`] (the face, and the routes); the way in: `listener`,
//! `connection`, `http1`, `sniff`, `stream`, `requests`; what every route begins with: `query`, `opening`, `refusal`; the routes: `ws`,
//! `sse`, `poll` and `polls` (the first, and those after it), `commands`; the way out: `takeover` (sockets that the node can
//! own) and `pump` (those that it cannot).
//!
//! To add a transport: one file with its handler, one line in [`clients`], its variant of `switchboard_node::Transport`.

pub mod clients;
pub mod config;
pub mod metrics;
pub mod proxies;

mod connection;
mod http1;
mod listener;
mod requests;
mod sniff;
mod stream;

mod opening;
mod query;
mod refusal;

mod commands;
mod poll;
mod polls;
mod sse;
mod ws;

mod pump;
mod takeover;

pub use clients::Clients;
pub use config::TransportConfig;
pub use metrics::TransportMetrics;
pub use proxies::{Network, TrustedProxies};
