//! The table of channels, cut into stripes with a lock each.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::DefaultHashBuilder;
use hashbrown::hash_table::{Entry, HashTable};
use switchboard_core::{ChannelName, Epoch};

use super::channel::Channel;
use super::clock::Now;
use super::marks::{MarkCount, Marks};
use super::refused;
use crate::request::EngineError;

/// Enough that a million channels leave a thousand to each: sweeping a stripe or growing its table holds the lock for
/// about 100 µs then. An empty stripe costs some 100 bytes.
pub(super) const STRIPES: usize = 1024;

/// All channels.
pub(super) struct Stripes {
    all: Box<[Mutex<Stripe>]>,
    hasher: DefaultHashBuilder,
    channels: AtomicUsize,
    channels_max: usize,
}

/// Some of the channels.
struct Stripe {
    /// The epoch in which a channel without a record stands, at offset 0.
    fresh: Epoch,
    records: HashTable<Record>,
    marks: Marks,
}

/// A channel and its name.
pub(super) struct Record {
    pub(super) name: ChannelName,
    pub(super) channel: Channel,
}

// With the table's load and the name's reference counts this keeps an empty channel within its 256 bytes.
const _: () = assert!(size_of::<Record>() <= 72);

impl Stripes {
    pub(super) fn new(fresh: Epoch, channels_max: usize) -> Self {
        let stripe = || {
            Mutex::new(Stripe {
                fresh,
                records: HashTable::new(),
                marks: Marks::default(),
            })
        };
        Self {
            all: (0..STRIPES).map(|_| stripe()).collect(),
            hasher: DefaultHashBuilder::default(),
            channels: AtomicUsize::new(0),
            channels_max,
        }
    }

    pub(super) fn channels(&self) -> usize {
        self.channels.load(Ordering::Relaxed)
    }

    /// Locks the stripe of the channel `name`.
    pub(super) fn lock<'a>(&'a self, name: &'a ChannelName) -> Locked<'a> {
        let hash = self.hasher.hash_one(name);
        // The table indexes by the low bits and tags by the top seven; these are neither.
        let stripe = self.lock_stripe((hash >> 32) as usize % STRIPES);
        Locked {
            stripes: self,
            stripe,
            name,
            hash,
        }
    }

    /// Locks the stripe `index` as a whole.
    pub(super) fn lock_at(&self, index: usize) -> LockedStripe<'_> {
        LockedStripe {
            stripes: self,
            stripe: self.lock_stripe(index),
        }
    }

    // A panic under the lock can only come from the sink, which is called last: the stripe is whole all the same.
    fn lock_stripe(&self, index: usize) -> MutexGuard<'_, Stripe> {
        self.all[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A channel's stripe, locked.
pub(super) struct Locked<'a> {
    stripes: &'a Stripes,
    stripe: MutexGuard<'a, Stripe>,
    name: &'a ChannelName,
    hash: u64,
}

impl Locked<'_> {
    /// The epoch in which the channel stands, at offset 0, when it has no record.
    pub(super) fn fresh(&self) -> Epoch {
        self.stripe.fresh
    }

    pub(super) fn record(&mut self) -> Option<&mut Record> {
        let name = self.name;
        self.stripe
            .records
            .find_mut(self.hash, |record| record.name == *name)
    }

    /// The channel's record, made if there is none.
    ///
    /// # Errors
    /// `Unavailable` when there are too many channels.
    pub(super) fn record_or_new(&mut self) -> Result<&mut Record, EngineError> {
        self.marked().map(|(record, _)| record)
    }

    /// The same, and the marks in the stripe's channels.
    ///
    /// # Errors
    /// `Unavailable` when there are too many channels.
    pub(super) fn marked(&mut self) -> Result<(&mut Record, &mut Marks), EngineError> {
        let (name, stripes) = (self.name, self.stripes);
        let stripe = &mut *self.stripe;
        let is_it = |record: &Record| record.name == *name;
        let hash_of = |record: &Record| stripes.hasher.hash_one(&record.name);
        match stripe.records.entry(self.hash, is_it, hash_of) {
            Entry::Occupied(found) => Ok((found.into_mut(), &mut stripe.marks)),
            Entry::Vacant(vacant) => {
                if stripes.channels.fetch_add(1, Ordering::Relaxed) >= stripes.channels_max {
                    stripes.channels.fetch_sub(1, Ordering::Relaxed);
                    return Err(refused("there are too many channels"));
                }
                let record = Record {
                    name: name.clone(),
                    channel: Channel::new(stripe.fresh),
                };
                Ok((vacant.insert(record).into_mut(), &mut stripe.marks))
            }
        }
    }
}

/// A whole stripe, locked.
pub(super) struct LockedStripe<'a> {
    stripes: &'a Stripes,
    stripe: MutexGuard<'a, Stripe>,
}

impl LockedStripe<'_> {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Record> {
        self.stripe.records.iter()
    }

    /// Forgets marks that have expired.
    pub(super) fn expire_marks(&mut self, now: Now, count: &MarkCount) {
        let (stripe, stripes) = (&mut *self.stripe, self.stripes);
        let (marks, records) = (&mut stripe.marks, &mut stripe.records);
        marks.expire(now, count, |name| {
            let hash = stripes.hasher.hash_one(name);
            if let Some(record) = records.find_mut(hash, |record| record.name == *name) {
                record.channel.marked = false;
            }
        });
    }

    /// Removes the channels that `keep` refuses. `next_epoch` is asked when one of them had left its epoch's start.
    pub(super) fn retain(
        &mut self,
        mut keep: impl FnMut(&mut Channel) -> bool,
        next_epoch: impl FnOnce() -> Epoch,
    ) {
        let stripe = &mut *self.stripe;
        let before = stripe.records.len();
        let mut left_start = false;
        stripe.records.retain(|record| {
            let kept = keep(&mut record.channel);
            left_start |= !kept && record.channel.has_left_start();
            kept
        });
        if left_start {
            stripe.fresh = next_epoch();
        }
        let after = stripe.records.len();
        self.stripes
            .channels
            .fetch_sub(before - after, Ordering::Relaxed);
        // Four times too large: memory goes back to the baseline after a wave of channels, without growing back at once.
        if after < before && stripe.records.capacity() > 64.max(after * 4) {
            stripe.records.shrink_to(after * 2, |record| {
                self.stripes.hasher.hash_one(&record.name)
            });
        }
    }
}
