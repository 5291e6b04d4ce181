//! The asynchronous shell round the core: one hub process.
//!
//! Purpose: sessions and their shards, the way of a publication from the engine to sockets, presence, service
//! streams, drain. Transports and the control API speak to [`Node`] and to nothing else.
//!
//! Deliberately absent: HTTP, gRPC, tokens, files, signals. A node is given sockets that have been accepted and identities that have
//! been verified.
//!
//! Reading order: [`opening`] (what a handshake hands over), [`node`] (the face), `publish`, `members`, `channels`,
//! `sessions`, `polls`, `revoked` (its verbs), `admission`, `seats`, `rates` (who may come and how often), `watch` (service streams), `peers`
//! (what nodes ask each other); then inwards: `shared`, `dispatch`, `mailbox`, and the heart, `shard`.
//!
//! To add a verb for services: a method on [`Node`] beside its kin; if sessions are concerned, a variant of `shard::mail::Mail`.

mod admission;
#[cfg(feature = "bench")]
pub mod bench;
mod channels;
mod clock;
mod dispatch;
mod drain;
mod key;
mod mailbox;
mod members;
pub mod metrics;
pub mod node;
pub mod opening;
mod peers;
mod polls;
mod publish;
mod rates;
mod revoked;
mod seats;
mod sessions;
mod shard;
mod shared;
mod watch;

pub use admission::Admission;
pub use channels::{ChannelListing, ChannelSummary};
pub use metrics::Metrics;
pub use node::{CommandsRefused, Node, NodeConfig, NodeInfo, NotReady, StartError};
pub use opening::{Opening, Transport};
pub use polls::AtShard;
pub use publish::Publish;
pub use sessions::{NodeListing, SessionInfo, SessionListing, Target};
pub use shard::poll::{PollBatch, PollRefused};
pub use watch::{ChannelUpdate, ChannelWatch, PresenceUpdate, PresenceWatch};

// What the node's signatures name, so that transports and the control API need not depend on engines.
pub use switchboard_engine::{Counts, Engine, History, MemberPage, Published, ReadFrom, Sink};
// What the control API checks payloads with.
pub use switchboard_protocol::json::check_json;
