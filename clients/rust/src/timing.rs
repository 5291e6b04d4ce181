//! The times of a client, and the bounds of what it holds.

use std::time::Duration;

/// The times of a client. `Timing::default()` suits most networks.
///
/// ```
/// use std::time::Duration;
/// use switchboard_client::Timing;
///
/// let timing = Timing { request: Duration::from_secs(3), ..Timing::default() };
/// assert_eq!(timing.backoff_cap, Duration::from_secs(30));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// Bounds the first wait before coming back, which is random. Default 500 ms.
    pub backoff_base: Duration,
    /// Bounds every such wait. Default 30 s.
    pub backoff_cap: Duration,
    /// How long an attempt may take until its `open` frame, and a session until it has answered what was subscribed. Default 8 s.
    pub open: Duration,
    /// The interval at which the hub is asked for a sign of life. Default 20 s, at least 1 s.
    pub heartbeat: Duration,
    /// How long a connection may say nothing. Default 40 s: two heartbeats.
    pub silence: Duration,
    /// How long a command may take. Default 10 s; a handle made by [`Client::with_timeout`](crate::Client::with_timeout) has its own.
    pub request: Duration,
    /// How long a connection has to live until the next loss counts as the first again. Default 5 s.
    pub proven: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            backoff_base: Duration::from_millis(500),
            backoff_cap: Duration::from_secs(30),
            open: Duration::from_secs(8),
            heartbeat: Duration::from_secs(20),
            silence: Duration::from_secs(40),
            request: Duration::from_secs(10),
            proven: Duration::from_secs(5),
        }
    }
}

/// Bounds commands under way and waiting for a connection, against a caller that never waits.
pub(crate) const PENDING_MAX: usize = 1000;
/// The default bound of events that wait for a subscription's reader.
pub(crate) const INBOX_MAX: usize = 1000;
/// Bounds commands that wait for a socket that takes none: all that may be pending, and what subscriptions ask.
pub(crate) const OUTBOX_MAX: usize = 4096;
/// Bounds what handles have asked and the client's task has not looked at; who asks more waits.
pub(crate) const ORDERS_MAX: usize = 64;
/// Bounds a message of the hub, in bytes: a page of history is the largest.
pub(crate) const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// Bounds the body of an answer that gives no session, in bytes: the hub's problems have some hundred.
pub(crate) const PROBLEM_BYTES_MAX: usize = 64 << 10;
/// Bounds new tokens in a row that are refused; then the client stops.
pub(crate) const TOKEN_REFUSALS_MAX: u32 = 5;
/// How much time a token must have left to be used for an opening.
pub(crate) const TOKEN_SPARE: Duration = Duration::from_secs(2);
/// How long the hub has to answer a close.
pub(crate) const GOODBYE: Duration = Duration::from_millis(500);
/// The wait until a renewal that failed is tried again.
pub(crate) const RENEW_AGAIN: Duration = Duration::from_secs(5);
