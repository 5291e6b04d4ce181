//! Durable subscriptions: they start after their user's mark, and acknowledgements move it.
//!
//! A mark is the engine's, one a user and channel, shared by all the user's sessions. What a shard keeps of it lies in a table
//! beside the sessions, so that a subscription that is not durable has no part of it. Acknowledgements are written by
//! a task, the newest only, one write at a time; it outlives the subscription until the last is written.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use switchboard_core::acks::{Acks, Taken};
use switchboard_core::limits::ACKS_AWAITED_MAX;
use switchboard_core::{Answer, ChannelName, ClientError, ErrorCode, Policy, Start};
use switchboard_engine::MarkOf;
use tokio::sync::{Notify, oneshot};

use crate::shard::subscribe::{Attempt, Wish, gone};
use crate::shard::{Local, Shard};
use crate::shared::engine_error;

/// The pause after a first write that failed; each further one doubles it.
const RETRY_MIN: Duration = Duration::from_millis(250);
/// Up to so much: an engine that is back is not met by everybody at once, and nobody's mark lags for long.
const RETRY_MAX: Duration = Duration::from_secs(8);
/// Writes that may fail one after another once the subscription has ended: some eight seconds. Then the acknowledgement
/// is given up and counted; its user is sent again what it was about.
const FAILURES_MAX: u32 = 5;

/// Hears when the engine has an acknowledgement, or why not.
pub(super) type Waits = oneshot::Receiver<Result<(), ClientError>>;

/// What a subscription that starts after its user's mark is told besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AfterMark {
    /// There was none before: nothing is recovered, for nothing was missed.
    pub(super) made: bool,
}

/// A durable subscription's acknowledgements.
struct Marking {
    of: MarkOf,
    acks: RefCell<Acks<oneshot::Sender<Result<(), ClientError>>>>,
    /// A task writes.
    written: Cell<bool>,
    /// The subscription has ended.
    ended: Cell<bool>,
    /// When the engine last had word of the mark, on the node's clock.
    used_ms: Cell<u64>,
    /// Ends the tasks' pauses.
    hurry: Notify,
}

impl Marking {
    /// Waits a while after so many failures in a row; false when it is time to give up.
    async fn may_try_again(&self, local: &Local, failures: u32) -> bool {
        if local.borrow().is_stopping() || (self.ended.get() && failures >= FAILURES_MAX) {
            return false;
        }
        let pause = RETRY_MIN * 2u32.pow(failures.min(FAILURES_MAX) - 1);
        let jitter = f64::from(local.borrow_mut().random()) / f64::from(u32::MAX);
        let pause = pause.mul_f64(0.75 + jitter / 2.0).min(RETRY_MAX);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.hurry.notified() => {}
        }
        true
    }
}

/// Those of a shard, by slot and channel.
#[derive(Default)]
pub(super) struct Markings {
    of: HashMap<(u32, u32), Rc<Marking>>,
    /// Tasks that speak to the engine.
    writing: u32,
}

impl Markings {
    /// Whether a task writes: the shard does not end before.
    pub(super) fn are_written(&self) -> bool {
        self.writing > 0
    }
}

/// Asks for the mark of the subscription's user, which makes it if this is the first. A subscription without a start of its
/// own starts after it. Nothing for an anonymous session: nobody could come back to its mark.
pub(super) async fn begin(
    local: &Local,
    attempt: Attempt,
    wish: &Wish,
    policy: &Policy,
) -> Result<Option<AfterMark>, ClientError> {
    let (engine, user) = {
        let shard = local.borrow();
        let session = shard.slots.get(attempt.slot);
        let user = session.and_then(|session| session.identity.user.clone());
        (Arc::clone(&shard.shared.engine), user)
    };
    let Some(user) = user else {
        return Ok(None);
    };
    let of = MarkOf {
        channel: wish.channel.clone(),
        user,
        ttl: policy.durable_ttl,
    };
    let start = match wish.start {
        Start::After(position) => Some(position),
        Start::Live | Start::Rewind(_) => None,
    };
    let mark = engine.mark(&of, start).await.map_err(engine_error)?;
    let mut shard = local.borrow_mut();
    let used_ms = shard.now();
    let Some(subscription) = shard.attempted(attempt) else {
        return Err(gone());
    };
    let at = subscription.channel;
    let marking = Marking {
        of,
        acks: RefCell::new(Acks::new(mark.position)),
        written: Cell::new(false),
        ended: Cell::new(false),
        used_ms: Cell::new(used_ms),
        hurry: Notify::new(),
    };
    if wish.start != Start::Live {
        shard
            .markings
            .of
            .insert((attempt.slot, at), Rc::new(marking));
        return Ok(None);
    }
    let Some(syncing) = shard.syncing(attempt) else {
        return Err(gone());
    };
    syncing.catch_up.begin_after(mark.position);
    shard
        .markings
        .of
        .insert((attempt.slot, at), Rc::new(marking));
    Ok(Some(AfterMark { made: mark.made }))
}

