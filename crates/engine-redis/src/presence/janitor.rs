//! Has the members of a dead node leave.
//!
//! Any node may do it, one at a time by a claim: not for correctness, since a script removes and announces in one step, but
//! so that a hundred nodes do not do the same work.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use switchboard_core::ChannelName;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Due, Presence};
use crate::keys::{LEASES, Partition};
use crate::reply::{CallError, Reply, exactly};
use crate::scripts::{self, millis, number};

/// Partitions looked through at a time.
const PARTITIONS_AT_ONCE: usize = 64;

/// Members that one script removes: it holds the server up for some milliseconds.
const BATCH: u64 = 100;

/// Has the members of a lease that is over leave, unless another node is at it.
pub(super) async fn sweep(presence: &Presence, over: &Arc<str>, own: &Arc<str>) {
    let shards = &presence.shards;
    let claim = [shards.keys.janitor(over)];
    let arguments = [text(own), millis(shards.config.lease)];
    match shards
        .run(LEASES, &scripts::CLAIM, &claim, &arguments)
        .await
    {
        Ok(Reply::Integer(1)) => {}
        _ => return,
    }
    info!(engine = "redis", lease = %over, "a node is gone: its members leave");
    let swept = futures_util::stream::iter(shards.keys.partitions())
        .map(|partition| sweep_partition(presence, partition, over, own))
        .buffer_unordered(PARTITIONS_AT_ONCE)
        .fold(true, |all, swept| async move {
            if let Err(error) = &swept {
                warn!(engine = "redis", error = %error, "a partition's members could not leave yet");
            }
            all && swept.is_ok()
        })
        .await;
    let keys = [shards.keys.leases(), shards.keys.janitor(over)];
    let done = Bytes::from_static(if swept { b"1" } else { b"0" });
    // Without an answer the claim ends by itself, and somebody else finds nothing left to do.
    let _ = shards
        .run(LEASES, &scripts::FORGET, &keys, &[text(over), done])
        .await;
}

async fn sweep_partition(
    presence: &Presence,
    partition: Partition,
    over: &Arc<str>,
    own: &Arc<str>,
) -> Result<(), CallError> {
    let shards = &presence.shards;
    let keys = [
        shards.keys.members_of_lease(partition, over),
        shards.keys.lease_is_over(partition, over),
    ];
    let arguments = [
        millis(shards.config.idle_channel_ttl),
        shards.keys.begin(partition),
        text(over),
        text(own),
        number(BATCH),
    ];
    loop {
        let answer = shards
            .run(partition, &scripts::SWEEP, &keys, &arguments)
            .await?;
        let [left, in_grace] = exactly(answer)?;
        let mut parts = in_grace.array()?.into_iter();
        while let Some(name) = parts.next() {
            let mut next = || parts.next().ok_or(CallError::Garbled);
            let (place, of, rest) = (next()?.bytes()?, next()?.number()?, next()?.number()?);
            let channel = ChannelName::parse(&name.text()?).map_err(|_| CallError::Garbled)?;
            let grace = Due::Grace {
                channel,
                place,
                number: of,
            };
            presence
                .due
                .insert(Instant::now() + Duration::from_millis(rest), grace);
        }
        if left.number()? == 0 {
            return Ok(());
        }
    }
}

fn text(lease: &Arc<str>) -> Bytes {
    Bytes::copy_from_slice(lease.as_bytes())
}
