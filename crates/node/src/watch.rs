//! Service streams: a service as a subscriber of a channel, or as a watcher of its members.
//!
//! Both follow the same rule: enter the table first, read the engine second, join the two by number. When a stream
//! falls behind, its queue is let go and it catches up from the engine, so a slow service costs nobody anything.

use std::collections::VecDeque;
use std::sync::Arc;

use switchboard_core::sync::{CatchUp, Found, Placed, Query};
use switchboard_core::{
    ChannelName, ClientError, Epoch, GapReason, Member, Position, PresenceEvent, Publication, Start,
};
use switchboard_engine::{MemberQuery, Read, ReadFrom};
use tokio::sync::mpsc;

use crate::dispatch::{Follower, WatchEvent, Watcher};
use crate::node::Node;
use crate::shared::{Shared, engine_error};

/// What a service hears of a channel.
#[derive(Clone, Debug)]
pub enum ChannelUpdate {
    /// The subscription starts: publications after `position` follow.
    Subscribed {
        /// Where it starts.
        position: Position,
        /// It was recovering, and all that was missed follows.
        recovered: bool,
    },
    /// A publication.
    Message(Arc<Publication>),
    /// What lay before `position` may have been missed.
    Gap {
        /// Where the channel goes on.
        position: Position,
        /// Why.
        reason: GapReason,
    },
}

/// What a service hears of a channel's members.
#[derive(Clone, Debug)]
pub enum PresenceUpdate {
    /// A page of the snapshot that a watch starts with, and again whenever changes may have been missed.
    Snapshot {
        /// The members of this page.
        members: Vec<Arc<Member>>,
        /// Whether this is the last page: changes after `sequence` follow.
        complete: bool,
        /// The life of the channel's presence.
        epoch: Epoch,
        /// The number of the last change in the snapshot.
        sequence: u64,
    },
    /// A join or a leave.
    Change(Arc<PresenceEvent>),
}

/// An entry in the dispatch table that is taken out when dropped.
struct Following {
    shared: Arc<Shared>,
    channel: ChannelName,
    watcher: Arc<Watcher>,
    events: mpsc::Receiver<WatchEvent>,
}

impl Following {
    async fn start(shared: &Arc<Shared>, channel: ChannelName) -> Result<Self, ClientError> {
        let (sender, events) = mpsc::channel(shared.limits.watch_queue_max);
        // Made first: should nobody wait any more for the engine, dropping it takes the entry out.
        let following = Self {
            shared: Arc::clone(shared),
            channel,
            watcher: Arc::new(Watcher::new(sender)),
            events,
        };
        let follower = Follower::Watcher(Arc::clone(&following.watcher));
        shared
            .dispatch
            .follow(&*shared.engine, &following.channel, follower)
            .await
            .map_err(engine_error)?;
        Ok(following)
    }

    /// The next event; nothing when events were lost and the stream has to catch up.
    async fn next(&mut self) -> Option<WatchEvent> {
        while !self.watcher.is_behind() {
            tokio::select! {
                biased;
                () = self.watcher.fell_behind() => {}
                event = self.events.recv() => {
                    return Some(event.expect("the watcher holds a sender"));
                }
            }
        }
        None
    }

    /// Lets go of what is queued, so that the engine can be read anew.
    fn reset(&mut self) {
        self.watcher.begin_anew();
        while self.events.try_recv().is_ok() {}
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let (shared, channel) = (Arc::clone(&self.shared), self.channel.clone());
        let follower = Follower::Watcher(Arc::clone(&self.watcher));
        // Outside a runtime (its shutdown) there is nobody left to deliver to either.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                shared
                    .dispatch
                    .unfollow(&*shared.engine, &channel, follower, || false)
                    .await;
            });
        }
    }
}

/// A service's subscription.
pub struct ChannelWatch {
    following: Following,
    ready: VecDeque<ChannelUpdate>,
    /// Set while catching up.
    catch_up: Option<CatchUp<Placeable>>,
    at: Option<Position>,
}

