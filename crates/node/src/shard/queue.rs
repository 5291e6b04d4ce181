//! What a session's socket does not take at once, and what a poll session is owed: frames in its outbox, under the policies.

use bytes::Bytes;
use switchboard_core::outbox::{Droppable, Outbox, Overflow};
use switchboard_core::{Frame, GapReason};
use switchboard_protocol::wire::{self, Wire};

use crate::shard::channels::position;
use crate::shard::mail::Delivery;
use crate::shard::slots::SENT;
use crate::shard::{Shard, flush};

impl Shard {
    /// Queues a channel's deliveries for a session that has an outbox and takes the bytes that everybody on its wire takes,
    /// leaving out what excludes it.
    pub(super) fn queue(&mut self, slot: u32, items: &[Delivery]) {
        let Some((place, session)) = self.slots.both(slot) else {
            return;
        };
        if session.closing_ms.is_some() {
            self.count_drops(items.iter());
            return;
        }
        place.sent.set(SENT);
        let (id, wire) = (session.id, place.wire);
        let (now, max) = (self.now(), self.shared.limits.outbox_bytes_max);
        // Items that come together are of one channel.
        let policy = items.iter().find_map(|item| self.droppable(item));
        let mut queued = 0;
        self.with_outbox(slot, |outbox| {
            outbox.reserve(items.len());
            for item in items {
                queued += 1;
                let droppable = match item.broadcast.frame() {
                    Frame::Message(publication) if publication.exclude == Some(id) => continue,
                    Frame::Message(_) => policy.zip(position(item)),
                    _ => None,
                };
                let droppable =
                    droppable.map(|(policy, position)| Droppable { position, ..policy });
                let bytes = item.broadcast.bytes(wire).clone();
                outbox.push(now, bytes, droppable, max)?;
            }
            Ok(())
        });
        // It has become too slow for the rest.
        self.count_drops(items[queued..].iter());
        if wire == Wire::Poll {
            self.answer_later(slot);
        }
    }

    pub(super) fn droppable(&self, item: &Delivery) -> Option<Droppable> {
        let Frame::Message(publication) = item.broadcast.frame() else {
            return None;
        };
        let lane = self.channels.find(&publication.channel)?;
        let policy = self.channels[lane].policy.slow_consumer;
        // What has no place cannot be announced as lost, so it is not dropped either.
        position(item).map(|position| Droppable {
            lane,
            position,
            policy,
        })
    }

    /// A session's socket took only `written` bytes of what deliveries come to on a wire each. The rest is queued frame by
    /// frame, so that the policies find whole frames; only one that is half written has to stay.
    pub(super) fn block<'a>(
        &mut self,
        slot: u32,
        mut written: usize,
        items: impl Iterator<Item = (Wire, &'a Delivery)> + Clone,
    ) {
        self.make_outbox(slot);
        let mut rest = items.clone();
        for (wire, item) in items {
            if self.slots.get(slot).is_none_or(|s| s.closing_ms.is_some()) {
                self.count_drops(rest.map(|(_, item)| item));
                return;
            }
            rest.next();
            let bytes = item.broadcast.bytes(wire);
            if written >= bytes.len() {
                written -= bytes.len();
                continue;
            }
            let droppable = self.droppable(item);
            if written > 0 {
                self.enqueue_rest(slot, bytes.clone(), written, droppable);
            } else {
                self.enqueue(slot, bytes.clone(), droppable);
            }
            written = 0;
        }
    }

    /// Counts what a session is not even queued because it has been closed for being slow.
    pub(super) fn count_drops<'a>(&self, items: impl Iterator<Item = &'a Delivery>) {
        let lost = items.filter(|item| position(item).is_some()).count();
        self.shared.metrics.drops.inc_by(lost as u64);
    }

    /// Queues what is left of a frame: the first thing in an outbox.
    pub(super) fn enqueue_rest(
        &mut self,
        slot: u32,
        bytes: Bytes,
        written: usize,
        droppable: Option<Droppable>,
    ) {
        let now = self.now();
        self.with_outbox(slot, |outbox| {
            outbox.start(now, bytes, written, droppable);
            Ok(())
        });
    }

    /// From now on the session's frames queue up, until its socket has taken them all.
    pub(super) fn make_outbox(&mut self, slot: u32) {
        let age_max = self.shared.limits.outbox_age_max.as_millis() as u64;
        let look_ms = self.now() + age_max;
        let Some((place, session)) = self.slots.both(slot) else {
            return;
        };
        place.direct = false;
        if session.outbox.is_none() {
            session.outbox = Some(Box::default());
            flush::start(&self.me, slot, session);
            self.look_at(slot, look_ms);
        }
    }

    pub(super) fn enqueue(&mut self, slot: u32, bytes: Bytes, droppable: Option<Droppable>) {
        let (now, max) = (self.now(), self.shared.limits.outbox_bytes_max);
        self.with_outbox(slot, |outbox| outbox.push(now, bytes, droppable, max));
        if self.slots.hot[slot as usize].wire == Wire::Poll {
            self.answer_later(slot);
        }
    }

    /// Changes an outbox and keeps the books: bytes waiting, publications dropped, and the end of who overflows.
    pub(super) fn with_outbox(
        &mut self,
        slot: u32,
        change: impl FnOnce(&mut Outbox) -> Result<(), Overflow>,
    ) {
        let Some(session) = self.slots.get_mut(slot) else {
            return;
        };
        let Some(outbox) = &mut session.outbox else {
            return;
        };
        let bound = self.shared.limits.outbox_bytes_max;
        let before = outbox.bytes().cast_signed() as i64;
        let result = change(outbox);
        let (after, dropped) = (outbox.bytes().cast_signed() as i64, outbox.take_dropped());
        self.shared.metrics.outbox_bytes.inc_by(after - before);
        self.shared.metrics.drops.inc_by(dropped);
        if outbox.bytes() <= bound / 2
            && let Some(drained) = session.drained.take()
        {
            drained.notify_waiters();
        }
        if result.is_err() {
            tracing::debug!(session.id = %session.id, outbox_bytes = after, "slow consumer");
            self.close_slow(slot);
        }
    }

    /// Announces what policies have dropped, before anything that came later.
    pub(super) fn announce_gaps(&mut self, slot: u32) {
        let wire = self.slots.hot[slot as usize].wire;
        let Some(session) = self.slots.get_mut(slot) else {
            return;
        };
        let gaps = session
            .outbox
            .as_mut()
            .map(|outbox| outbox.take_gaps())
            .unwrap_or_default();
        let now = self.now();
        for gap in gaps {
            let (lane, position) = (gap.lane, gap.position);
            let reason = GapReason::SlowConsumer;
            self.shared.metrics.gap(reason.as_str());
            let frame = Frame::Gap {
                channel: self.channels[lane].name.clone(),
                position,
                reason,
            };
            // Of several channels an event stream is given no cursor here: the session's own is past what waits behind the
            // gap. The next message moves it, and whoever drops before that comes back to where the gap begins.
            let bytes = wire::encode(&frame, wire, self.shared.limits.deflate_bytes_min);
            self.with_outbox(slot, |outbox| {
                outbox.announce(now, bytes, gap);
                Ok(())
            });
        }
    }
}
