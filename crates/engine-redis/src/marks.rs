//! Marks of durable subscriptions: a key a user and channel, one script, one round trip.

use bytes::Bytes;
use switchboard_core::{Epoch, Position};
use switchboard_engine::{EngineError, Mark, MarkOf};

use crate::deadline::unavailable;
use crate::epoch::fresh_epoch;
use crate::keys::Of;
use crate::reply::{CallError, Reply, exactly};
use crate::scripts::{self, millis, number};
use crate::shards::Shards;

/// Tells where a mark is, and makes it if there is none.
pub(crate) async fn mark(
    shards: &Shards,
    of: &MarkOf,
    start: Option<Position>,
) -> Result<Mark, EngineError> {
    let answer = run(shards, of, "mark", start).await.map_err(unavailable)?;
    let read = || {
        let [epoch, offset, made] = exactly(answer)?;
        let position = Position {
            epoch: Epoch(epoch.number()?),
            offset: offset.number()?,
        };
        let made = made.number()? == 1;
        Ok(Mark { position, made })
    };
    read().map_err(unavailable)
}

/// Moves a mark on.
pub(crate) async fn acknowledge(
    shards: &Shards,
    of: &MarkOf,
    position: Position,
) -> Result<(), EngineError> {
    let moved = run(shards, of, "ack", Some(position)).await;
    moved.map(drop).map_err(unavailable)
}

async fn run(
    shards: &Shards,
    of: &MarkOf,
    what: &'static str,
    position: Option<Position>,
) -> Result<Reply, CallError> {
    let (keys, channel) = (&shards.keys, &of.channel);
    let names = [
        keys.of(Of::Meta, channel),
        keys.of(Of::Stream, channel),
        keys.mark(channel, &of.user),
    ];
    // Without its epoch a mark says nothing, so the record lives as long.
    let ttl = shards.config.idle_channel_ttl.max(of.ttl);
    let (epoch, offset) = match position {
        Some(position) => (number(position.epoch.0), number(position.offset)),
        None => (Bytes::new(), number(0)),
    };
    let arguments = [
        number(fresh_epoch().0),
        millis(ttl),
        millis(of.ttl),
        Bytes::from_static(what.as_bytes()),
        epoch,
        offset,
    ];
    let partition = keys.partition(channel.as_str());
    shards
        .run(partition, &scripts::MARK, &names, &arguments)
        .await
}
