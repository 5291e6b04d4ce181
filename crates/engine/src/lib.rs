//! Engines: what keeps history and presence and carries publications between nodes.
//!
//! Purpose: the [`Engine`] trait that nodes speak, the memory engine (the embedded default), and the conformance suite
//! that every engine must pass.
//!
//! Deliberately absent: sessions, shards, formats. An engine hears of channels, publications and members only, and tells
//! what it has through a [`Sink`] without knowing who listens.
//!
//! Reading order: [`engine`] (the contract and its nine promises), [`request`] (what goes in and comes out),
//! [`memory`], [`faulty`] (a wrapper that loses things on purpose), [`conformance`].
//!
//! To add an engine: a crate that implements [`Engine`], one test that calls `conformance::run`, one match arm in `server`.

pub mod conformance;
pub mod engine;
pub mod faulty;
pub mod memory;
pub mod request;

pub use engine::{Engine, Sink};
pub use faulty::{FaultPlan, FaultyEngine, FaultySink};
pub use memory::{MemoryConfig, MemoryEngine, MemoryStats};
pub use request::{
    ChannelInfo, ChannelPage, Counts, EngineError, History, Interrupted, JoinRequest, Leaving,
    Mark, MarkOf, MemberPage, MemberQuery, PublishRequest, Published, Read, ReadFrom,
};
