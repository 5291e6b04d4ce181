//! The control API as a service sees it: a real server on a free port, a real node, the memory engine, tonic's client.

#![allow(clippy::items_after_statements, reason = "beside what they are for")]
#![allow(clippy::unwrap_used, reason = "what does not hold here fails the test")]

mod access;
mod bounds;
mod fixture;
mod lifecycle;
mod listing;
mod publish;
mod stalling;
mod stream;
mod tls;
mod tokens;
mod watch;