/// Waits until the engine has an acknowledgement.
pub(super) async fn kept(waits: Waits) -> Result<Answer, ClientError> {
    let outcome = waits.await;
    // The task tells whoever waits, unless the shard ends first.
    let outcome = outcome.unwrap_or_else(|_| {
        let message = "the node is stopping: the acknowledgement may be lost";
        Err(ClientError::new(ErrorCode::Unavailable, message))
    });
    outcome.map(|()| Answer::Ack)
}

impl Shard {
    /// Takes an acknowledgement of everything in a channel up to `offset`. Gives what is to be waited for, if it is `awaited`
    /// and the engine has yet to have it; the flag says that too many wait already, so that nothing else is to be
    /// begun before.
    pub(super) fn acknowledge(
        &mut self,
        slot: u32,
        generation: u32,
        name: &ChannelName,
        offset: u64,
        awaited: bool,
    ) -> Result<Option<(Waits, bool)>, ClientError> {
        let policy = self.shared.policy(name)?;
        if !policy.is_durable() {
            let message = format!(
                "namespace `{}` is not durable: there is nothing to acknowledge",
                name.namespace()
            );
            return Err(ClientError::new(ErrorCode::BadRequest, message));
        }
        let Some(session) = self.slots.find(slot, generation) else {
            return Err(gone());
        };
        if session.identity.user.is_none() {
            let message =
                "an anonymous session has no mark to move: come with a token that names a user";
            return Err(ClientError::new(ErrorCode::BadRequest, message));
        }
        let at = self.channels.find(name);
        let marking = at.and_then(|at| self.markings.of.get(&(slot, at)));
        let Some((at, marking)) = at.zip(marking.cloned()) else {
            let message = format!("not subscribed to {name}");
            return Err(ClientError::new(ErrorCode::NotSubscribed, message));
        };
        let never_sent = |stands: u64| {
            let message = format!(
                "offset {offset} of {name} was never sent to this session: it stands at {stands}"
            );
            ClientError::new(ErrorCode::BadRequest, message)
        };
        let stands = self.stands(slot, at).ok_or_else(|| never_sent(0))?;
        let (waiter, waits) = if awaited {
            let (waiter, waits) = oneshot::channel();
            (Some(waiter), Some(waits))
        } else {
            (None, None)
        };
        let taken = marking.acks.borrow_mut().take(offset, stands, waiter);
        match taken.map_err(|never| never_sent(never.stands))? {
            Taken::Kept(_) => Ok(None),
            Taken::Owed => {
                if awaited {
                    marking.hurry.notify_waiters();
                }
                let crowded = marking.acks.borrow().waiting() >= ACKS_AWAITED_MAX;
                self.write_marking(marking);
                Ok(waits.map(|waits| (waits, crowded)))
            }
        }
    }

    /// Uses the marks of all who are live, or catch up, in a channel that has begun another epoch. An engine that has lost its data has lost
    /// them too; they are made anew where they were, in the old epoch: so whoever drops before its next ack is told again
    /// that something was missed, and not taken for new.
    pub(super) fn remake_marks(&mut self, at: u32) {
        let channel = &self.channels[at];
        if !channel.policy.is_durable() {
            return;
        }
        let of = &self.markings.of;
        let subscribers = channel.live.iter().chain(&channel.waiting);
        let marked: Vec<_> = subscribers
            .filter_map(|&slot| of.get(&(slot, at)).cloned())
            .collect();
        for marking in marked {
            self.use_marking(marking);
        }
    }

