//! A subscription's life: checked, entered, caught up with history, live, taken out.

use std::sync::Arc;

use switchboard_core::sync::{CatchUp, Found, Opening};
use switchboard_core::{
    Answer, ChannelName, ClientError, ErrorCode, Frame, GapReason, Offer, Policy, Position, Reply,
    Start,
};
use switchboard_engine::{JoinRequest, Leaving};
use tokio::sync::oneshot;

use crate::dispatch::Follower;
use crate::shard::channels::{Item, position};
use crate::shard::mail::Delivery;
use crate::shard::marks;
use crate::shard::session::{State, Subscription, Syncing};
use crate::shard::{Local, Shard, write};
use crate::shared::engine_error;
use crate::watch;

/// How the start of a subscription is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// As the reply to a command on the same attachment; nothing when the command had no id.
    Reply(Option<u64>),
    /// By a `subscribed` frame: the client asked elsewhere (by the opening or a POST), or a service did.
    Frame,
}

/// What is subscribed to, and by what right.
pub(super) struct Wish {
    pub(super) channel: ChannelName,
    pub(super) start: Start,
    pub(super) told: Told,
    /// It was granted by something else than the session's own token.
    pub(super) pinned: bool,
}

/// One attempt to subscribe. A session may be taken out of a channel and enter it again while an attempt waits for the
/// engine; so what it does later, it does only to the subscription that it entered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) slot: u32,
    generation: u32,
    number: u32,
}

/// How far the telling is.
struct Telling {
    /// Who waits for the answer, but not for the rest.
    opened: Option<oneshot::Sender<Answer>>,
    /// What the client has been told.
    answer: Option<Answer>,
}

/// Subscribes a session; returns when it has caught up. Once the client has been told that it is subscribed nothing is an
/// error any more: should it fail later, the client is told `unsubscribed`. `opened` hears of that moment.
///
/// # Errors
/// As the `subscribe` command: `permission_denied`, `unknown_namespace`, `already_subscribed`, `limit_exceeded`, `unavailable`.
pub(super) async fn subscribe(
    local: &Local,
    slot: u32,
    generation: u32,
    wish: Wish,
    opened: Option<oneshot::Sender<Answer>>,
) -> Result<Answer, ClientError> {
    let (attempt, policy, followed) = local.borrow_mut().enter(slot, generation, &wish)?;
    let mut telling = Telling {
        opened,
        answer: None,
    };
    let Err(error) = catch_up(local, attempt, &wish, &policy, followed, &mut telling).await else {
        return telling.answer.ok_or_else(gone);
    };
    let given_up = local.borrow_mut().give_up(attempt);
    let Some(answer) = telling.answer else {
        return Err(error);
    };
    if given_up {
        let unsubscribed = Frame::Unsubscribed {
            channel: wish.channel,
            reason: error.message.into(),
            resubscribe: error.code.retryable(),
        };
        local.borrow_mut().send_frame(slot, &unsubscribed);
    }
    Ok(answer)
}

async fn catch_up(
    local: &Local,
    attempt: Attempt,
    wish: &Wish,
    policy: &Arc<Policy>,
    followed: bool,
    telling: &mut Telling,
) -> Result<(), ClientError> {
    let name = &wish.channel;
    let (shared, shard_index) = {
        let shard = local.borrow();
        (shard.shared.clone(), shard.index)
    };
    if !followed {
        let follower = Follower::Shard(shard_index);
        shared
            .dispatch
            .follow(&*shared.engine, name, follower)
            .await
            .map_err(engine_error)?;
        if let Some(channel) = local.borrow_mut().channels.get_mut(name) {
            channel.followed = true;
        }
    }
    if policy.presence {
        join(local, attempt, name, policy).await?;
    }
    let after_mark = if policy.is_durable() {
        marks::begin(local, attempt, wish, policy).await?
    } else {
        None
    };
    loop {
        let query = {
            let mut shard = local.borrow_mut();
            let Some(syncing) = shard.syncing(attempt) else {
                return Err(gone());
            };
            syncing.catch_up.query()
        };
        let history = watch::read(&shared, name, query).await?;
        let mut step = {
            let mut shard = local.borrow_mut();
            let found = Found {
                publications: history
                    .publications
                    .into_iter()
                    .map(|p| shard.item(Frame::Message(p)))
                    .collect(),
                top: history.top,
                complete: history.complete,
            };
            let Some(syncing) = shard.syncing(attempt) else {
                return Err(gone());
            };
            syncing.catch_up.read(found)
        };
        if let Some(mut opening) = step.opening {
            if let Some(mark) = after_mark {
                opening.recovered &= !mark.made;
            }
            let answer = local.borrow_mut().tell(attempt, wish, opening, policy);
            if let Some(opened) = telling.opened.take() {
                let _ = opened.send(answer.clone());
            }
            telling.answer = Some(answer);
        }
        if let Some((position, reason)) = step.gap {
            local.borrow_mut().tell_gap(attempt, name, position, reason);
        }
        // A large recovery goes at the reader's pace: its bytes may be many times what an outbox holds.
        for Item(delivery) in step.deliver.drain(..) {
            local.borrow_mut().owe_synced(attempt, &[delivery]);
            write::room(local, attempt.slot, attempt.generation).await;
        }
        if step.done.is_some() && local.borrow_mut().go_live(attempt, name) {
            return Ok(());
        }
    }
}

