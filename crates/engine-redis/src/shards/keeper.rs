//! Keeps a shard's command connection up.

use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::{Shard, Shards};
use crate::config::Reconnect;

/// Connects again and again, until it is dropped.
pub(super) async fn keep(shards: Arc<Shards>, shard: Arc<Shard>) {
    let mut backoff = Backoff::new(shards.config.reconnect);
    loop {
        match shards.connector.commands(&shard.target).await {
            Ok(connection) => {
                info!(engine = "redis", target = ?shard.target, "connected for commands");
                backoff.reset();
                let connection = Arc::new(connection);
                shard.commands.send_replace(Some(Arc::clone(&connection)));
                tokio::select! {
                    () = connection.closed() => {}
                    // What waits for a server that hangs, or is none any more, waits in vain.
                    () = shard.replace.notified() => connection.close(),
                }
                shard.commands.send_replace(None);
                shard.set_trouble("the connection ended");
                warn!(engine = "redis", target = ?shard.target, "lost the connection for commands");
            }
            Err(error) => {
                shard.set_trouble(error.to_string());
                warn!(engine = "redis", target = ?shard.target, error = %error, "cannot connect for commands");
            }
        }
        shards.request_refresh();
        backoff.wait().await;
    }
}

/// Waits longer after each failure, with full jitter: nodes that lost the same server do not come back together.
pub(crate) struct Backoff {
    bounds: Reconnect,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(bounds: Reconnect) -> Self {
        let next = bounds.delay_min;
        Self { bounds, next }
    }

    pub(crate) fn reset(&mut self) {
        self.next = self.bounds.delay_min;
    }

    pub(crate) async fn wait(&mut self) {
        let random = getrandom::u32().unwrap_or(u32::MAX);
        let share = f64::from(random) / f64::from(u32::MAX);
        let delay = self.next.mul_f64(share);
        self.next = (self.next * 2).min(self.bounds.delay_max);
        tokio::time::sleep(delay).await;
    }
}
