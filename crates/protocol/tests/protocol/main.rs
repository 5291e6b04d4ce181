//! The whole of the protocol but RFC 6455 itself, which `websocket_*` look at.

mod samples;

mod json;
mod protobuf;
mod sse;
mod wires;
