//! From a batch of deliveries to sends: the path whose cost is the hub's.
//!
//! A batch with one channel is joined to one buffer a wire and sent straight to each live subscriber. A batch with several channels
//! is first dealt out to the sessions concerned and then flushed with one vectored send each. Whatever is large is worked
//! off in slices, so that nobody waits for it. Nothing here allocates per delivery.

use std::cell::OnceCell;
use std::io;
use std::time::Instant;

use bytes::Bytes;
use switchboard_core::{Frame, Position};
use switchboard_protocol::wire::Wire;

use crate::shard::channels::{Item, Refill, Run, position};
use crate::shard::mail::Delivery;
use crate::shard::ring::{self, Ring};
use crate::shard::session::State;
use crate::shard::slots::{NONE, SENT, Slot};
use crate::shard::stream::Stream;
use crate::shard::{Shard, refill};

/// Deliveries of one channel on their way to its live subscribers.
pub(super) struct Job {
    channel: u32,
    items: Vec<Delivery>,
    frames: Frames,
    /// Slots that some of the items exclude: they are seen to one by one.
    excluded: Vec<u32>,
}

impl Job {
    /// Where a delivery goes straight to, and what of it; `None` for a session that needs a look.
    // Once a delivery, as `note` is: the call must not be one.
    #[inline]
    pub(super) fn straight<'a>(
        &'a self,
        slot: u32,
        place: &'a Slot,
    ) -> Option<(&'a Stream, &'a Bytes)> {
        let excluded = !self.excluded.is_empty() && self.excluded.contains(&slot);
        if !place.direct || place.pending_first != NONE || excluded {
            return None;
        }
        place.sent.set(SENT);
        Some((
            place.stream.as_ref()?,
            self.frames.bytes(place.wire, &self.items),
        ))
    }
}

/// The joined bytes of a job's items, a buffer a wire, made when the first subscriber on the wire needs it.
#[derive(Default)]
pub(super) struct Frames([OnceCell<Bytes>; Wire::COUNT]);

impl Frames {
    // Once a delivery: the call must not be one.
    #[inline]
    fn bytes(&self, wire: Wire, items: &[Delivery]) -> &Bytes {
        self.0[wire.index()].get_or_init(|| join(wire, items))
    }
}

#[cold]
fn join(wire: Wire, items: &[Delivery]) -> Bytes {
    if let [one] = items {
        return one.broadcast.bytes(wire).clone();
    }
    let frames = || items.iter().map(|item| item.broadcast.bytes(wire));
    let mut joined = Vec::with_capacity(frames().map(Bytes::len).sum());
    frames().for_each(|frame| joined.extend_from_slice(frame));
    joined.into()
}

/// A session that the straight path could not serve.
pub(super) enum Trouble {
    /// It needs a look: nothing was written.
    Look,
    /// So many bytes were written before it would have blocked.
    Blocked(usize),
    /// The socket is broken.
    Broken,
}

/// Notes what a send to a session did, unless its socket took everything.
#[inline]
pub(super) fn note(
    slot: u32,
    sent: io::Result<usize>,
    len: usize,
    trouble: &mut Vec<(u32, Trouble)>,
) {
    match sent {
        Ok(written) if written == len => {}
        Ok(written) => trouble.push((slot, Trouble::Blocked(written))),
        Err(error) if would_block(&error) => trouble.push((slot, Trouble::Blocked(0))),
        Err(_) => trouble.push((slot, Trouble::Broken)),
    }
}

/// What the fan-out keeps between calls, so that it need not allocate.
#[derive(Default)]
pub(super) struct Work {
    /// The batch, sorted by channel.
    groups: Vec<Vec<Delivery>>,
    touched: Vec<u32>,
    /// Large jobs, a slice each in turn.
    jobs: std::collections::VecDeque<Job>,
    trouble: Vec<(u32, Trouble)>,
    /// Sends in batches, where that is asked for and possible.
    ring: Option<Ring>,
    /// Deliveries in the channels' queues.
    queued: usize,
}

