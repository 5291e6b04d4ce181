//! The channels that the node follows.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;
use switchboard_core::{ChannelName, Position};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// All channels that are subscribed or are to be.
pub(crate) struct Followed {
    channels: Mutex<HashMap<ChannelName, Entry>>,
    max: usize,
}

/// The last publication seen of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) position: Position,
    /// When it was accepted, which tells it from another one at the same place; 0 where only the place is known.
    pub(crate) time_ms: u64,
}

#[derive(Default)]
struct Entry {
    /// The server has said that it is subscribed.
    subscribed: bool,
    /// When the subscription may go, once nobody follows it any more.
    lingers_until: Option<Instant>,
    waiting: Vec<oneshot::Sender<()>>,
    seen: Option<Seen>,
}

/// How following began.
pub(crate) enum Begun {
    /// It is subscribed already.
    Subscribed,
    /// Somebody else's subscribing is under way.
    Waits(oneshot::Receiver<()>),
    /// It is to be subscribed.
    New(oneshot::Receiver<()>),
    /// There are too many.
    Full,
}

impl Followed {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            channels: Mutex::default(),
            max,
        }
    }

    pub(crate) fn begin(&self, channel: &ChannelName) -> Begun {
        let mut channels = self.lock();
        let full = channels.len() >= self.max;
        if let Some(entry) = channels.get_mut(channel) {
            entry.lingers_until = None;
            if entry.subscribed {
                return Begun::Subscribed;
            }
            let (done, waits) = oneshot::channel();
            // Those who gave up waiting make room.
            entry.waiting.retain(|waiting| !waiting.is_closed());
            entry.waiting.push(done);
            return Begun::Waits(waits);
        }
        if full {
            return Begun::Full;
        }
        let (done, waits) = oneshot::channel();
        let entry = Entry {
            waiting: vec![done],
            ..Entry::default()
        };
        channels.insert(channel.clone(), entry);
        Begun::New(waits)
    }

    /// Nobody follows the channel any more.
    pub(crate) fn end(&self, channel: &ChannelName, lingers_until: Instant) {
        if let Some(entry) = self.lock().get_mut(channel) {
            entry.lingers_until = Some(lingers_until);
        }
    }

    /// Forgets the channels that have lingered long enough, and gives them to be unsubscribed. `unsubscribe` is called while
    /// nobody can begin to follow them: so what it queues stands before a new beginning.
    pub(crate) fn forget_lingering(&self, now: Instant, mut unsubscribe: impl FnMut(ChannelName)) {
        let over = |entry: &Entry| entry.lingers_until.is_some_and(|until| until <= now);
        self.lock()
            .extract_if(|_, entry| over(entry))
            .for_each(|(channel, _)| unsubscribe(channel));
    }

    /// The server has said that the channel is subscribed.
    pub(crate) fn subscribed(&self, channel: &ChannelName) {
        if let Some(entry) = self.lock().get_mut(channel) {
            entry.subscribed = true;
            for waiting in entry.waiting.drain(..) {
                // Who waits no more has been told that it may have happened.
                let _ = waiting.send(());
            }
        }
    }

    /// Gives all channels that `concerned` picks, and notes that they are not subscribed any more.
    pub(crate) fn lose(&self, concerned: impl Fn(&ChannelName) -> bool) -> Vec<ChannelName> {
        let mut channels = self.lock();
        let concerned = channels.iter_mut().filter(|(name, _)| concerned(name));
        let lose = |(name, entry): (&ChannelName, &mut Entry)| {
            entry.subscribed = false;
            name.clone()
        };
        concerned.map(lose).collect()
    }

    /// The channel, if the node wants to hear of it.
    pub(crate) fn wanted(&self, channel: &str) -> Option<ChannelName> {
        let channels = self.lock();
        let (name, entry) = channels.get_key_value(channel)?;
        entry.lingers_until.is_none().then(|| name.clone())
    }

    pub(crate) fn see(&self, channel: &ChannelName, seen: Seen) {
        if let Some(entry) = self.lock().get_mut(channel) {
            entry.seen = Some(seen);
        }
    }

    pub(crate) fn seen(&self, channel: &ChannelName) -> Option<Seen> {
        self.lock().get(channel)?.seen
    }

    /// The channels that the node follows, and what was seen of them.
    pub(crate) fn all(&self) -> Vec<(ChannelName, Option<Seen>)> {
        let channels = self.lock();
        let followed = channels
            .iter()
            .filter(|(_, entry)| entry.lingers_until.is_none());
        followed
            .map(|(name, entry)| (name.clone(), entry.seen))
            .collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ChannelName, Entry>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn channel(name: &str) -> ChannelName {
        ChannelName::parse(name).expect("a valid name")
    }

    #[test]
    fn a_channel_is_subscribed_once_and_all_who_wait_are_told() {
        let followed = Followed::new(10);
        let Begun::New(mut first) = followed.begin(&channel("a")) else {
            panic!("the first one subscribes")
        };
        let Begun::Waits(mut second) = followed.begin(&channel("a")) else {
            panic!("the second one waits")
        };
        assert!(first.try_recv().is_err());
        followed.subscribed(&channel("a"));
        assert!(first.try_recv().is_ok() && second.try_recv().is_ok());
        assert!(matches!(followed.begin(&channel("a")), Begun::Subscribed));
    }

    #[test]
    fn a_channel_lingers_unheard_and_comes_back_without_subscribing_again() {
        let followed = Followed::new(10);
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        for name in ["a", "b"] {
            let _ = followed.begin(&channel(name));
            followed.subscribed(&channel(name));
            followed.end(&channel(name), later);
            assert_eq!(followed.wanted(name), None);
        }
        let mut gone = Vec::new();
        followed.forget_lingering(now, |name| gone.push(name));
        assert!(gone.is_empty());
        assert!(matches!(followed.begin(&channel("a")), Begun::Subscribed));
        assert_eq!(followed.wanted("a"), Some(channel("a")));
        followed.forget_lingering(later, |name| gone.push(name));
        assert_eq!((gone, followed.len()), (vec![channel("b")], 1));
    }

    #[test]
    fn there_is_a_bound() {
        let followed = Followed::new(1);
        assert!(matches!(followed.begin(&channel("a")), Begun::New(_)));
        assert!(matches!(followed.begin(&channel("b")), Begun::Full));
        assert!(matches!(followed.begin(&channel("a")), Begun::Waits(_)));
    }
}
