//! How an ear knows that it hears: it sings to itself.
//!
//! Each node publishes a number to itself, on every shard, by a script that also writes: a server that takes no writes any
//! more (a demoted primary) would deliver its own node's song, and nobody else's publications.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use super::Hearing;
use crate::scripts;
use crate::shards::{Shard, run_on};

/// When an ear last heard its own canary, or when its song was last answered.
pub(super) type Heard = watch::Sender<Instant>;

/// Three missed, and half an interval for the way.
pub(crate) fn deaf_after(interval: Duration) -> Duration {
    interval * 7 / 2
}

/// Sings, until the server says that it is no primary. Notes in `answered` when the server last answered.
pub(super) async fn sing(hearing: &Hearing, shard: &Shard, channel: &str, answered: &Heard) {
    let interval = hearing.shards.config.canary_interval;
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let keys = [Bytes::copy_from_slice(channel.as_bytes())];
    for number in 0_u64.. {
        ticks.tick().await;
        let number = [Bytes::from(number.to_string())];
        let sent = run_on(shard, &scripts::CANARY, &keys, &number);
        match tokio::time::timeout(interval, sent).await {
            Ok(Ok(_)) => {
                answered.send_replace(Instant::now());
            }
            Ok(Err(error)) if error.code() == "READONLY" => return,
            // One that is not answered in time has not been heard either; the next one may be.
            Ok(Err(_)) | Err(_) => {}
        }
    }
}

/// Waits until nothing has been heard for too long.
pub(super) async fn deaf(heard: &Heard, interval: Duration) {
    loop {
        let last = *heard.borrow();
        tokio::time::sleep_until(last + deaf_after(interval)).await;
        if *heard.borrow() == last {
            return;
        }
    }
}