impl Work {
    /// Nothing to do, and what to send batches with.
    pub(super) fn new(ring: Option<Ring>) -> Self {
        Self {
            ring,
            ..Self::default()
        }
    }
}

impl Shard {
    /// Takes a batch of deliveries. Small fan-outs are done when it returns.
    pub(super) fn deliver(&mut self, batch: &mut Vec<Delivery>) {
        for delivery in batch.drain(..) {
            let Some(at) =
                channel_name(delivery.broadcast.frame()).and_then(|name| self.channels.find(name))
            else {
                continue;
            };
            let channel = &mut self.channels[at];
            if channel.group == NONE {
                channel.group = self.work.touched.len() as u32;
                self.work.touched.push(at);
                if self.work.groups.len() < self.work.touched.len() {
                    self.work.groups.push(Vec::new());
                }
            }
            self.work.groups[channel.group as usize].push(delivery);
        }
        let touched = std::mem::take(&mut self.work.touched);
        let alone = touched.len() == 1;
        for (group, &at) in touched.iter().enumerate() {
            self.channels[at].group = NONE;
            let mut items = std::mem::take(&mut self.work.groups[group]);
            let before = self.channels[at].position;
            let end = self.accept(at, &mut items);
            if items.is_empty() || end == 0 {
                items.clear();
                self.work.groups[group] = items;
            } else if alone || self.channels[at].run.is_some() {
                self.start(at, items, end, before);
            } else {
                self.deal_out(at, &mut items, end);
                self.work.groups[group] = items;
            }
        }
        self.work.touched = touched;
        self.work.touched.clear();
        if self.pending.dirty.len() <= self.shared.limits.fan_out_slice_max {
            self.flush_dirty(usize::MAX);
        }
    }

    /// Works off one slice of what is large; true while there is more.
    pub(super) fn work(&mut self) -> bool {
        let slice = self.shared.limits.fan_out_slice_max;
        self.flush_dirty(slice);
        if let Some(job) = self.work.jobs.pop_front() {
            self.slice(job, slice as u32);
        }
        self.has_work()
    }

    /// Whether something large is being worked off.
    pub(super) fn has_work(&self) -> bool {
        !self.work.jobs.is_empty() || !self.pending.dirty.is_empty()
    }

    /// Whether so much is being worked off that mail has to wait.
    pub(super) fn is_full(&self) -> bool {
        self.work.queued + self.pending.items.len() >= self.shared.limits.mailbox_len_max
            || self.pending.is_full()
    }

    /// Decides what of a channel's deliveries goes out now, moves the channel's position, and serves the subscriptions that
    /// are not live. Leaves in `items` what goes to the live ones, and gives their number.
    fn accept(&mut self, at: u32, items: &mut Vec<Delivery>) -> u32 {
        let channel = &mut self.channels[at];
        if channel.run.is_some() {
            self.work.queued += items.len();
            channel.queue.extend(items.drain(..));
            return 0;
        }
        if let Some(refill) = &mut channel.refill {
            items.retain(|item| {
                let placed = position(item).is_some();
                if placed {
                    refill.catch_up.park(Item(item.clone()));
                }
                !placed
            });
        }
        let mut kept = 0;
        for index in 0..items.len() {
            let place = position(&items[index]);
            if let (Some(place), Some(stands)) = (place, channel.position) {
                if place.epoch == stands.epoch && place.offset <= stands.offset {
                    continue;
                }
                let follows = place.epoch == stands.epoch && place.offset == stands.offset + 1;
                if !follows && channel.refill.is_none() {
                    let parked_max = self.shared.limits.sync_parked_max;
                    channel.refill = Some(Box::new(Refill::after(stands, parked_max)));
                    refill::start(&self.me, channel.name.clone());
                }
                if let Some(refill) = &mut channel.refill {
                    // Behind a hole. What has no place is not waited for.
                    refill.catch_up.park(Item(items[index].clone()));
                    continue;
                }
            }
            match items[index].broadcast.frame() {
                Frame::Gap { position, .. } => channel.position = Some(*position),
                _ => channel.position = place.or(channel.position),
            }
            items.swap(kept, index);
            kept += 1;
        }
        items.truncate(kept);
        let end = channel.live.len() as u32;
        if !channel.waiting.is_empty() && !items.is_empty() {
            self.serve_waiting(at, items);
        }
        end
    }

