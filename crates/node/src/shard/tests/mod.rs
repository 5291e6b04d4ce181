//! A shard in a test's hands: the test says what comes together in a batch, what its engine answers late, and when a client
//! reads. So every path that is otherwise a matter of luck can be walked on purpose.
//!
//! Reading order: [`place`] (the shard and its node), [`client`] (the other end of a socket), [`engine`] (an engine that can
//! be held up), then the tests.

mod attempts;
mod batches;
mod client;
mod drains;
mod durable;
pub(crate) mod engine;
mod forgotten;
pub(crate) mod place;
mod polls;
mod presence;
mod refills;
mod several;
mod slow;
mod stops;
mod turns;
