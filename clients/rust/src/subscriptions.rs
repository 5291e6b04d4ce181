//! The subscriptions of a client, across sessions: each session is asked for all of them, from where they were.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::Error;
use crate::backoff::backoff;
use crate::commands::Unsubscribe;
use crate::events::{Begun, Event, Member, Message};
use crate::frames::{Frame, InChannel, Refusal, Reply, Unsubscribed};
use crate::inbox::{Holder, Inbox};
use crate::outbox::Outbox;
use crate::place::{Fate, Place, Start};
use crate::timing::Timing;

/// Who awaits that a subscription stands.
pub(crate) type Standing = oneshot::Sender<Result<(), Error>>;

#[derive(Debug)]
struct Subscribed {
    place: Place,
    inbox: Arc<Inbox>,
    standing: Option<Standing>,
    retry_at: Option<Instant>,
}

/// All subscriptions of a client, and what was asked of the present session.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    by_channel: HashMap<String, Subscribed>,
    /// What was asked and is not answered, by the command's number.
    asked: HashMap<u64, String>,
    /// Channels of which the server's hand began elsewhere, asked anew once a session.
    asked_anew: HashSet<String>,
    /// Until when the session has to have answered what was asked.
    deadline: Option<Instant>,
    attempt: u32,
    inbox_max: usize,
    left: Arc<Notify>,
    timing: Timing,
}

impl Subscriptions {
    pub(crate) fn new(inbox_max: usize, left: Arc<Notify>, timing: Timing) -> Self {
        Self {
            by_channel: HashMap::new(),
            asked: HashMap::new(),
            asked_anew: HashSet::new(),
            deadline: None,
            attempt: 0,
            inbox_max,
            left,
            timing,
        }
    }

    /// Takes in a subscription that the application has made.
    pub(crate) fn add(
        &mut self,
        start: Start,
        inbox: Arc<Inbox>,
        standing: Standing,
        outbox: &mut Outbox,
        now: Instant,
    ) {
        self.end_left(outbox);
        let channel = inbox.channel.clone();
        if self.by_channel.contains_key(&channel) {
            let message = format!("this client has a subscription of {channel} already");
            let error = Error::new("already_subscribed", message);
            inbox.end(Some(error.clone()));
            drop(standing.send(Err(error)));
            return;
        }
        let subscribed = Subscribed {
            place: Place::new(&channel, start),
            inbox,
            standing: Some(standing),
            retry_at: None,
        };
        self.by_channel.insert(channel.clone(), subscribed);
        self.ask_for(&channel, outbox, now);
    }

    /// Gives a subscription that the server began, where nobody has it.
    pub(crate) fn hold(&self, channel: &str) -> Option<Arc<Inbox>> {
        let found = self.by_channel.get(channel)?;
        found.inbox.hold().then(|| Arc::clone(&found.inbox))
    }

    /// A session stands; it is asked for all channels, each from where it was.
    pub(crate) fn ask_all(&mut self, outbox: &mut Outbox, now: Instant) {
        self.end_left(outbox);
        self.lose();
        for channel in self.by_channel.keys().cloned().collect::<Vec<_>>() {
            self.ask_for(&channel, outbox, now);
        }
    }

    fn ask_for(&mut self, channel: &str, outbox: &mut Outbox, now: Instant) {
        let subscribed = self.by_channel.get_mut(channel);
        let Some(subscribed) = subscribed.filter(|_| outbox.is_open()) else {
            return;
        };
        let id = outbox.ask("subscribe", &subscribed.place.ask());
        self.asked.insert(id, channel.to_owned());
        self.deadline = Some(now + self.timing.open);
    }

    /// The session is gone.
    pub(crate) fn lose(&mut self) {
        self.asked.clear();
        self.asked_anew.clear();
        self.deadline = None;
        for subscribed in self.by_channel.values_mut() {
            subscribed.retry_at = None;
            subscribed.place.lost();
            subscribed.inbox.lose();
        }
    }