/// Makes the session a member. If it has gone meanwhile, so does the member.
async fn join(
    local: &Local,
    attempt: Attempt,
    name: &ChannelName,
    policy: &Policy,
) -> Result<(), ClientError> {
    let (request, engine) = {
        let mut shard = local.borrow_mut();
        let engine = Arc::clone(&shard.shared.engine);
        let Some(subscription) = shard.attempted(attempt) else {
            return Err(gone());
        };
        // From here on: a join that fails may have happened all the same.
        subscription.present = true;
        let Some(session) = shard.slots.get(attempt.slot) else {
            return Err(gone());
        };
        (
            JoinRequest {
                channel: name.clone(),
                session: session.id,
                user: session.identity.user.clone(),
                info: session.identity.info.clone(),
                members_max: None,
            },
            engine,
        )
    };
    let session = request.session;
    let joined = engine.join(request).await.map_err(engine_error);
    let wanted = {
        let mut shard = local.borrow_mut();
        if shard.attempted(attempt).is_some() {
            return joined;
        }
        // The member may be a later attempt's by now.
        shard.is_present(attempt.slot, attempt.generation, name)
    };
    if !wanted {
        engine
            .leave(name, session, Leaving::After(policy.presence_grace))
            .await
            .map_err(engine_error)?;
    }
    Err(gone())
}

pub(super) fn gone() -> ClientError {
    ClientError::new(
        ErrorCode::NotSubscribed,
        "the subscription was ended meanwhile",
    )
}

fn offer(policy: &Policy, named: bool) -> Offer {
    Offer {
        recovery: policy.retention.keeps_any(),
        presence: policy.presence,
        join_leave: policy.presence && policy.join_leave,
        durable: policy.is_durable() && named,
    }
}

impl Shard {
    /// Checks a subscription and enters it, so that live publications are parked for it from now on.
    fn enter(
        &mut self,
        slot: u32,
        generation: u32,
        wish: &Wish,
    ) -> Result<(Attempt, Arc<Policy>, bool), ClientError> {
        let policy = Arc::clone(self.shared.policy(&wish.channel)?);
        let max = self.shared.limits.subscriptions_per_session_max;
        let parked_max = self.shared.limits.sync_parked_max;
        let known = self.channels.find(&wish.channel);
        let Some(session) = self.slots.find(slot, generation).filter(|s| !s.ended) else {
            return Err(gone());
        };
        if !wish.pinned && !policy.public && !session.identity.grants.may_subscribe(&wish.channel) {
            let message = format!("the token does not grant `subscribe` on {}", wish.channel);
            return Err(ClientError::new(ErrorCode::PermissionDenied, message));
        }
        if known.is_some_and(|at| session.subscription(at).is_some()) {
            let message = format!("already subscribed to {}", wish.channel);
            return Err(ClientError::new(ErrorCode::AlreadySubscribed, message));
        }
        if session.subscriptions.len() >= max {
            let message = format!("a session has at most {max} subscriptions");
            return Err(ClientError::new(ErrorCode::LimitExceeded, message));
        }
        if session.transport.resumes_by_cursor() {
            let channels = &self.channels;
            let held = session.subscriptions.iter();
            let held = held.map(|subscription| &channels[subscription.channel].name);
            self.shared.check_cursor(held.chain([&wish.channel]))?;
        }
        let at = known.unwrap_or_else(|| {
            self.shared.metrics.channels.inc();
            self.channels
                .insert(wish.channel.clone(), Arc::clone(&policy))
        });
        let channel = &mut self.channels[at];
        let place = channel.waiting.len() as u32;
        channel.waiting.push(slot);
        let followed = channel.followed;
        let catch_up = CatchUp::new(wish.start, parked_max);
        let stands = if let Start::After(position) = wish.start {
            Some(position)
        } else {
            None
        };
        let state = State::Syncing(Box::new(Syncing {
            catch_up,
            told: false,
            stands,
        }));
        self.attempts = self.attempts.wrapping_add(1);
        let attempt = Attempt {
            slot,
            generation,
            number: self.attempts,
        };
        if let Some(session) = self.slots.get_mut(slot) {
            let (present, pinned) = (false, wish.pinned);
            // Most sessions have few subscriptions: no room for more than asked for.
            session.subscriptions.reserve_exact(1);
            session.subscriptions.push(Subscription {
                channel: at,
                attempt: attempt.number,
                at: place,
                state,
                present,
                pinned,
            });
        }
        self.shared.metrics.subscriptions.inc();
        self.update_direct(slot);
        Ok((attempt, policy, followed))
    }