#[derive(Clone, Debug)]
struct Placeable(Arc<Publication>);

impl Placed for Placeable {
    fn position(&self) -> Position {
        self.0.position()
    }
}

impl ChannelWatch {
    /// The next update.
    ///
    /// # Errors
    /// `unavailable` when the engine cannot be read; the stream may be asked again.
    ///
    /// # Cancel safety
    /// Cancel safe: an update is taken out only when it is returned.
    pub async fn next(&mut self) -> Result<ChannelUpdate, ClientError> {
        loop {
            if let Some(update) = self.ready.pop_front() {
                return Ok(update);
            }
            if self.catch_up.is_some() {
                self.read_on().await?;
                continue;
            }
            match self.following.next().await {
                Some(WatchEvent::Publication(publication)) => self.take(publication),
                Some(WatchEvent::Presence(_)) => {}
                None => self.fall_back(),
            }
        }
    }

    fn take(&mut self, publication: Arc<Publication>) {
        let Some(at) = self.at else { return };
        let place = publication.position();
        if place.offset == 0 {
            self.ready.push_back(ChannelUpdate::Message(publication));
        } else if place.epoch == at.epoch && place.offset <= at.offset {
            // Read from history already.
        } else if place.epoch == at.epoch && place.offset == at.offset + 1 {
            self.at = Some(place);
            self.ready.push_back(ChannelUpdate::Message(publication));
        } else {
            self.fall_back();
        }
    }

    fn fall_back(&mut self) {
        self.following.reset();
        if let Some(at) = self.at {
            self.catch_up = Some(CatchUp::refill(at, 0));
        }
    }

    async fn read_on(&mut self) -> Result<(), ClientError> {
        let Some(catch_up) = &self.catch_up else {
            return Ok(());
        };
        let shared = &self.following.shared;
        let found = read(shared, &self.following.channel, catch_up.query()).await?;
        let Some(catch_up) = &mut self.catch_up else {
            return Ok(());
        };
        let found = Found {
            publications: found.publications.into_iter().map(Placeable).collect(),
            top: found.top,
            complete: found.complete,
        };
        let step = catch_up.read(found);
        if let Some(opening) = step.opening.filter(|_| self.at.is_none()) {
            let (position, recovered) = (opening.position, opening.recovered);
            self.ready.push_back(ChannelUpdate::Subscribed {
                position,
                recovered,
            });
        }
        if let Some((position, reason)) = step.gap {
            self.following.shared.metrics.gap(reason.as_str());
            self.ready
                .push_back(ChannelUpdate::Gap { position, reason });
        }
        self.ready.extend(
            step.deliver
                .into_iter()
                .map(|Placeable(p)| ChannelUpdate::Message(p)),
        );
        if let Some(position) = step.done {
            self.at = Some(position);
            self.catch_up = None;
        }
        Ok(())
    }
}

/// Reads what a catch-up asks for.
pub(crate) async fn read(
    shared: &Shared,
    channel: &ChannelName,
    query: Query,
) -> Result<switchboard_engine::History, ClientError> {
    let page = shared.limits.history_page_max as usize;
    let (from, limit) = match query {
        Query::Top => (ReadFrom::Newest, 0),
        Query::Newest(count) => (ReadFrom::Newest, page.min(count as usize)),
        Query::After(position) => (ReadFrom::After(position), page),
    };
    shared
        .engine
        .read(channel, Read { from, limit })
        .await
        .map_err(engine_error)
}

/// How far the reading of a snapshot is.
#[derive(Clone, Debug)]
enum Reading {
    /// There is nothing to read: changes follow.
    Done,
    /// The page after this one is next; the first after nothing.
    Page(Option<Box<str>>),
}

/// A service's watch over a channel's members.
pub struct PresenceWatch {
    following: Following,
    ready: VecDeque<PresenceUpdate>,
    /// The snapshot is being read, from this page on.
    page: Reading,
    at: Option<(Epoch, u64)>,
}

