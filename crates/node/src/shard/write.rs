//! Writing to one session: at once if its socket takes it, into its outbox otherwise.

use std::io::IoSlice;
use std::net::Shutdown;
use std::rc::Rc;

use bytes::Bytes;
use switchboard_core::cursor::Cursor;
use switchboard_core::outbox::{Droppable, Outbox, Overflow};
use switchboard_core::{ChannelName, Frame, GapReason, Position};
use switchboard_protocol::sse;
use switchboard_protocol::wire::{self, Wire};
use tokio::sync::Notify;

use crate::shard::channels::position;
use crate::shard::fan_out::would_block;
use crate::shard::mail::Delivery;
use crate::shard::session::State;
use crate::shard::slots::{NONE, SENT};
use crate::shard::{Local, Shard, flush};

/// Slices of one vectored send: enough that the call costs more than its bookkeeping.
const SLICES: usize = 64;

impl Shard {
    /// Sends a frame to one session.
    pub(super) fn send_frame(&mut self, slot: u32, frame: &Frame) {
        let wire = self.slots.hot[slot as usize].wire;
        self.push(
            slot,
            wire::encode(frame, wire, self.shared.limits.deflate_bytes_min),
            None,
        );
    }

    /// Hands a channel's deliveries to one session, whatever state it is in, leaving out what excludes it.
    pub(super) fn owe(&mut self, slot: u32, items: &[Delivery]) {
        if self.slots.hot[slot as usize].wire == Wire::Poll {
            self.owe_poll(slot, items);
            return;
        }
        self.flush_pending(slot);
        for (index, item) in items.iter().enumerate() {
            let Some(session) = self
                .slots
                .get(slot)
                .filter(|session| session.closing_ms.is_none())
            else {
                // It was too slow for what came before, so the rest is lost to it as well.
                self.count_drops(items[index..].iter());
                return;
            };
            let frame = item.broadcast.frame();
            if let Frame::Message(publication) = frame
                && publication.exclude == Some(session.id)
            {
                continue;
            }
            let wire = self.slots.hot[slot as usize].wire;
            let bytes = match frame {
                Frame::Message(publication) if bare(wire) && publication.offset > 0 => {
                    let (channel, position) = (&publication.channel, publication.position());
                    self.with_id_line(slot, channel, position, item.broadcast.bytes(wire))
                }
                Frame::Gap {
                    channel, position, ..
                } if bare(wire) => {
                    self.with_id_line(slot, channel, *position, item.broadcast.bytes(wire))
                }
                _ => item.broadcast.bytes(wire).clone(),
            };
            let droppable = self.droppable(item);
            self.push(slot, bytes, droppable);
        }
    }

    /// An event with the session's own cursor, which says that it stands at `position` in `channel`.
    pub(super) fn with_id_line(
        &self,
        slot: u32,
        channel: &ChannelName,
        position: Position,
        event: &[u8],
    ) -> Bytes {
        let mut cursor = self.cursor(slot);
        match cursor
            .positions
            .iter_mut()
            .find(|(name, _)| name == channel)
        {
            Some((_, stands)) => *stands = position,
            None => cursor.positions.push((channel.clone(), position)),
        }
        let chunked = self.slots.hot[slot as usize].wire.is_chunked();
        let mut out = Vec::new();
        sse::id_line(&cursor, chunked, &mut out);
        out.extend_from_slice(event);
        out.into()
    }