    /// Takes in a reply that no request awaits.
    pub(crate) fn answer(&mut self, reply: Reply, now: Instant) {
        // Where the session has it already, by the server's hand, `subscribed` says from where.
        let has_it = |told: &Refusal| told.code == "already_subscribed";
        if reply.error.as_ref().is_some_and(has_it) {
            return;
        }
        let Some(channel) = self.asked.get(&reply.id).cloned() else {
            return;
        };
        self.answered(&channel);
        match (reply.subscribe, reply.error) {
            (Some(begun), _) => {
                self.attempt = 0;
                self.begin(&channel, begun);
            }
            (None, Some(told)) if told.retryable => {
                let (base, cap) = (self.timing.backoff_base, self.timing.backoff_cap);
                let jittered = || backoff(self.attempt, rand::random(), base, cap);
                let wait = told.retry_after.unwrap_or_else(jittered);
                self.attempt += 1;
                if let Some(subscribed) = self.by_channel.get_mut(&channel) {
                    subscribed.retry_at = Some(now + wait);
                }
            }
            (None, Some(told)) => self.end(&channel, Some(told.into())),
            (None, None) => {
                let error = Error::new("internal", "the hub replied without a result");
                self.end(&channel, Some(error));
            }
        }
    }

    fn answered(&mut self, channel: &str) {
        self.asked.retain(|_, asked| asked != channel);
        if self.asked.is_empty() {
            self.deadline = None;
        }
    }

    fn begin(&mut self, channel: &str, begun: Begun) {
        let Some(subscribed) = self.by_channel.get_mut(channel) else {
            return;
        };
        if subscribed.place.begin(&begun) {
            let position = subscribed.place.position.as_ref();
            subscribed.inbox.begin(Event::Subscribed(begun), position);
            if let Some(standing) = subscribed.standing.take() {
                drop(standing.send(Ok(())));
            }
        }
    }

    /// Takes in a frame of some channel; the channel where the server began one that was not asked for.
    pub(crate) fn take(
        &mut self,
        frame: Frame,
        outbox: &mut Outbox,
        now: Instant,
    ) -> Option<String> {
        if let Some(InChannel { channel, what }) = frame.subscribed {
            return self.subscribed(channel, what, outbox, now);
        }
        if let Some(told) = frame.unsubscribed {
            self.unsubscribed(told, outbox, now);
        }
        if let Some(message) = frame.message {
            self.message(message);
        }
        if let Some(InChannel { channel, what: gap }) = frame.gap
            && let Some(subscribed) = self.by_channel.get_mut(&channel)
            && subscribed.place.gap(&gap)
        {
            let position = Some(gap.position.clone());
            subscribed.inbox.put(Event::Gap(gap), position);
        }
        if let Some(come) = frame.join {
            self.presence(&come.channel, come.member, Event::Join);
        }
        if let Some(gone) = frame.leave {
            self.presence(&gone.channel, gone.member, Event::Leave);
        }
        None
    }

    fn message(&mut self, message: Message) {
        let channel = message.channel.as_deref().unwrap_or_default();
        let Some(subscribed) = self.by_channel.get_mut(channel) else {
            return;
        };
        match subscribed.place.message(message.offset) {
            Fate::Drop => return,
            Fate::Deliver => {}
            Fate::After(gap) => {
                let position = Some(gap.position.clone());
                subscribed.inbox.put(Event::Gap(gap), position);
            }
        }
        let moves = message.offset.is_some();
        let position = subscribed.place.position.clone().filter(|_| moves);
        subscribed.inbox.put(Event::Message(message), position);
    }

    fn presence(&self, channel: &str, member: Member, event: fn(Member) -> Event) {
        if let Some(subscribed) = self.by_channel.get(channel) {
            subscribed.inbox.put(event(member), None);
        }
    }

