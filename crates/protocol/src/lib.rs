//! What travels between clients and hub: bytes to commands, frames to bytes, on every wire.
//!
//! Purpose: `core` decides in plain values; this crate gives those values their form in JSON, in protobuf, in WebSocket
//! frames, in event streams and in polls. Everything here is a function of its arguments. A frame is encoded once a
//! wire for the whole node and its bytes are shared by all subscribers, so no wire's bytes may hold anything that
//! differs between two sessions.
//!
//! Deliberately absent: sockets, HTTP, sessions, any decision about what is sent to whom.
//!
//! Reading order: [`json`] (the format that a person can type), [`protobuf`] (the same for programs) and [`refused`]
//! (what becomes of a command that makes no sense); [`cursor`] and [`sse`], then [`websocket`]; [`wire`] puts formats
//! and framings together, [`broadcast`] remembers their bytes; [`commands`] takes the body of a POST apart.
//!
//! To add a command or a frame: the variant in `core` makes [`json`] and [`protobuf`] fail to compile where it is
//! missing; add its line to `clients/fixtures`, which the tests here and in every client library read. To add a wire: a
//! variant of [`wire::Wire`] and its arm in [`wire::encode`].

pub mod json;
pub mod protobuf;
pub mod refused;

mod fields;

pub mod cursor;
pub mod sse;
pub mod websocket;

pub mod broadcast;
pub mod wire;

pub mod commands;

pub use broadcast::Broadcast;
pub use refused::Refused;
pub use wire::{Format, Wire};
