//! Scenarios: what the hub promises, seen from outside, each over every transport that it holds for.

mod channels;
mod commands;
mod descriptors;
mod drain;
mod durable;
mod expiry;
mod fan_out;
mod heartbeat;
mod http2;
mod json_text;
mod limits;
mod own_tls;
mod payloads;
mod poll_answers;
mod presence;
mod presence_watch;
mod publishing;
mod recovery;
mod revocation;
mod session_keys;
mod sessions;
mod slow_bursts;
mod slow_consumer;
mod sse_stream;
mod tokens;