    /// The same of one subscription, which has found the other epoch by itself.
    pub(super) fn remake_mark(&mut self, slot: u32, at: u32) {
        if let Some(marking) = self.markings.of.get(&(slot, at)).cloned() {
            self.use_marking(marking);
        }
    }

    /// Lets go of a subscription's marking: what is acknowledged and not written yet is written all the same.
    pub(super) fn end_marking(&mut self, slot: u32, at: u32) {
        if self.markings.of.is_empty() {
            return;
        }
        if let Some(marking) = self.markings.of.remove(&(slot, at)) {
            marking.ended.set(true);
            marking.hurry.notify_waiters();
        }
    }

    /// Uses the marks of a session that have not been used for long, so that they do not expire under who is connected.
    pub(super) fn refresh_marks(&mut self, slot: u32, now: u64) {
        if self.markings.of.is_empty() {
            return;
        }
        let Some(session) = self.slots.get(slot) else {
            return;
        };
        let due = |marking: &&Rc<Marking>| {
            let half = marking.of.ttl.as_millis() as u64 / 2;
            now >= marking.used_ms.get().saturating_add(half)
        };
        let of = &self.markings.of;
        let marked = session
            .subscriptions
            .iter()
            .filter_map(|s| of.get(&(slot, s.channel)));
        let due: Vec<_> = marked.filter(due).cloned().collect();
        for marking in due {
            self.use_marking(marking);
        }
    }

    /// Has the engine told that a mark is in use, wherever it is.
    fn use_marking(&mut self, marking: Rc<Marking>) {
        let Some(local) = self.me.upgrade() else {
            return;
        };
        // Not again while this is under way.
        marking.used_ms.set(self.now());
        self.markings.writing += 1;
        tokio::task::spawn_local(async move {
            let shared = Arc::clone(&local.borrow().shared);
            let mut failures = 0;
            loop {
                let kept = marking.acks.borrow().kept();
                let Err(error) = shared.engine.mark(&marking.of, Some(kept)).await else {
                    break;
                };
                failures += 1;
                tracing::debug!(channel = %marking.of.channel, %error, "mark not used");
                if !marking.may_try_again(&local, failures).await {
                    break;
                }
            }
            local.borrow_mut().marking_done();
        });
    }

    fn marking_done(&mut self) {
        self.markings.writing -= 1;
        self.wake.notify_one();
    }

    /// Has a marking written, if no task does so already.
    fn write_marking(&mut self, marking: Rc<Marking>) {
        let Some(local) = self.me.upgrade() else {
            return;
        };
        if !marking.written.replace(true) {
            self.markings.writing += 1;
            tokio::task::spawn_local(write(local, marking));
        }
    }
}

/// Writes a subscription's acknowledgements until all are written.
async fn write(local: Local, marking: Rc<Marking>) {
    let shared = Arc::clone(&local.borrow().shared);
    let mut failures = 0;
    loop {
        let next = marking.acks.borrow_mut().write();
        let Some(position) = next else { break };
        let outcome = shared.engine.acknowledge(&marking.of, position).await;
        let told = marking.acks.borrow_mut().written(outcome.is_ok());
        let Err(error) = outcome else {
            failures = 0;
            shared.metrics.acks_written.inc();
            marking.used_ms.set(shared.clock.now_ms());
            for waiter in told {
                let _ = waiter.send(Ok(()));
            }
            continue;
        };
        failures += 1;
        tracing::debug!(channel = %marking.of.channel, %error, "acknowledgement not written");
        let error = engine_error(error);
        for waiter in told {
            let _ = waiter.send(Err(error.clone()));
        }
        if !marking.may_try_again(&local, failures).await {
            if marking.acks.borrow().is_owed() {
                shared.metrics.acks_given_up.inc();
            }
            break;
        }
    }
    marking.written.set(false);
    local.borrow_mut().marking_done();
}
