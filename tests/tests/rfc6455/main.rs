//! RFC 6455, case by case and byte by byte, in the sections that the well-known Autobahn suite has.
//!
//! The hub is no echo server: that a message was understood is seen by the reply to the command in it.

mod closing;
mod compression;
mod control_frames;
mod fragments;
mod framing;
mod handshake;
mod peer;
mod text;
