//! A call: many publications, one script.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use switchboard_core::{ChannelName, Epoch, Position};
use switchboard_engine::{EngineError, PublishRequest, Published};

use super::Answer;
use super::lane::Waiting;
use crate::deadline::unavailable;
use crate::epoch::fresh_epoch;
use crate::keys::{Keys, Of, Partition};
use crate::reply::{CallError, Reply};
use crate::scripts::{self, milliseconds, number};
use crate::shards::Shards;
use crate::wire;

/// What a publication takes in the answer: what became of it, epoch, offset.
const FATE_BYTES: usize = 1 + 8 + 8;

const SKIPS_HISTORY: u8 = 1;
const HAS_ID: u8 = 2;

/// A publication as the script wants it.
pub(super) struct Encoded {
    channel: ChannelName,
    /// The key of its id.
    id: Option<Bytes>,
    head: Bytes,
    body: Bytes,
}

impl Encoded {
    pub(super) fn new(keys: &Keys, idle_channel_ttl: Duration, request: &PublishRequest) -> Self {
        let window = request.idempotency_window;
        let id = request.id.as_deref().filter(|_| !window.is_zero());
        let retention = request.retention;
        let keeps = retention.keeps_any();
        // The record must outlive what its numbers are about.
        let mut ttl = idle_channel_ttl;
        if keeps {
            ttl = ttl.max(retention.age_max);
        }
        if id.is_some() {
            ttl = ttl.max(window);
        }
        let expected = request.expected_position;
        let mut flags = 0;
        if request.skip_history {
            flags |= SKIPS_HISTORY;
        }
        if id.is_some() {
            flags |= HAS_ID;
        }
        let mut head = Vec::with_capacity(57);
        head.put_u64(milliseconds(ttl));
        head.put_u32(request.payload.bytes().len() as u32);
        head.put_u32(if keeps { retention.count_max } else { 0 });
        head.put_u64(retention.bytes_max as u64);
        head.put_u64(milliseconds(retention.age_max));
        head.put_u64(milliseconds(window.max(Duration::from_millis(1))));
        head.put_u64(expected.map_or(0, |expected| expected.epoch.0));
        head.put_u64(expected.map_or(0, |expected| expected.offset));
        head.put_u8(flags);
        Self {
            channel: request.channel.clone(),
            id: id.map(|id| keys.id(&request.channel, id)),
            head: head.into(),
            body: wire::publication_body(
                &request.payload,
                request.id.as_deref(),
                request.from.as_ref(),
                &request.tags,
                request.exclude,
            ),
        }
    }

    /// What it takes on the way.
    pub(super) fn bytes(&self) -> usize {
        self.head.len() + self.body.len()
    }
}

/// Publishes all, and answers each. `partition` is one of those that their server has.
pub(super) async fn call(shards: &Shards, partition: Partition, mut batch: Vec<Waiting>) {
    // Channels together, and each channel's in their order: the sort is stable.
    batch.sort_by(|one, other| one.encoded.channel.cmp(&other.encoded.channel));
    let (keys, arguments) = written(shards, &batch);
    let answer = shards
        .run(partition, &scripts::PUBLISH, &keys, &arguments)
        .await;
    match answer.and_then(|answer| read(answer, batch.len())) {
        Ok(answers) => {
            for (waiting, answer) in batch.into_iter().zip(answers) {
                // Who waits no more has been told that it may have happened.
                let _ = waiting.answer.send(answer);
            }
        }
        Err(error) => {
            let error = unavailable(error);
            for waiting in batch {
                let _ = waiting.answer.send(Err(error.clone()));
            }
        }
    }
}

/// The script's keys and arguments for a batch, in which channels stand together.
fn written(shards: &Shards, batch: &[Waiting]) -> (Vec<Bytes>, Vec<Bytes>) {
    let (mut names, mut ids, mut arguments) = (Vec::new(), Vec::new(), Vec::new());
    arguments.extend([number(fresh_epoch().0), Bytes::new()]);
    let same = |one: &Waiting, other: &Waiting| one.encoded.channel == other.encoded.channel;
    let mut channels = 0;
    for together in batch.chunk_by(same) {
        channels += 1;
        let (keys, channel) = (&shards.keys, &together[0].encoded.channel);
        names.extend([
            keys.of(Of::Meta, channel),
            keys.of(Of::Stream, channel),
            keys.index(keys.partition(channel.as_str())),
        ]);
        arguments.extend([
            Bytes::from(keys.pub_sub(channel)),
            Bytes::copy_from_slice(channel.as_str().as_bytes()),
            number(together.len() as u64),
        ]);
        for Waiting { encoded, .. } in together {
            ids.extend(encoded.id.clone());
            arguments.extend([encoded.head.clone(), encoded.body.clone()]);
        }
    }
    arguments[1] = number(channels);
    names.append(&mut ids);
    (names, arguments)
}

/// What became of each.
fn read(answer: Reply, len: usize) -> Result<Vec<Answer>, CallError> {
    let mut parts = answer.array()?.into_iter();
    let mut fates = parts.next().ok_or(CallError::Garbled)?.bytes()?;
    if fates.len() != len * FATE_BYTES {
        return Err(CallError::Garbled);
    }
    let mut fate = || {
        let what = fates.get_u8();
        let position = Position {
            epoch: Epoch(fates.get_u64()),
            offset: fates.get_u64(),
        };
        Ok(match what {
            0 | 1 => Ok(Published {
                position,
                duplicate: what == 1,
            }),
            2 => Err(EngineError::PositionMismatch { current: position }),
            3 => {
                let words = parts.next().ok_or(CallError::Garbled)?.text()?;
                Err(unavailable(CallError::Refused(words.into())))
            }
            _ => return Err(CallError::Garbled),
        })
    };
    (0..len).map(|_| fate()).collect()
}
