//! Reading and removing history.

use std::sync::Arc;

use bytes::Bytes;
use switchboard_core::{ChannelName, Epoch, Position, Publication};
use switchboard_engine::{EngineError, History, Read, ReadFrom};
use tracing::warn;

use crate::deadline::unavailable;
use crate::epoch::fresh_epoch;
use crate::keys::Of;
use crate::reply::{CallError, Reply, exactly};
use crate::scripts::{self, millis, number};
use crate::shards::Shards;
use crate::wire::{self, Decoded};

/// Offsets in scripts are doubles: no channel comes near.
const OFFSET_MAX: u64 = 1 << 53;

/// Reads a channel's history.
pub(crate) async fn read(
    shards: &Shards,
    channel: &ChannelName,
    read: Read,
) -> Result<History, EngineError> {
    let keys = [
        shards.keys.of(Of::Meta, channel),
        shards.keys.of(Of::Stream, channel),
    ];
    let (mut how, mut offset, mut epoch, mut count) = ("top", 0, 0, read.limit);
    match read.from {
        // A limit of nothing asks only whether the next one is there.
        ReadFrom::After(position) if position.offset <= OFFSET_MAX => {
            (how, offset, epoch) = ("after", position.offset, position.epoch.0);
            count = count.max(1);
        }
        ReadFrom::After(_) => {}
        _ if read.limit == 0 => {}
        ReadFrom::Newest => how = "newest",
        ReadFrom::Oldest => how = "oldest",
        ReadFrom::Before(before) => (how, offset) = ("before", before.min(OFFSET_MAX)),
    }
    let arguments = [
        number(fresh_epoch().0),
        millis(shards.config.idle_channel_ttl),
        Bytes::from_static(how.as_bytes()),
        number(offset),
        number(count as u64),
        number(epoch),
    ];
    let partition = shards.keys.partition(channel.as_str());
    let answer = shards
        .run(partition, &scripts::READ, &keys, &arguments)
        .await;
    let (top, mut found) = answer
        .and_then(|answer| understand(channel, answer))
        .map_err(unavailable)?;
    let complete = match read.from {
        ReadFrom::After(position) => follows(position, top, &found, count),
        ReadFrom::Newest | ReadFrom::Oldest | ReadFrom::Before(_) => true,
    };
    if read.from == ReadFrom::Newest {
        found.reverse();
    }
    found.truncate(read.limit);
    Ok(History {
        publications: found,
        top,
        complete,
    })
}

/// Removes a channel's history.
pub(crate) async fn remove(shards: &Shards, channel: &ChannelName) -> Result<(), EngineError> {
    let keys = [
        shards.keys.of(Of::Meta, channel),
        shards.keys.of(Of::Stream, channel),
    ];
    let partition = shards.keys.partition(channel.as_str());
    let removed = shards.run(partition, &scripts::REMOVE, &keys, &[]).await;
    removed.map(drop).map_err(unavailable)
}

fn understand(
    channel: &ChannelName,
    answer: Reply,
) -> Result<(Position, Vec<Arc<Publication>>), CallError> {
    let [epoch, offset, entries] = exactly(answer)?;
    let top = Position {
        epoch: Epoch(epoch.number()?),
        offset: offset.number()?,
    };
    let mut found = Vec::new();
    for entry in entries.array()? {
        match wire::read(channel, entry.bytes()?) {
            Ok(Decoded::Publication(publication)) if publication.epoch == top.epoch => {
                found.push(Arc::new(publication));
            }
            // Left out, it is a hole, and readers are told of holes.
            _ => {
                warn!(engine = "redis", channel = %channel, "history has an entry that cannot be read");
            }
        }
    }
    Ok((top, found))
}

/// Whether `found` is what followed `after`, without a hole, up to `top` or to where `limit` cut it off.
fn follows(after: Position, top: Position, found: &[Arc<Publication>], limit: usize) -> bool {
    if after.epoch != top.epoch || after.offset > top.offset {
        return false;
    }
    let contiguous = found
        .iter()
        .zip(after.offset + 1..)
        .all(|(publication, offset)| publication.offset == offset);
    contiguous && (found.len() == limit || after.offset + found.len() as u64 == top.offset)
}
