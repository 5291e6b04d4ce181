//! One channel, and what the engine does with it under its lock.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use switchboard_core::{
    ChannelName, Epoch, Member, Position, PresenceChange, PresenceEvent, Publication, SessionId,
};
use tokio::time::Instant;

use super::budget::Budget;
use super::clock::{Now, wall_ms};
use super::graces::GraceKey;
use super::history::{self, Log};
use super::idempotency::Ids;
use super::presence::{self, Joined, Left, Members};
use super::{Core, stripes::Record};
use crate::request::{
    Counts, EngineError, History, JoinRequest, Leaving, Mark, MarkOf, MemberPage, MemberQuery,
    PublishRequest, Published, Read,
};

/// A channel. What not every channel has is boxed and made when needed: most are empty most of the time.
pub(super) struct Channel {
    epoch: Epoch,
    /// The offset of the last publication.
    top: u64,
    /// The number of the last presence change; also what members are numbered by, in the order of their joining.
    sequence: u64,
    log: Option<Box<Log>>,
    ids: Option<Box<Ids>>,
    members: Option<Box<Members>>,
    /// When something was last done here, in seconds since the engine's start: 136 years fit.
    used_seconds: u32,
    /// Whether the node wants to hear of it.
    pub(super) followed: bool,
    /// Whether users have marks in it; see `marks.rs`.
    pub(super) marked: bool,
}

/// What sweeping took out of a channel, to be freed once the lock is released.
#[derive(Default)]
pub(super) struct Swept {
    logs: Vec<Log>,
    ids: Vec<Ids>,
}

impl Channel {
    pub(super) fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            top: 0,
            sequence: 0,
            log: None,
            ids: None,
            members: None,
            // Replaced by the first use; a channel that is only followed is used when that ends.
            used_seconds: u32::MAX,
            followed: false,
            marked: false,
        }
    }

    pub(super) fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            offset: self.top,
        }
    }

    /// Whether the channel stands at a position or has been there.
    fn has_had(&self, position: Position) -> bool {
        position.epoch == self.epoch && position.offset <= self.top
    }

    /// Whether anything was ever numbered here.
    pub(super) fn has_left_start(&self) -> bool {
        self.top > 0 || self.sequence > 0
    }

    pub(super) fn is_worth_listing(&self) -> bool {
        self.top > 0 || self.members.is_some()
    }

    pub(super) fn used(&mut self, now: Now) {
        self.used_seconds = (now.0 / 1000) as u32;
    }

    pub(super) fn counts(&self) -> Counts {
        self.members
            .as_ref()
            .map_or_else(Counts::default, |members| members.counts())
    }

    pub(super) fn page(&self, query: &MemberQuery) -> Result<MemberPage, EngineError> {
        presence::page(self.members.as_deref(), self.epoch, self.sequence, query)
    }

    pub(super) fn read(&mut self, read: Read, now: Now, budget: &Budget) -> History {
        self.used(now);
        let top = self.position();
        match &mut self.log {
            Some(log) => {
                log.expire(now, usize::MAX, budget);
                log.read(top, read)
            }
            None => history::read_empty(top, read),
        }
    }

    /// Takes the history out, for the caller to free.
    pub(super) fn remove_history(&mut self, budget: &Budget) -> Option<Box<Log>> {
        self.log.take().inspect(|log| log.release(budget))
    }

    /// Drops what has expired, a bounded amount of it. Tells whether the channel is still worth keeping.
    pub(super) fn sweep(
        &mut self,
        now: Now,
        idle_ttl: Duration,
        budget: &Budget,
        swept: &mut Swept,
    ) -> bool {
        /// Frees about 100 µs of publications; the rest waits for the next round.
        const EXPIRED_MAX: usize = 1024;
        if let Some(log) = &mut self.log {
            if log.has_expired(now) {
                swept
                    .logs
                    .extend(self.remove_history(budget).map(|log| *log));
            } else {
                log.expire(now, EXPIRED_MAX, budget);
            }
        }
        if let Some(ids) = &mut self.ids {
            if ids.have_expired(now) {
                swept.ids.extend(self.ids.take().map(|ids| *ids));
            } else {
                ids.expire(now, EXPIRED_MAX);
            }
        }
        if self.used_seconds == u32::MAX {
            self.used(now);
        }
        self.followed
            || self.marked
            || self.log.is_some()
            || self.ids.is_some()
            || self.members.is_some()
            || now < Now(u64::from(self.used_seconds) * 1000).plus(idle_ttl)
    }

    /// Numbers a presence change.
    fn change(
        &mut self,
        name: &ChannelName,
        change: PresenceChange,
        member: &Arc<Member>,
    ) -> Option<Arc<PresenceEvent>> {
        self.sequence += 1;
        self.followed.then(|| {
            Arc::new(PresenceEvent {
                channel: name.clone(),
                epoch: self.epoch,
                sequence: self.sequence,
                change,
                member: Arc::clone(member),
            })
        })
    }
}

