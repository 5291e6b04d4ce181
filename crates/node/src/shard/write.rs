//! Writing to one session: at once if its socket takes it, into its outbox otherwise.

use std::io::IoSlice;
use std::net::Shutdown;
use std::rc::Rc;

use bytes::Bytes;
use switchboard_core::Frame;
use switchboard_core::outbox::Droppable;
use switchboard_protocol::wire::{self, Wire};
use tokio::sync::Notify;

use crate::shard::fan_out::would_block;
use crate::shard::mail::Delivery;
use crate::shard::slots::{NONE, SENT};
use crate::shard::{Local, Shard};

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
        self.flush_pending(slot);
        let queues = self.slots.get(slot).is_some_and(|s| s.outbox.is_some());
        if queues && !bare(self.slots.hot[slot as usize].wire) {
            self.queue(slot, items);
            return;
        }
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
            match frame {
                Frame::Message(publication) if bare(wire) && publication.offset > 0 => {
                    self.push_identified(slot, &publication.channel, publication.position(), item);
                }
                Frame::Gap {
                    channel, position, ..
                } if bare(wire) => self.push_identified(slot, channel, *position, item),
                _ => {
                    let droppable = self.droppable(item);
                    self.push(slot, item.broadcast.bytes(wire).clone(), droppable);
                }
            }
        }
    }

    /// Writes bytes to a session or queues them.
    pub(super) fn push(&mut self, slot: u32, bytes: Bytes, droppable: Option<Droppable>) {
        if let Some(written) = self.send_now(slot, &bytes, &[]) {
            self.keep(slot, bytes, written, droppable);
        }
    }

    /// Sends two pieces in one call, if nothing else is waiting. Says how much the socket took where the rest is to be kept;
    /// nothing where all went out, or nothing can.
    pub(super) fn send_now(&mut self, slot: u32, first: &[u8], second: &[u8]) -> Option<usize> {
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
                return None;
            }
        }
        let (place, session) = self.slots.both(slot)?;
        place.sent.set(SENT);
        if session.outbox.is_some() {
            return Some(0);
        }
        let stream = place.stream.as_ref()?;
        let result = match second {
            [] => stream.send(first),
            second => stream.send_vectored(&[IoSlice::new(first), IoSlice::new(second)]),
        };
        match result {
            Ok(written) if written == first.len() + second.len() => None,
            Ok(written) => Some(written),
            Err(error) if would_block(&error) => Some(0),
            Err(_) => {
                self.break_off(slot);
                None
            }
        }
    }

    /// Queues what [`send_now`](Self::send_now) has left of a frame.
    pub(super) fn keep(
        &mut self,
        slot: u32,
        bytes: Bytes,
        written: usize,
        droppable: Option<Droppable>,
    ) {
        self.make_outbox(slot);
        match written {
            0 => self.enqueue(slot, bytes, droppable),
            written => self.enqueue_rest(slot, bytes, written, droppable),
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
        place.sent.set(SENT);
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