    /// Parks deliveries for subscriptions that sync, and hands them to those that are ahead.
    fn serve_waiting(&mut self, at: u32, items: &[Delivery]) {
        let stands = self.channels[at].position;
        for slot in self.channels[at].waiting.clone() {
            let Some(session) = self.slots.get_mut(slot) else {
                continue;
            };
            let Some(subscription) = session.subscription(at) else {
                continue;
            };
            match &mut subscription.state {
                State::Syncing(syncing) => {
                    let placed = items.iter().filter(|item| position(item).is_some());
                    placed.for_each(|item| syncing.catch_up.park(Item(item.clone())));
                    // What has no place is in no history: who has been told of the subscription gets it now.
                    if syncing.told && items.iter().any(is_unplaced) {
                        let now: Vec<_> =
                            items.iter().filter(|i| is_unplaced(i)).cloned().collect();
                        self.owe(slot, &now);
                    }
                }
                State::Ahead(offset) => {
                    let ahead = *offset;
                    let fresh = |item: &&Delivery| position(item).is_none_or(|p| p.offset > ahead);
                    let fresh: Vec<_> = items.iter().filter(fresh).cloned().collect();
                    if let Some(last) = fresh.iter().filter_map(position).next_back() {
                        *offset = last.offset;
                    }
                    self.owe(slot, &fresh);
                    self.promote(slot, at, stands);
                }
                State::Live => {}
            }
        }
    }

    /// Begins the fan-out of a channel's deliveries; a small one is done at once.
    pub(super) fn start(
        &mut self,
        at: u32,
        items: Vec<Delivery>,
        end: u32,
        before: Option<Position>,
    ) {
        let excluded = self.excluded(&items);
        let job = Job {
            channel: at,
            items,
            frames: Frames::default(),
            excluded,
        };
        self.channels[at].run = Some(Run {
            next: 0,
            end,
            before,
        });
        let slice = self.shared.limits.fan_out_slice_max as u32;
        if end <= slice {
            self.slice(job, slice);
        } else {
            self.work.jobs.push_back(job);
        }
    }

    /// The slots of this shard that some of the items exclude.
    fn excluded(&self, items: &[Delivery]) -> Vec<u32> {
        let excludes = items
            .iter()
            .filter_map(|item| match item.broadcast.frame() {
                Frame::Message(publication) => publication.exclude,
                _ => None,
            });
        excludes
            .filter(|session| session.node == self.shared.id && session.shard == self.index)
            .map(|s| s.slot)
            .collect()
    }

    fn slice(&mut self, job: Job, sends_max: u32) {
        let Some(run) = self.channels[job.channel].run else {
            return;
        };
        let stop = run.end.min(run.next.saturating_add(sends_max));
        let live = &self.channels[job.channel].live[run.next as usize..stop as usize];
        let (hot, trouble) = (&self.slots.hot, &mut self.work.trouble);
        match &mut self.work.ring {
            Some(ring) if live.len() >= ring::SENDS_MIN => {
                if !ring.send(live, hot, &job, trouble) {
                    self.work.ring = None;
                }
            }
            _ => {
                for &slot in live {
                    match job.straight(slot, &hot[slot as usize]) {
                        Some((stream, bytes)) => {
                            note(slot, stream.send(bytes), bytes.len(), trouble);
                        }
                        None => trouble.push((slot, Trouble::Look)),
                    }
                }
            }
        }
        // The marks move first: seeing to trouble may end sessions, which moves them on.
        if let Some(run) = &mut self.channels[job.channel].run {
            run.next = stop;
        }
        self.shared
            .metrics
            .deliveries
            .inc_by(u64::from(stop - run.next) * job.items.len() as u64);
        self.see_to_trouble(&job.items);
        match self.channels[job.channel].run {
            Some(run) if run.next < run.end => self.work.jobs.push_back(job),
            _ => self.finish(job),
        }
    }

