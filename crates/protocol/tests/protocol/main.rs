//! The whole of the protocol but RFC 6455 itself, which `websocket_*` look at.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop where it is"
)]

mod samples;

mod json;
mod protobuf;
mod sse;
mod wires;