    /// Where a session stands in all its channels, sequence apart.
    pub(super) fn cursor(&self, slot: u32) -> Cursor {
        let Some(session) = self.slots.get(slot) else {
            return Cursor::default();
        };
        let positions = session.subscriptions.iter().filter_map(|subscription| {
            let channel = &self.channels[subscription.channel];
            let position = match &subscription.state {
                State::Live => channel.position_at(subscription.at),
                State::Ahead(offset) => channel.position.map(|p| Position {
                    offset: *offset,
                    ..p
                }),
                State::Syncing(syncing) => syncing.stands,
            };
            Some((channel.name.clone(), position?))
        });
        Cursor {
            sequence: session
                .outbox
                .as_ref()
                .map_or(0, |outbox| outbox.sequence()),
            positions: positions.collect(),
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

    /// Writes bytes to a session or queues them.
    pub(super) fn push(&mut self, slot: u32, bytes: Bytes, droppable: Option<Droppable>) {
        if self.slots.hot[slot as usize].pending_first != NONE {
            let closing = |shard: &Self| {
                shard
                    .slots
                    .get(slot)
                    .is_some_and(|s| s.closing_ms.is_some())
            };
            let was_closing = closing(self);
            self.flush_pending(slot);
            if closing(self) != was_closing {
                // Nothing follows a close.
                return;
            }
        }
        let Some((place, session)) = self.slots.both(slot) else {
            return;
        };
        place.sent = SENT;
        if session.outbox.is_some() {
            self.enqueue(slot, bytes, droppable);
            return;
        }
        let Some(stream) = &place.stream else { return };
        match stream.send(&bytes) {
            Ok(written) if written == bytes.len() => {}
            Ok(written) => {
                self.make_outbox(slot);
                self.enqueue_rest(slot, bytes, written, droppable);
            }
            Err(error) if would_block(&error) => {
                self.make_outbox(slot);
                self.enqueue(slot, bytes, droppable);
            }
            Err(_) => self.break_off(slot),
        }
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
    fn enqueue_rest(
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
    fn make_outbox(&mut self, slot: u32) {
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

    fn enqueue(&mut self, slot: u32, bytes: Bytes, droppable: Option<Droppable>) {
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

    /// Writes as much of a session's outbox as its socket takes; true when it is empty.
    pub(super) fn flush_outbox(&mut self, slot: u32) -> bool {
        loop {
            self.announce_gaps(slot);
            let Some((place, session)) = self.slots.both(slot) else {
                return true;
            };
            let (Some(stream), Some(outbox)) = (&place.stream, &mut session.outbox) else {
                return true;
            };
            if outbox.is_empty() {
                self.outbox_is_empty(slot);
                return true;
            }
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut count = 0;
            for (slice, chunk) in slices.iter_mut().zip(outbox.chunks()) {
                *slice = IoSlice::new(chunk);
                count += 1;
            }
            match stream.try_write_vectored(&slices[..count]) {
                Ok(written) => self.with_outbox(slot, |outbox| {
                    outbox.advance(written);
                    Ok(())
                }),
                Err(error) if would_block(&error) => return false,
                Err(_) => {
                    self.break_off(slot);
                    return true;
                }
            }
        }
    }

    fn outbox_is_empty(&mut self, slot: u32) {
        let Some((place, session)) = self.slots.both(slot) else {
            return;
        };
        session.outbox = None;
        session.flush = None;
        if let Some(drained) = session.drained.take() {
            drained.notify_waiters();
        }
        if session.closing_ms.is_some() {
            // The close was the last thing in it.
            if let Some(stream) = &place.stream {
                stream.shutdown(Shutdown::Write);
            }
            return;
        }
        self.update_direct(slot);
    }

    /// Works out anew whether the fan-out may write to a session without a look at it.
    pub(super) fn update_direct(&mut self, slot: u32) {
        let Some((place, session)) = self.slots.both(slot) else {
            return;
        };
        if place.wire.is_sse() {
            // One channel's cursor is in the bytes that all share; of several, each session has its own.
            place.wire = match (place.wire.is_chunked(), session.subscriptions.len() > 1) {
                (true, false) => Wire::SseChunked,
                (true, true) => Wire::SseChunkedBare,
                (false, false) => Wire::SseRaw,
                (false, true) => Wire::SseRawBare,
            };
        }
        place.direct = place.stream.is_some()
            && session.outbox.is_none()
            && session.closing_ms.is_none()
            && !session.ended
            && !bare(place.wire);
    }

    /// Sends a session's pending frames in one call.
    pub(super) fn flush_pending(&mut self, slot: u32) {
        let place = &mut self.slots.hot[slot as usize];
        let first = place.pending_first;
        if first == NONE {
            return;
        }
        place.sent = SENT;
        let mut slices = [IoSlice::new(&[]); SLICES];
        let (mut count, mut len) = (0, 0);
        let mut list = self.pending.list(first);
        for (slice, bytes) in slices.iter_mut().zip(&mut list) {
            *slice = IoSlice::new(bytes);
            count += 1;
            len += bytes.len();
        }
        let more = list.next().is_some();
        drop(list);
        let Some(stream) = &place.stream else { return };
        let result = match count {
            1 => stream.send(&slices[0]),
            _ => stream.send_vectored(&slices[..count]),
        };
        let written = match result {
            Ok(written) => written,
            Err(error) if would_block(&error) => 0,
            Err(_) => {
                place.pending_first = NONE;
                self.break_off(slot);
                return;
            }
        };
        if written == len && !more {
            place.pending_first = NONE;
            return;
        }
        self.queue_pending(slot, first, written);
    }

    /// Moves what a session's socket did not take of its pending frames to an outbox.
    fn queue_pending(&mut self, slot: u32, first: u32, written: usize) {
        self.slots.hot[slot as usize].pending_first = NONE;
        let items = self.pending.deliveries(first);
        let items: Vec<(Wire, Delivery)> = items.map(|(wire, item)| (wire, item.clone())).collect();
        self.block(
            slot,
            written,
            items.iter().map(|(wire, item)| (*wire, item)),
        );
    }

    /// The socket is broken: its reader will see that and end the session.
    pub(super) fn break_off(&mut self, slot: u32) {
        let place = &mut self.slots.hot[slot as usize];
        place.direct = false;
        if let Some(stream) = &place.stream {
            stream.shutdown(Shutdown::Both);
        }
    }
}

/// Whether each session on the wire gets an id line of its own.
fn bare(wire: Wire) -> bool {
    matches!(wire, Wire::SseChunkedBare | Wire::SseRawBare)
}

/// Waits until a session's outbox is at most half full, so that what is read from history does not overflow it.
pub(super) async fn room(local: &Local, slot: u32, generation: u32) {
    loop {
        let drained = {
            let mut shard = local.borrow_mut();
            let max = shard.shared.limits.outbox_bytes_max / 2;
            let Some(session) = shard
                .slots
                .find(slot, generation)
                .filter(|s| s.closing_ms.is_none())
            else {
                return;
            };
            if session
                .outbox
                .as_ref()
                .is_none_or(|outbox| outbox.bytes() <= max)
            {
                return;
            }
            Rc::clone(
                session
                    .drained
                    .get_or_insert_with(|| Rc::new(Notify::new())),
            )
        };
        drained.notified().await;
    }
}
