//! Who owns which slots of a Cluster.
//!
//! A Cluster is asked every second, and whenever a server says that something is elsewhere: a migrated slot ends its subscriptions
//! without a word that the client library passes on, so waiting to be told is not enough. Servers are asked in turn, and one
//! whose view is older than what was heard before is not believed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::{Map, Shard, Shards, shard};
use crate::config::{Address, Topology};
use crate::connect::{Connection, Target};
use crate::keys::Partition;
use crate::reply::{CallError, Reply};

/// How often a Cluster is asked.
const INTERVAL: Duration = Duration::from_secs(1);

/// How often it is asked at most, however many servers say that something is elsewhere.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// How long one server may take to answer: another may know.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// Slots, first to last, and who serves them.
type Ranges = Vec<(u16, u16, Address)>;

/// Keeps the map true. `moved` is called with new shards, with partitions that have another shard than before, and whether there
/// was none before at all.
pub(crate) async fn follow_topology(
    shards: Arc<Shards>,
    tasks: TaskTracker,
    cancel: CancellationToken,
    moved: impl Fn(&Map, &[Arc<Shard>], &[Partition], bool) + Send,
) {
    let Topology::Cluster(seeds) = &shards.config.topology else {
        return;
    };
    let (mut newest, mut turn) = (0, 0);
    loop {
        let map = shards.map();
        match ask_someone(&shards, &map, seeds, &mut turn).await {
            Ok((epoch, ranges)) if epoch >= newest => {
                newest = epoch;
                shards.set_trouble("");
                let (next, new, changed) = redraw(&shards, &map, &ranges);
                if !new.is_empty() || !changed.is_empty() || next.shards.len() != map.shards.len() {
                    info!(
                        engine = "redis",
                        shards = next.shards.len(),
                        "the cluster changed"
                    );
                    let next = Arc::new(next);
                    shards.map.send_replace(Arc::clone(&next));
                    for shard in &new {
                        shards.start(shard, &tasks, &cancel);
                    }
                    moved(&next, &new, &changed, map.shards.is_empty());
                    for old in &map.shards {
                        if !next.shards.iter().any(|kept| Arc::ptr_eq(kept, old)) {
                            old.ended.cancel();
                        }
                    }
                }
            }
            Ok(_) => {}
            Err(error) => {
                warn!(engine = "redis", %error, "no server of the cluster answers");
                shards.set_trouble(error.to_string());
            }
        }
        tokio::time::sleep(INTERVAL_MIN).await;
        let _ = tokio::time::timeout(INTERVAL, shards.refresh.notified()).await;
    }
}

/// Asks the shards in turn, then the seeds. Where nobody answers, the last seed's error stands for all.
async fn ask_someone(
    shards: &Shards,
    map: &Map,
    seeds: &[Address],
    turn: &mut usize,
) -> Result<(u64, Ranges), CallError> {
    *turn += 1;
    let count = map.shards.len();
    for index in 0..count {
        let shard = &map.shards[(*turn + index) % count];
        let (Some(connection), Target::Server(address)) = (shard.connection(), &shard.target)
        else {
            continue;
        };
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, ask(&connection, address)).await;
        if let Ok(Ok(answer)) = answer {
            return Ok(answer);
        }
    }
    let mut last = CallError::NotSent("no server is named".into());
    for seed in seeds {
        let target = Target::Server(seed.clone());
        let answer = async {
            let connection = shards.connector.commands(&target).await?;
            let answer = tokio::time::timeout(ANSWER_TIMEOUT, ask(&connection, seed)).await;
            answer.map_err(|_| CallError::Lost("no answer within the time".into()))?
        };
        match answer.await {
            Ok(answer) => return Ok(answer),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn ask(connection: &Connection, asked: &Address) -> Result<(u64, Ranges), CallError> {
    let info = connection.call("CLUSTER", vec![Bytes::from_static(b"INFO")]);
    let info = info.await?.text()?;
    let epoch = info
        .lines()
        .find_map(|line| line.strip_prefix("cluster_current_epoch:"));
    let epoch = epoch.and_then(|epoch| epoch.trim().parse().ok());
    let slots = connection.call("CLUSTER", vec![Bytes::from_static(b"SLOTS")]);
    let ranges = slots.await?.array()?.into_iter();
    let ranges = ranges.map(|range| read_range(range, asked));
    Ok((
        epoch.ok_or(CallError::Garbled)?,
        ranges.collect::<Result<_, _>>()?,
    ))
}

fn read_range(range: Reply, asked: &Address) -> Result<(u16, u16, Address), CallError> {
    let number = |reply: &Reply| u16::try_from(reply.number()?).map_err(|_| CallError::Garbled);
    let mut parts = range.array()?.into_iter();
    let mut next = || parts.next().ok_or(CallError::Garbled);
    let (first, last) = (number(&next()?)?, number(&next()?)?);
    let mut primary = next()?.array()?.into_iter();
    // A server that does not know its own name is the one that was asked.
    let host = match primary.next() {
        Some(Reply::Bytes(host)) if !host.is_empty() && host != "?" => Reply::Bytes(host).text()?,
        _ => asked.host.clone(),
    };
    let port = number(&primary.next().ok_or(CallError::Garbled)?)?;
    Ok((first, last, Address { host, port }))
}

/// The map for these ranges, with the shards of the old one where they stay; the new shards; and the partitions that moved.
fn redraw(shards: &Shards, old: &Map, ranges: &Ranges) -> (Map, Vec<Arc<Shard>>, Vec<Partition>) {
    let owner = |partition: Partition| {
        let slot = shards.slot_of(partition);
        let range = ranges
            .iter()
            .find(|(first, last, _)| (*first..=*last).contains(&slot));
        range.map(|(_, _, address)| address.clone())
    };
    let (mut map, mut new, mut changed) = (Map::default(), Vec::new(), Vec::new());
    let mut known: HashMap<Address, usize> = HashMap::new();
    for partition in shards.keys.partitions() {
        let index = owner(partition).map(|address| {
            *known.entry(address.clone()).or_insert_with(|| {
                let target = Target::Server(address);
                // Its canary's partition must still live there.
                let kept = old.shards.iter().find(|shard| {
                    shard.target == target
                        && owner(shard.canary).map(Target::Server).as_ref() == Some(&target)
                });
                let kept = kept.cloned().unwrap_or_else(|| {
                    let made = shard(target, partition);
                    new.push(Arc::clone(&made));
                    made
                });
                map.shards.push(kept);
                map.shards.len() - 1
            })
        });
        map.of_partition.push(index);
        let before = old.shard(partition);
        let after = map.shard(partition);
        if before.map(Arc::as_ptr) != after.map(Arc::as_ptr) {
            changed.push(partition);
        }
    }
    (map, new, changed)
}
