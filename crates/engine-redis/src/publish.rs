//! Publishing: one script, one command, one round trip.

use std::time::Duration;

use bytes::Bytes;
use switchboard_core::{Epoch, Position};
use switchboard_engine::{EngineError, PublishRequest, Published};

use crate::deadline::unavailable;
use crate::epoch::fresh_epoch;
use crate::keys::Of;
use crate::reply::{CallError, exactly};
use crate::scripts;
use crate::shards::Shards;
use crate::wire;

/// Publishes, or says why not.
pub(crate) async fn publish(
    shards: &Shards,
    request: PublishRequest,
) -> Result<Published, EngineError> {
    let keys = &shards.keys;
    let channel = &request.channel;
    let partition = keys.partition(channel.as_str());
    let window = request.idempotency_window;
    let id = request.id.as_deref().filter(|_| !window.is_zero());
    let mut names = vec![
        keys.of(Of::Meta, channel),
        keys.of(Of::Stream, channel),
        keys.index(partition),
    ];
    names.extend(id.map(|id| keys.id(channel, id)));
    let body = wire::publication_body(
        &request.payload,
        request.id.as_deref(),
        request.from.as_ref(),
        &request.tags,
        request.exclude,
    );
    let retention = request.retention;
    let keeps = retention.keeps_any();
    // The record must outlive what its numbers are about.
    let mut ttl = shards.config.idle_channel_ttl;
    if keeps {
        ttl = ttl.max(retention.age_max);
    }
    if id.is_some() {
        ttl = ttl.max(window);
    }
    let (epoch, offset) = match request.expected_position {
        Some(expected) => (number(expected.epoch.0), number(expected.offset)),
        None => (Bytes::new(), Bytes::new()),
    };
    let arguments = [
        number(fresh_epoch().0),
        millis(ttl),
        Bytes::from(keys.pub_sub(channel)),
        Bytes::copy_from_slice(channel.as_str().as_bytes()),
        body,
        number(request.payload.bytes().len() as u64),
        Bytes::from_static(if request.skip_history { b"1" } else { b"0" }),
        number(if keeps {
            u64::from(retention.count_max)
        } else {
            0
        }),
        number(retention.bytes_max as u64),
        millis(retention.age_max),
        millis(window.max(Duration::from_millis(1))),
        epoch,
        offset,
    ];
    let answer = shards
        .run(partition, &scripts::PUBLISH, &names, &arguments)
        .await
        .map_err(unavailable)?;
    let read = || {
        let [what, epoch, offset] = exactly(answer)?;
        let position = Position {
            epoch: Epoch(epoch.number()?),
            offset: offset.number()?,
        };
        Ok((what.number()?, position))
    };
    match read().map_err(unavailable)? {
        (0, position) => Ok(Published {
            position,
            duplicate: false,
        }),
        (1, position) => Ok(Published {
            position,
            duplicate: true,
        }),
        (2, current) => Err(EngineError::PositionMismatch { current }),
        _ => Err(unavailable(CallError::Garbled)),
    }
}

pub(crate) fn number(number: u64) -> Bytes {
    Bytes::from(number.to_string())
}

/// Milliseconds, at most a century: what is longer is for ever, and scripts add it to the time of day.
pub(crate) fn millis(duration: Duration) -> Bytes {
    const CENTURY: Duration = Duration::from_hours(100 * 365 * 24);
    number(duration.min(CENTURY).as_millis() as u64)
}