    /// What an attempt has entered, if it is still there.
    pub(super) fn attempted(&mut self, attempt: Attempt) -> Option<&mut Subscription> {
        let session = self
            .slots
            .find(attempt.slot, attempt.generation)
            .filter(|session| !session.ended)?;
        let mut subscriptions = session.subscriptions.iter_mut();
        subscriptions.find(|s| s.attempt == attempt.number)
    }

    pub(super) fn syncing(&mut self, attempt: Attempt) -> Option<&mut Syncing> {
        match &mut self.attempted(attempt)?.state {
            State::Syncing(syncing) => Some(syncing),
            State::Live | State::Ahead(_) => None,
        }
    }

    /// Takes out what a failed attempt has entered; false when somebody else has.
    fn give_up(&mut self, attempt: Attempt) -> bool {
        let Some(at) = self.attempted(attempt).map(|s| s.channel) else {
            return false;
        };
        self.leave_channel(attempt.slot, at, Leaving::Now)
    }

    /// Tells how a subscription opens; gives the command's answer.
    fn tell(&mut self, attempt: Attempt, wish: &Wish, opening: Opening, policy: &Policy) -> Answer {
        let Opening {
            position,
            recovered,
        } = opening;
        let session = self.slots.get(attempt.slot);
        let offer = offer(policy, session.is_some_and(|s| s.identity.user.is_some()));
        let answer = Answer::Subscribe {
            position,
            recovered,
            offer,
        };
        let frame = match wish.told {
            Told::Reply(None) => None,
            Told::Reply(Some(id)) => Some(Frame::Reply(Reply {
                id,
                outcome: Ok(answer.clone()),
            })),
            Told::Frame => Some(Frame::Subscribed {
                channel: wish.channel.clone(),
                position,
                recovered,
                offer,
            }),
        };
        if let Some(syncing) = self.syncing(attempt) {
            syncing.told = true;
            syncing.stands = Some(position);
            if let Some(frame) = frame {
                self.send_frame(attempt.slot, &frame);
            }
        }
        answer
    }

    fn tell_gap(
        &mut self,
        attempt: Attempt,
        name: &ChannelName,
        position: Position,
        reason: GapReason,
    ) {
        let Some(syncing) = self.syncing(attempt) else {
            return;
        };
        syncing.stands = Some(position);
        let item = self.item(Frame::Gap {
            channel: name.clone(),
            position,
            reason,
        });
        self.shared.metrics.gap(reason.as_str());
        if reason == GapReason::EpochChanged
            && let Some(at) = self.attempted(attempt).map(|s| s.channel)
        {
            self.remake_mark(attempt.slot, at);
        }
        self.owe(attempt.slot, &[item.0]);
    }

    fn owe_synced(&mut self, attempt: Attempt, items: &[Delivery]) {
        let Some(syncing) = self.syncing(attempt) else {
            return;
        };
        if let Some(last) = items.iter().filter_map(position).next_back() {
            syncing.stands = Some(last);
        }
        self.shared.metrics.deliveries.inc_by(items.len() as u64);
        self.owe(attempt.slot, items);
    }

    /// Ends catching up: what was parked while the last page was written goes out, and the subscription is live, or
    /// ahead of a mailbox that has yet to get there. False when history has to be read once more.
    fn go_live(&mut self, attempt: Attempt, name: &ChannelName) -> bool {
        let Some(syncing) = self.syncing(attempt) else {
            return true;
        };
        let Some(top) = syncing.catch_up.position() else {
            return false;
        };
        let step = syncing.catch_up.read(Found {
            publications: Vec::new(),
            top,
            complete: true,
        });
        let rest: Vec<_> = step
            .deliver
            .into_iter()
            .map(|Item(delivery)| delivery)
            .collect();
        if let Some((position, reason)) = step.gap {
            self.tell_gap(attempt, name, position, reason);
        }
        self.owe_synced(attempt, &rest);
        let Some(position) = step.done else {
            return false;
        };
        // What it was owed may have been too much for it.
        let Some(subscription) = self.attempted(attempt) else {
            return true;
        };
        subscription.state = State::Ahead(position.offset);
        let at = subscription.channel;
        let channel = &mut self.channels[at];
        if channel.live.is_empty() && channel.position.is_none_or(|p| p.epoch != position.epoch) {
            channel.position = Some(position);
        }
        let stands = channel.position;
        self.promote(attempt.slot, at, stands);
        true
    }

    /// Makes a subscription live if its channel has reached it.
    pub(super) fn promote(&mut self, slot: u32, at: u32, stands: Option<Position>) {
        let channel = &mut self.channels[at];
        let Some(session) = self.slots.get_mut(slot) else {
            return;
        };
        let Some(subscription) = session.subscription(at) else {
            return;
        };
        let State::Ahead(offset) = subscription.state else {
            return;
        };
        if stands.is_none_or(|position| position.offset < offset) {
            return;
        }
        let place = subscription.at;
        subscription.state = State::Live;
        subscription.at = channel.live.len() as u32;
        channel.live.push(slot);
        self.remove_waiting(at, place);
    }
}