    fn finish(&mut self, mut job: Job) {
        self.observe(&job.items);
        let channel = &mut self.channels[job.channel];
        channel.run = None;
        job.items.clear();
        self.work.queued -= channel.queue.len();
        job.items.extend(channel.queue.drain(..));
        channel.queue.shrink_to(64);
        if job.items.is_empty() {
            if self.work.groups.len() < 64 {
                self.work.groups.push(job.items);
            }
            return;
        }
        let before = channel.position;
        let end = self.accept(job.channel, &mut job.items);
        if end > 0 && !job.items.is_empty() {
            self.start(job.channel, job.items, end, before);
        }
    }

    fn see_to_trouble(&mut self, items: &[Delivery]) {
        let mut trouble = std::mem::take(&mut self.work.trouble);
        for (slot, what) in trouble.drain(..) {
            match what {
                Trouble::Look => self.owe(slot, items),
                Trouble::Blocked(written) => {
                    let wire = self.slots.hot[slot as usize].wire;
                    self.block(slot, written, items.iter().map(|item| (wire, item)));
                }
                Trouble::Broken => self.break_off(slot),
            }
        }
        self.work.trouble = trouble;
    }

    /// Deals a channel's deliveries out to its subscribers' pending lists.
    fn deal_out(&mut self, at: u32, items: &mut Vec<Delivery>, end: u32) {
        let first = self.pending.items.len();
        let range = first..first + items.len();
        let excluded = self.excluded(items);
        // A small channel does not wait for the flushes that a large one has brought.
        let is_small = end as usize <= self.shared.limits.fan_out_slice_max;
        let frames = Frames::default();
        let mut indices = [NONE; Wire::COUNT];
        let hot = &mut self.slots.hot;
        for &slot in &self.channels[at].live[..end as usize] {
            let place = &mut hot[slot as usize];
            if !place.direct || (!excluded.is_empty() && excluded.contains(&slot)) {
                self.work.trouble.push((slot, Trouble::Look));
                continue;
            }
            let index = &mut indices[place.wire.index()];
            if *index == NONE {
                let bytes = frames.bytes(place.wire, items).clone();
                *index = self.pending.add(bytes, place.wire, range.clone());
            }
            self.pending.append(slot, place, *index, is_small);
        }
        self.shared
            .metrics
            .deliveries
            .inc_by(u64::from(end) * items.len() as u64);
        self.see_to_trouble(items);
        self.pending.items.append(items);
    }

    /// Flushes sessions that have pending frames, at most so many.
    fn flush_dirty(&mut self, sends_max: usize) {
        for _ in 0..sends_max {
            let Some(slot) = self.pending.dirty.pop_front() else {
                break;
            };
            self.flush_pending(slot);
        }
        if self.pending.dirty.is_empty() && !self.pending.items.is_empty() {
            self.observe(&self.pending.items);
            self.pending.clear();
        }
    }

    fn observe(&self, items: &[Delivery]) {
        let now = Instant::now();
        for item in items {
            self.shared
                .metrics
                .publish_to_write
                .observe((now - item.accepted).as_secs_f64());
        }
    }
}

/// Whether a delivery has no place in its channel, and is no gap: those are of the channel, which a subscription that
/// syncs is not with yet.
fn is_unplaced(item: &Delivery) -> bool {
    position(item).is_none() && !matches!(item.broadcast.frame(), Frame::Gap { .. })
}

fn channel_name(frame: &Frame) -> Option<&switchboard_core::ChannelName> {
    match frame {
        Frame::Message(publication) => Some(&publication.channel),
        Frame::Join(channel, _) | Frame::Leave(channel, _) | Frame::Gap { channel, .. } => {
            Some(channel)
        }
        _ => None,
    }
}

pub(super) fn would_block(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
