//! A sink that records what it is given.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use switchboard_core::{ChannelName, PresenceEvent, Publication};
use tokio::sync::watch;

use super::outcome::Failure;
use crate::engine::Sink;
use crate::request::Interrupted;

/// How long a check waits for a delivery.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);

/// One call of a sink.
#[derive(Clone, Debug)]
pub enum Event {
    /// A publication came.
    Publication(Arc<Publication>),
    /// A member came or went.
    Presence(Arc<PresenceEvent>),
    /// Another node sent a message.
    Message(Bytes),
    /// Something may have been lost.
    Interrupted(Interrupted),
}

/// Records every call, in order; has room until told otherwise.
pub struct RecordingSink {
    events: Mutex<Vec<Event>>,
    /// Changes with every call.
    recorded: watch::Sender<usize>,
    has_room: watch::Sender<bool>,
    /// How many have ever waited for room.
    waited: watch::Sender<usize>,
}

impl RecordingSink {
    /// Makes an empty one, with room.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            events: Mutex::default(),
            recorded: watch::Sender::new(0),
            has_room: watch::Sender::new(true),
            waited: watch::Sender::new(0),
        })
    }

    /// Gives or takes room.
    pub fn set_room(&self, has_room: bool) {
        self.has_room.send_replace(has_room);
    }

    /// Waits until something waits for room.
    pub async fn wait_for_waiter(&self) {
        // The sender lives as long as `self`, so the wait ends with a value.
        let _ = self.waited.subscribe().wait_for(|&waited| waited > 0).await;
    }

    /// All calls so far.
    pub fn events(&self) -> Vec<Event> {
        self.lock().clone()
    }

    /// The publications of a channel so far.
    pub fn publications(&self, channel: &ChannelName) -> Vec<Arc<Publication>> {
        publications_in(&self.lock(), channel)
    }

    /// The presence events of a channel so far.
    pub fn presence_events(&self, channel: &ChannelName) -> Vec<Arc<PresenceEvent>> {
        presence_in(&self.lock(), channel)
    }

    /// Waits until `find` finds what it looks for among all calls.
    ///
    /// # Errors
    /// When that takes longer than ten seconds.
    pub async fn until<T>(
        &self,
        what: &str,
        find: impl Fn(&[Event]) -> Option<T>,
    ) -> Result<T, Failure> {
        self.until_within(DELIVERY_TIMEOUT, what, find).await
    }

    /// Waits until `find` finds what it looks for among all calls.
    ///
    /// # Errors
    /// When that takes longer than `timeout`.
    pub async fn until_within<T>(
        &self,
        timeout: Duration,
        what: &str,
        find: impl Fn(&[Event]) -> Option<T>,
    ) -> Result<T, Failure> {
        let mut recorded = self.recorded.subscribe();
        let look = async {
            loop {
                if let Some(found) = find(&self.lock()) {
                    return found;
                }
                // The sender lives as long as `self`.
                let _ = recorded.changed().await;
            }
        };
        let found = tokio::time::timeout(timeout, look).await;
        found.map_err(|_| Failure::new(format!("{what} did not come within {timeout:?}")))
    }

    /// Waits for `count` publications of a channel and gives all that came by then.
    ///
    /// # Errors
    /// When they do not come.
    pub async fn wait_for_publications(
        &self,
        channel: &ChannelName,
        count: usize,
    ) -> Result<Vec<Arc<Publication>>, Failure> {
        let what = format!("publication {count} of {channel}");
        let enough = |found: &Vec<_>| found.len() >= count;
        self.until(&what, |events| {
            Some(publications_in(events, channel)).filter(enough)
        })
        .await
    }

    /// Waits for `count` presence events of a channel and gives all that came by then.
    ///
    /// # Errors
    /// When they do not come.
    pub async fn wait_for_presence(
        &self,
        channel: &ChannelName,
        count: usize,
    ) -> Result<Vec<Arc<PresenceEvent>>, Failure> {
        let what = format!("presence event {count} of {channel}");
        let enough = |found: &Vec<_>| found.len() >= count;
        self.until(&what, |events| {
            Some(presence_in(events, channel)).filter(enough)
        })
        .await
    }

    fn record(&self, event: Event) {
        let mut events = self.lock();
        events.push(event);
        self.recorded.send_replace(events.len());
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Sink for RecordingSink {
    fn has_room(&self) -> bool {
        *self.has_room.borrow()
    }

    async fn room(&self) {
        self.waited.send_modify(|waited| *waited += 1);
        // The sender lives as long as `self`.
        let _ = self
            .has_room
            .subscribe()
            .wait_for(|&has_room| has_room)
            .await;
    }

    fn publication(&self, publication: &Arc<Publication>) {
        self.record(Event::Publication(Arc::clone(publication)));
    }

    fn presence(&self, event: &Arc<PresenceEvent>) {
        self.record(Event::Presence(Arc::clone(event)));
    }

    fn message(&self, message: Bytes) {
        self.record(Event::Message(message));
    }

    fn interrupted(&self, interrupted: Interrupted) {
        self.record(Event::Interrupted(interrupted));
    }
}

fn publications_in(events: &[Event], channel: &ChannelName) -> Vec<Arc<Publication>> {
    let of_channel = |event: &Event| match event {
        Event::Publication(publication) if publication.channel == *channel => {
            Some(Arc::clone(publication))
        }
        _ => None,
    };
    events.iter().filter_map(of_channel).collect()
}

fn presence_in(events: &[Event], channel: &ChannelName) -> Vec<Arc<PresenceEvent>> {
    let of_channel = |event: &Event| match event {
        Event::Presence(presence) if presence.channel == *channel => Some(Arc::clone(presence)),
        _ => None,
    };
    events.iter().filter_map(of_channel).collect()
}
