//! The JSON format: one object a command, one object a frame.
//!
//! Reading order: [`check`] looks at payloads, once and by whoever accepts them; [`decode`] reads commands; [`mod@encode`]
//! writes frames.

pub mod check;

mod arguments;
pub mod decode;
mod strict;

pub mod encode;
mod object;

pub use check::{JsonError, PAYLOAD_DEPTH_MAX, check_json};
pub use decode::decode_command;
pub use encode::{encode, encode_inner, kind};
