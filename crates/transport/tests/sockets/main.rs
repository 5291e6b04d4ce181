//! The clients' side of HTTP over real sockets, with a real node and the memory engine behind it: what the black-box
//! scenarios do not reach (HTTP/2, TLS, HTTP/1.0, the bounds of connections) and what must hold byte for byte.

#![allow(clippy::unwrap_used, reason = "what does not hold here fails the test")]

mod hub;
mod kept_polls;
mod raw;

mod bounds;
mod http1;
mod http2;
mod polls;
mod refusals;
mod tls;
