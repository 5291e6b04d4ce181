//! Several nodes behind any balancer are one hub: each test starts real nodes on a real Redis, and breaks some of them.

mod durable;
mod guarded;
mod limits;
mod moving;
mod presence;
mod revocation;
mod sessions;
mod together;
