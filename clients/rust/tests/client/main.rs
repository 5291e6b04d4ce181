//! The client at a real hub behind a network that misbehaves: the stage of `clients/conformance`.
//!
//! It needs Node.js, and the hub: `SWITCHBOARD_HUB=/path/to/switchboard cargo test -p switchboard-client`.

mod conformance;
mod drain;
mod durable;
mod ends;
mod examples;
mod faults;
mod hub;
mod player;
mod repeated;
mod service;
mod stage;
mod tls;
