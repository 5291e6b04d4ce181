//! Compares what was seen of each followed channel with what Redis has.
//!
//! A lost last publication has no successor to show the hole. And a failover or a crash may have lost the end of a history that was
//! delivered before: then the channel is given a new epoch, or its offsets would mean two things.
//!
//! What it costs: one command for each 64 channels of a server, or in a Cluster for each 64 of a partition, since a script has one slot. So
//! a node sends a Cluster at most a command a partition and interval while it follows fewer than 64 channels in each: 512 in 30 s, 17 a second,
//! each of some 30 µs, spread over all primaries. Ten nodes cost the servers together half a percent of one core. That is left as it
//! is: comparing less often would leave a lost last publication unseen for longer, and writing the commands together would save system
//! calls and not commands. Who wants fewer has fewer `partitions`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use switchboard_core::{ChannelName, Epoch, Position};
use switchboard_engine::Interrupted;
use tracing::warn;

use super::{Hearing, Seen};
use crate::config::Topology;
use crate::epoch::fresh_epoch;
use crate::keys::{Of, Partition};
use crate::reply::{CallError, exactly};
use crate::scripts;
use crate::shards::Shard;

/// Channels of one script: it holds the server up for some 100 µs.
const BATCH: usize = 64;

/// How long what Redis has may be on its way here.
const UNDER_WAY: Duration = Duration::from_secs(1);

type Channels = Vec<(ChannelName, Option<Seen>)>;

/// Compares every now and then, until it is dropped.
pub(crate) async fn keep_comparing(hearing: Arc<Hearing>) {
    loop {
        let interval = hearing.shards.config.compare_interval;
        let random = f64::from(getrandom::u32().unwrap_or(0)) / f64::from(u32::MAX);
        tokio::time::sleep(interval.mul_f64(0.75 + random / 2.0)).await;
        let behind = compare_all(&hearing, None).await;
        if behind.is_empty() {
            continue;
        }
        tokio::time::sleep(UNDER_WAY).await;
        let still = |(channel, stands): &(ChannelName, Seen)| {
            let seen = hearing.followed.seen(channel).map(|seen| seen.position);
            let has_come = seen.is_some_and(|seen| {
                seen.epoch == stands.position.epoch && seen.offset >= stands.position.offset
            });
            !has_come
        };
        let lost: Vec<_> = behind.into_iter().filter(still).collect();
        for (channel, stands) in &lost {
            hearing.followed.see(channel, *stands);
        }
        let lost: Vec<_> = lost.into_iter().map(|(channel, _)| channel).collect();
        if !lost.is_empty() {
            warn!(
                engine = "redis",
                channels = lost.len(),
                "the last publications were not delivered"
            );
            hearing.sink.interrupted(Interrupted::Channels(lost));
        }
    }
}

/// Compares the followed channels of one shard, or of all. Gives those that Redis has more of, and where they stand.
pub(crate) async fn compare_all(
    hearing: &Hearing,
    only: Option<&Arc<Shard>>,
) -> Vec<(ChannelName, Seen)> {
    let map = hearing.shards.map();
    // One script touches one slot of a Cluster, and anything of a server that has all of them.
    let is_cluster = matches!(hearing.shards.config.topology, Topology::Cluster(_));
    let mut batches: Vec<(Partition, Channels)> = Vec::new();
    let mut channels = hearing.followed.all();
    let partition = |name: &ChannelName| hearing.shards.keys.partition(name.as_str());
    channels.sort_by_cached_key(|(name, _)| partition(name));
    for (name, seen) in channels {
        let of = partition(&name);
        let is_wanted =
            only.is_none_or(|only| map.shard(of).is_some_and(|owner| Arc::ptr_eq(owner, only)));
        if !is_wanted {
            continue;
        }
        match batches.last_mut() {
            Some((first, batch)) if (*first == of || !is_cluster) && batch.len() < BATCH => {
                batch.push((name, seen));
            }
            _ => batches.push((of, vec![(name, seen)])),
        }
    }
    let mut behind = Vec::new();
    for (partition, batch) in batches {
        // Without an answer there is nothing to say: this is asked again.
        if let Ok(found) = compare(hearing, partition, batch).await {
            behind.extend(found);
        }
    }
    behind
}

async fn compare(
    hearing: &Hearing,
    partition: Partition,
    batch: Channels,
) -> Result<Vec<(ChannelName, Seen)>, CallError> {
    let text = |number: u64| Bytes::from(number.to_string());
    let ttl = hearing.shards.config.idle_channel_ttl.as_millis() as u64;
    let (mut keys, mut arguments) = (Vec::new(), vec![text(ttl)]);
    for (channel, seen) in &batch {
        keys.push(hearing.shards.keys.of(Of::Meta, channel));
        keys.push(hearing.shards.keys.of(Of::Stream, channel));
        let seen = seen.unwrap_or(NOTHING);
        arguments.push(text(fresh_epoch().0));
        arguments.push(text(seen.position.epoch.0));
        arguments.push(text(seen.position.offset));
        arguments.push(text(seen.time_ms));
    }
    let answer = hearing
        .shards
        .run(partition, &scripts::COMPARE, &keys, &arguments);
    let answer = answer.await?.array()?;
    let mut behind = Vec::new();
    for ((channel, seen), stands) in batch.into_iter().zip(answer) {
        let [epoch, offset] = exactly(stands)?;
        let Ok(epoch) = epoch.number() else {
            // The channel has no record: whatever was seen of it is gone, or nothing ever was.
            if seen.is_some_and(|seen| seen != NOTHING) {
                behind.push((channel, NOTHING));
            }
            continue;
        };
        let stands = Seen {
            position: Position {
                epoch: Epoch(epoch),
                offset: offset.number()?,
            },
            time_ms: 0,
        };
        match seen {
            None => {
                // What comes meanwhile is newer than this.
                if hearing.followed.seen(&channel).is_none() {
                    hearing.followed.see(&channel, stands);
                }
            }
            Some(seen) if seen.position == stands.position => {}
            Some(_) => behind.push((channel, stands)),
        }
    }
    Ok(behind)
}

const NOTHING: Seen = Seen {
    position: Position {
        epoch: Epoch(0),
        offset: 0,
    },
    time_ms: 0,
};