impl Core {
    /// Numbers, keeps and delivers a publication.
    pub(super) fn publish(&self, request: PublishRequest) -> Result<Published, EngineError> {
        let now = self.clock.now();
        let time_ms = wall_ms();
        let name = request.channel;
        let mut locked = self.stripes.lock(&name);
        let Record { name, channel } = locked.record_or_new()?;
        channel.used(now);
        // Before the compare: the retry of a publish that was accepted finds the channel moved, by itself.
        let first = channel.ids.as_ref().zip(request.id.as_deref());
        if let Some(offset) = first.and_then(|(ids, id)| ids.find(id, now)) {
            let position = Position {
                epoch: channel.epoch,
                offset,
            };
            return Ok(Published {
                position,
                duplicate: true,
            });
        }
        let current = channel.position();
        if request
            .expected_position
            .is_some_and(|expected| expected != current)
        {
            return Err(EngineError::PositionMismatch { current });
        }
        if !request.skip_history {
            channel.top += 1;
        }
        let position = channel.position();
        if let Some(id) = &request.id
            && !request.idempotency_window.is_zero()
        {
            let ids = channel.ids.get_or_insert_default();
            let until = now.plus(request.idempotency_window);
            let forgotten = ids.insert(
                id,
                position.offset,
                now,
                until,
                self.config.ids_per_channel_max,
            );
            self.ids_forgotten.fetch_add(forgotten, Ordering::Relaxed);
        }
        let keeps = request.retention.keeps_any() && !request.skip_history;
        if !keeps && !channel.followed {
            return Ok(Published {
                position,
                duplicate: false,
            });
        }
        let publication = Arc::new(Publication {
            // The record's own name, so that a channel's whole history shares one.
            channel: name.clone(),
            epoch: position.epoch,
            offset: if request.skip_history {
                0
            } else {
                position.offset
            },
            payload: request.payload,
            id: request.id,
            from: request.from,
            time_ms,
            tags: request.tags,
            exclude: request.exclude,
        });
        if keeps {
            let log = channel.log.get_or_insert_default();
            log.append(
                Arc::clone(&publication),
                now,
                request.retention,
                &self.budget,
            );
        }
        if channel.followed {
            self.sink.publication(&publication);
        }
        Ok(Published {
            position,
            duplicate: false,
        })
    }

    /// A user's mark, made if there is none.
    pub(super) fn mark(&self, of: &MarkOf, start: Option<Position>) -> Result<Mark, EngineError> {
        let now = self.clock.now();
        let mut locked = self.stripes.lock(&of.channel);
        let (Record { name, channel }, marks) = locked.marked()?;
        channel.used(now);
        let top = channel.position();
        let beyond = |start: &Position| start.epoch == top.epoch && start.offset > top.offset;
        let start = start.filter(|start| !beyond(start)).unwrap_or(top);
        let mark = marks.mark(name, &of.user, start, now, now.plus(of.ttl), &self.marks)?;
        channel.marked = true;
        Ok(mark)
    }

    /// Moves a user's mark on.
    pub(super) fn acknowledge(&self, of: &MarkOf, position: Position) -> Result<(), EngineError> {
        let now = self.clock.now();
        let mut locked = self.stripes.lock(&of.channel);
        let (Record { name, channel }, marks) = locked.marked()?;
        if !channel.has_had(position) {
            return Ok(());
        }
        channel.used(now);
        let until = now.plus(of.ttl);
        marks.acknowledge(name, &of.user, position, now, until, &self.marks)?;
        channel.marked = true;
        Ok(())
    }

    /// Makes a session a member.
    pub(super) fn join(&self, request: &JoinRequest) -> Result<(), EngineError> {
        let now = self.clock.now();
        let mut locked = self.stripes.lock(&request.channel);
        let Record { name, channel } = locked.record_or_new()?;
        channel.used(now);
        let members = channel.members.get_or_insert_default();
        match members.join(request, channel.sequence + 1, wall_ms()) {
            Joined::Unseen { grace } => {
                if let Some(grace) = grace {
                    self.graces.remove(grace);
                }
            }
            Joined::Announced(member) => {
                if let Some(event) = channel.change(name, PresenceChange::Join, &member) {
                    self.sink.presence(&event);
                }
            }
            Joined::Full => return Err(EngineError::Full),
        }
        Ok(())
    }

    /// Ends a membership, or starts its grace.
    pub(super) fn leave(&self, name: &ChannelName, session: SessionId, leaving: Leaving) {
        let now = self.clock.now();
        let mut locked = self.stripes.lock(name);
        let Some(record) = locked.record() else {
            return;
        };
        let Some(members) = &mut record.channel.members else {
            return;
        };
        match leaving {
            Leaving::After(grace) if !grace.is_zero() => {
                let deadline = Instant::now() + grace.min(GRACE_MAX);
                let key = self.graces.key(deadline);
                if let Some(number) = members.start_grace(session, key) {
                    self.graces.insert(key, record.name.clone(), number);
                }
            }
            Leaving::Now | Leaving::After(_) => {
                let left = members.leave(session);
                self.gone(record, left, now);
            }
        }
    }

    /// Ends a membership whose grace is out, unless it was taken up again in the meantime.
    pub(super) fn grace_is_out(&self, key: GraceKey, name: &ChannelName, number: u64) {
        let now = self.clock.now();
        let mut locked = self.stripes.lock(name);
        let Some(record) = locked.record() else {
            return;
        };
        let Some(members) = &mut record.channel.members else {
            return;
        };
        let left = members.grace_is_out(number, key);
        self.gone(record, left, now);
    }

    fn gone(&self, Record { name, channel }: &mut Record, left: Option<Left>, now: Now) {
        let Some(Left {
            member,
            grace,
            is_last,
        }) = left
        else {
            return;
        };
        channel.used(now);
        if let Some(grace) = grace {
            self.graces.remove(grace);
        }
        if is_last {
            channel.members = None;
        }
        if let Some(event) = channel.change(name, PresenceChange::Leave, &member) {
            self.sink.presence(&event);
        }
    }
}

/// Longer graces make no sense, and adding them to now must not overflow: a year.
const GRACE_MAX: Duration = Duration::from_hours(365 * 24);
