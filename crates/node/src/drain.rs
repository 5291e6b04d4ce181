//! The paced end of a node: nobody new, then everybody told when to leave, spread over a window.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::node::Node;
use crate::shard::mail::Mail;

impl Node {
    /// Whether a drain has begun: new sessions are refused.
    pub fn is_draining(&self) -> bool {
        self.shared().draining.load(Ordering::Relaxed)
    }

    /// Refuses new sessions from now on, while existing ones are served as before: what readiness goes with.
    pub fn refuse_sessions(&self) {
        self.shared().draining.store(true, Ordering::Relaxed);
    }

    /// Drains: every session gets `draining` with a time of its own within `window`, is served until then, and is closed
    /// with 1001. Returns when the last has gone.
    ///
    /// # Cancel safety
    /// Cancel safe: the drain goes on, only nobody waits for it.
    pub async fn drain(&self, window: Duration) {
        self.refuse_sessions();
        for shard in 0..self.shards() {
            self.mailbox(shard).send(Mail::Drain {
                window_ms: window.as_millis() as u64,
            });
        }
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        while self.sessions() > 0 {
            tick.tick().await;
        }
    }
}