    fn unsubscribed(&mut self, told: Unsubscribed, outbox: &mut Outbox, now: Instant) {
        if !told.resubscribe {
            let reason = if told.reason.is_empty() {
                "the server unsubscribed it".to_owned()
            } else {
                told.reason
            };
            self.end(&told.channel, Some(Error::new("closed", reason)));
        } else if let Some(subscribed) = self.by_channel.get_mut(&told.channel) {
            subscribed.place.lost();
            subscribed.inbox.lose();
            self.ask_for(&told.channel, outbox, now);
        }
    }

    fn subscribed(
        &mut self,
        channel: String,
        begun: Begun,
        outbox: &mut Outbox,
        now: Instant,
    ) -> Option<String> {
        let is_found = !self.by_channel.contains_key(&channel);
        if is_found {
            let left = Arc::clone(&self.left);
            let inbox = Inbox::new(&channel, self.inbox_max, Holder::Nobody, left);
            let subscribed = Subscribed {
                place: Place::new(&channel, Start::default()),
                inbox: Arc::new(inbox),
                standing: None,
                retry_at: None,
            };
            self.by_channel.insert(channel.clone(), subscribed);
        }
        self.answered(&channel);
        let place = self
            .by_channel
            .get(&channel)
            .map(|subscribed| &subscribed.place);
        let must_ask = place.is_some_and(|place| place.must_ask_anew(&begun));
        if must_ask && self.asked_anew.insert(channel.clone()) {
            // The server began this channel by itself, with what is published from now on. What was missed has to be asked for.
            outbox.ask("unsubscribe", &Unsubscribe { channel: &channel });
            self.ask_for(&channel, outbox, now);
        } else {
            self.begin(&channel, begun);
        }
        is_found.then_some(channel)
    }

    /// Ends those whose handle was dropped.
    pub(crate) fn end_left(&mut self, outbox: &mut Outbox) {
        let left = self
            .by_channel
            .iter()
            .filter(|(_, subscribed)| subscribed.inbox.was_left());
        for channel in left.map(|(channel, _)| channel.clone()).collect::<Vec<_>>() {
            if outbox.is_open() {
                outbox.ask("unsubscribe", &Unsubscribe { channel: &channel });
            }
            self.end(&channel, None);
        }
    }

    fn end(&mut self, channel: &str, why: Option<Error>) {
        self.answered(channel);
        let Some(subscribed) = self.by_channel.remove(channel) else {
            return;
        };
        if let Some(standing) = subscribed.standing {
            let error = || Error::new("aborted", format!("{channel} was unsubscribed"));
            drop(standing.send(Err(why.clone().unwrap_or_else(error))));
        }
        subscribed.inbox.end(why);
    }

    /// Ends all of them.
    pub(crate) fn end_all(&mut self, why: Option<&Error>) {
        for channel in self.by_channel.keys().cloned().collect::<Vec<_>>() {
            self.end(&channel, why.cloned());
        }
    }

    /// When something is to be asked again, or has to have been answered.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let retries = self
            .by_channel
            .values()
            .filter_map(|subscribed| subscribed.retry_at);
        retries.chain(self.deadline).min()
    }

    /// Asks again what has waited for long enough; whether the session still is of use.
    pub(crate) fn tick(&mut self, now: Instant, outbox: &mut Outbox) -> bool {
        let due = |subscribed: &Subscribed| subscribed.retry_at.is_some_and(|at| at <= now);
        let due = self
            .by_channel
            .iter()
            .filter(|(_, subscribed)| due(subscribed));
        for channel in due.map(|(channel, _)| channel.clone()).collect::<Vec<_>>() {
            if let Some(subscribed) = self.by_channel.get_mut(&channel) {
                subscribed.retry_at = None;
            }
            self.ask_for(&channel, outbox, now);
        }
        self.deadline.is_none_or(|deadline| now < deadline)
    }
}

#[cfg(test)]
mod tests;
