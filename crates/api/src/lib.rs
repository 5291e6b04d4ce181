//! The control API: what services ask of the hub over gRPC.
//!
//! Purpose: one tonic service a file. Each method checks the caller, decodes, calls one verb of the node, encodes.
//!
//! Deliberately absent: what a verb does (that is `node`), clients' sockets (that is `transport`), files and environment
//! (keys and certificates come as plain structs).
//!
//! Reading order: [`config`], [`serve`] (how it is put together), `guard` (what stands before every call: key, deadline,
//! log), `open`, `access` (scopes and patterns), [`status`] (the one table of failures), `decode`, `encode`, `page`, `service`; then
//! the services, `publish` with its `pipeline`, `presence`, `channel`, `session`, `token`, `node`; [`health`], `incoming`.
//!
//! To add a method: the proto first; then one handler that checks the scope, then the channel, then decodes, calls one
//! verb of `Node`, encodes. To add a service: the same, a line in [`serve`] and one in [`health`].

mod access;
mod channel;
pub mod config;
mod decode;
mod encode;
mod guard;
pub mod health;
mod incoming;
mod node;
mod open;
mod page;
mod pipeline;
mod presence;
mod publish;
pub mod serve;
mod service;
mod session;
pub mod status;
mod token;

pub use config::{ApiBounds, ApiConfig, ApiTls};
pub use guard::Guard;
pub use health::Health;
pub use serve::{Api, ServeError};
pub use status::ERROR_DOMAIN;