impl PresenceWatch {
    /// The next update.
    ///
    /// # Errors
    /// `unavailable` when the engine cannot be read; the stream may be asked again.
    ///
    /// # Cancel safety
    /// Cancel safe: an update is taken out only when it is returned.
    pub async fn next(&mut self) -> Result<PresenceUpdate, ClientError> {
        loop {
            if let Some(update) = self.ready.pop_front() {
                return Ok(update);
            }
            if matches!(self.page, Reading::Page(_)) {
                self.read_on().await?;
                continue;
            }
            match self.following.next().await {
                Some(WatchEvent::Presence(event)) => self.take(event),
                Some(WatchEvent::Publication(_)) => {}
                None => self.start_over(),
            }
        }
    }

    fn take(&mut self, event: Arc<PresenceEvent>) {
        let Some((epoch, sequence)) = self.at else {
            return;
        };
        if event.epoch == epoch && event.sequence <= sequence {
            return;
        }
        if event.epoch == epoch && event.sequence == sequence + 1 {
            self.at = Some((epoch, event.sequence));
            self.ready.push_back(PresenceUpdate::Change(event));
        } else {
            self.start_over();
        }
    }

    fn start_over(&mut self) {
        self.following.reset();
        self.page = Reading::Page(None);
        self.at = None;
    }

    /// Reads one page. The changes after the first page's number are queued meanwhile; a member that such a change
    /// brings or takes may be in a later page already or no longer, which replaying the change sets right.
    async fn read_on(&mut self) -> Result<(), ClientError> {
        let Reading::Page(after) = self.page.clone() else {
            return Ok(());
        };
        let shared = &self.following.shared;
        let query = MemberQuery {
            after,
            limit: shared.limits.presence_page_max as usize,
        };
        let page = shared
            .engine
            .members(&self.following.channel, query)
            .await
            .map_err(engine_error)?;
        let (epoch, sequence) = *self.at.get_or_insert((page.epoch, page.sequence));
        if page.epoch != epoch {
            self.start_over();
            return Ok(());
        }
        let complete = page.next.is_none();
        self.page = page
            .next
            .map_or(Reading::Done, |next| Reading::Page(Some(next)));
        self.ready.push_back(PresenceUpdate::Snapshot {
            members: page.members,
            complete,
            epoch,
            sequence,
        });
        Ok(())
    }
}

impl Node {
    /// Subscribes a service to a channel.
    ///
    /// # Errors
    /// `unknown_namespace`, `unavailable`.
    pub async fn watch_channel(
        &self,
        channel: ChannelName,
        start: Start,
    ) -> Result<ChannelWatch, ClientError> {
        self.shared().policy(&channel)?;
        let following = Following::start(self.shared(), channel).await?;
        // Nothing is parked here: the stream's own queue holds what comes meanwhile.
        let catch_up = Some(CatchUp::new(start, 0));
        Ok(ChannelWatch {
            following,
            ready: VecDeque::new(),
            catch_up,
            at: None,
        })
    }

    /// Watches a channel's members: a snapshot, then numbered changes without a hole between; from `resume` on without a
    /// snapshot when nothing has changed since.
    ///
    /// # Errors
    /// `unknown_namespace`, `not_found` (no presence in the namespace), `unavailable`.
    pub async fn watch_presence(
        &self,
        channel: ChannelName,
        resume: Option<(Epoch, u64)>,
    ) -> Result<PresenceWatch, ClientError> {
        let shared = self.shared();
        shared.tracks_presence(&channel)?;
        let following = Following::start(shared, channel.clone()).await?;
        let query = MemberQuery {
            after: None,
            limit: 0,
        };
        let now = shared
            .engine
            .members(&channel, query)
            .await
            .map_err(engine_error)?;
        let current = resume.filter(|resume| *resume == (now.epoch, now.sequence));
        let page = if current.is_some() {
            Reading::Done
        } else {
            Reading::Page(None)
        };
        Ok(PresenceWatch {
            following,
            ready: VecDeque::new(),
            page,
            at: current,
        })
    }
}

#[cfg(test)]
mod tests;
