//! Users' marks in durable channels.
//!
//! They lie beside the channels and not in them: few channels have any, and a field would cost each of them. A channel that
//! has marks is kept, for its epoch is what they are about.

use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashMap;
use switchboard_core::{ChannelName, Position, UserId};

use super::clock::Now;
use super::refused;
use crate::request::{EngineError, Mark};

/// Counts the marks of all channels against a bound.
pub(super) struct MarkCount {
    count: AtomicUsize,
    max: usize,
}

impl MarkCount {
    pub(super) fn new(max: usize) -> Self {
        Self {
            count: AtomicUsize::new(0),
            max,
        }
    }

    pub(super) fn marks(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn take(&self) -> Result<(), EngineError> {
        if self.count.fetch_add(1, Ordering::Relaxed) < self.max {
            return Ok(());
        }
        self.give_back(1);
        Err(refused("there are too many marks of durable subscriptions"))
    }

    fn give_back(&self, marks: usize) {
        self.count.fetch_sub(marks, Ordering::Relaxed);
    }
}

/// The marks in some of the channels.
#[derive(Default)]
pub(super) struct Marks(HashMap<ChannelName, HashMap<UserId, Kept>>);

struct Kept {
    position: Position,
    until: Now,
}

impl Marks {
    /// A user's mark in `channel`, made at `start` if there is none.
    pub(super) fn mark(
        &mut self,
        channel: &ChannelName,
        user: &UserId,
        start: Position,
        now: Now,
        until: Now,
        count: &MarkCount,
    ) -> Result<Mark, EngineError> {
        let of_channel = self.0.get_mut(channel);
        if let Some(kept) = of_channel.and_then(|users| users.get_mut(user)) {
            let made = now >= kept.until;
            if made {
                kept.position = start;
            }
            kept.until = until;
            let position = kept.position;
            return Ok(Mark { position, made });
        }
        count.take()?;
        let position = start;
        let users = self.0.entry(channel.clone()).or_default();
        users.insert(user.clone(), Kept { position, until });
        Ok(Mark {
            position,
            made: true,
        })
    }

    /// Moves a user's mark in `channel` on to `position`, which is of the channel's epoch; never back.
    pub(super) fn acknowledge(
        &mut self,
        channel: &ChannelName,
        user: &UserId,
        position: Position,
        now: Now,
        until: Now,
        count: &MarkCount,
    ) -> Result<(), EngineError> {
        let mark = self.mark(channel, user, position, now, until, count)?;
        let behind =
            mark.position.epoch != position.epoch || mark.position.offset < position.offset;
        let of_channel = self.0.get_mut(channel).filter(|_| behind);
        if let Some(kept) = of_channel.and_then(|users| users.get_mut(user)) {
            kept.position = position;
        }
        Ok(())
    }

    /// Forgets what has expired. `emptied` is told of channels that have no marks any more.
    pub(super) fn expire(
        &mut self,
        now: Now,
        count: &MarkCount,
        mut emptied: impl FnMut(&ChannelName),
    ) {
        if self.0.is_empty() {
            return;
        }
        self.0.retain(|channel, users| {
            let before = users.len();
            users.retain(|_, kept| now < kept.until);
            count.give_back(before - users.len());
            if users.is_empty() {
                emptied(channel);
            } else if users.len() < before && users.capacity() > 64.max(users.len() * 4) {
                users.shrink_to(users.len() * 2);
            }
            !users.is_empty()
        });
        if self.0.is_empty() {
            self.0 = HashMap::default();
        }
    }
}
