//! The Redis engine: history, presence and deliveries of nodes that share a Redis.
//!
//! Purpose: [`RedisEngine`], an [`Engine`](switchboard_engine::Engine) on Redis 7 or Valkey, standalone, watched by Sentinels or as
//! a Cluster. It keeps the nine promises of the contract; what may have been lost between Redis and the node is told, within three
//! seconds, and the node reads it from history.
//!
//! Redis must not evict what has no expiry (`maxmemory-policy noeviction` or a `volatile` one): members and leases have none.
//! With durable namespaces it must evict nothing (`noeviction`): a mark has an expiry, and a user whose mark was evicted
//! is taken for a new one, which no gap can tell.
//!
//! Deliberately absent: files and environment (the server reads them), sessions, formats, and what nodes tell each other: the engine
//! carries their messages through Redis and does not read them. Nothing is sent twice: a write that got no answer is reported as one that may have happened, and
//! a publisher that has given it an id may send it again. Where Redis fails over and has lost what it had acknowledged, a
//! node that saw it gives the channel a new epoch; what no surviving node saw cannot be told (`min-replicas-to-write` and
//! an append-only file make that rare).
//!
//! Reading order: [`config`]; `keys` (what things are called) and `wire` (how they are written); `connect` (the client library, and nothing
//! else knows it); `shards` (which server) and `scripts` (what it is asked to do); `publish`, `history`, `listing`, `marks`,
//! `presence`, `nodes`, `revocations`, `rates`;
//! `follow` (how the node hears of it all, and knows that it does); `engine` (the whole).
//!
//! The tests start the `redis-server` that is in `PATH`, or the one that `SWITCHBOARD_REDIS_SERVER` names (and `SWITCHBOARD_REDIS_CLI` for
//! `redis-cli`): all but those of TLS, which it may be built without, pass on Valkey 9.1 as well.
//!
//! To add an operation: a script in `scripts/`, a row in `scripts.rs`, a function that calls it, and a check in the conformance suite.

pub mod config;
mod connect;
mod deadline;
mod engine;
mod epoch;
mod follow;
mod history;
mod keys;
mod listing;
mod marks;
mod nodes;
mod presence;
mod publish;
mod rates;
mod reply;
mod revocations;
mod scripts;
mod shards;
mod wire;

pub use config::{
    Address, ConfigError, Password, Reconnect, RedisConfig, TlsConfig, TlsIdentity, Topology,
};
pub use engine::{RedisEngine, RedisStats};
