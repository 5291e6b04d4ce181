//! The node's two clocks, in milliseconds: one that never goes back, for deadlines, and the wall's, for people.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Reads both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// Milliseconds since the node started; never goes back.
    pub(crate) fn now_ms(self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// Milliseconds since 1970, as the machine believes.
    #[allow(
        clippy::unused_self,
        reason = "both clocks are read through one value, so that tests can set them later"
    )]
    pub(crate) fn wall_ms(self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_millis() as u64)
    }
}
