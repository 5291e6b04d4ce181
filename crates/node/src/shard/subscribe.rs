//! A subscription's life: checked, entered, caught up with history, live, taken out.

use std::sync::Arc;

use switchboard_core::sync::{CatchUp, Found, Opening};
use switchboard_core::{
    Answer, ChannelName, ClientError, ErrorCode, Frame, GapReason, Offer, Policy, Position, Reply,
    Start,
};
use switchboard_engine::{JoinRequest, Leaving};

use crate::dispatch::Follower;
use crate::shard::channels::{Item, position};
use crate::shard::mail::Delivery;
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

/// Subscribes a session; returns when it has caught up.
///
/// # Errors
/// As the `subscribe` command: `permission_denied`, `unknown_namespace`, `already_subscribed`, `limit_exceeded`, `unavailable`.
pub(super) async fn subscribe(
    local: &Local,
    slot: u32,
    generation: u32,
    wish: Wish,
) -> Result<Answer, ClientError> {
    let name = &wish.channel;
    let (policy, followed) = local.borrow_mut().enter(slot, generation, &wish)?;
    let result = catch_up(local, slot, generation, &wish, &policy, followed).await;
    if result.is_err() {
        let mut shard = local.borrow_mut();
        if let Some(at) = shard.channels.find(name) {
            let current = shard.slots.find(slot, generation).is_some();
            if current {
                shard.leave_channel(slot, at, Leaving::Now);
            }
        }
    }
    result
}

async fn catch_up(
    local: &Local,
    slot: u32,
    generation: u32,
    wish: &Wish,
    policy: &Arc<Policy>,
    followed: bool,
) -> Result<Answer, ClientError> {
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
        join(local, slot, generation, name, policy).await?;
    }
    let mut answer = None;
    loop {
        let query = {
            let mut shard = local.borrow_mut();
            let Some(syncing) = shard.syncing(slot, generation, name) else {
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
            let Some(syncing) = shard.syncing(slot, generation, name) else {
                return Err(gone());
            };
            syncing.catch_up.read(found)
        };
        if let Some(opening) = step.opening {
            answer = Some(
                local
                    .borrow_mut()
                    .tell(slot, generation, wish, opening, policy),
            );
        }
        if let Some((position, reason)) = step.gap {
            local
                .borrow_mut()
                .tell_gap(slot, generation, name, position, reason);
        }
        // A large recovery goes at the reader's pace: its bytes may be many times what an outbox holds.
        for Item(delivery) in step.deliver.drain(..) {
            local
                .borrow_mut()
                .owe_synced(slot, generation, name, &[delivery]);
            write::room(local, slot, generation).await;
        }
        if step.done.is_some() && local.borrow_mut().go_live(slot, generation, name) {
            return answer.ok_or_else(gone);
        }
    }
}

/// Makes the session a member. If it has gone meanwhile, so does the member.
async fn join(
    local: &Local,
    slot: u32,
    generation: u32,
    name: &ChannelName,
    policy: &Policy,
) -> Result<(), ClientError> {
    let (request, engine) = {
        let mut shard = local.borrow_mut();
        let engine = Arc::clone(&shard.shared.engine);
        let Some(session) = shard.slots.find(slot, generation) else {
            return Err(gone());
        };
        let (user, info) = (session.identity.user.clone(), session.identity.info.clone());
        (
            JoinRequest {
                channel: name.clone(),
                session: session.id,
                user,
                info,
            },
            engine,
        )
    };
    let session = request.session;
    engine.join(request).await.map_err(engine_error)?;
    let still_there = {
        let mut shard = local.borrow_mut();
        let at = shard.channels.find(name);
        let session = shard
            .slots
            .find(slot, generation)
            .filter(|session| !session.ended);
        match session
            .zip(at)
            .and_then(|(session, at)| session.subscription(at))
        {
            Some(subscription) => {
                subscription.present = true;
                true
            }
            None => false,
        }
    };
    if still_there {
        return Ok(());
    }
    engine
        .leave(name, session, Leaving::After(policy.presence_grace))
        .await
        .map_err(engine_error)?;
    Err(gone())
}

fn gone() -> ClientError {
    ClientError::new(
        ErrorCode::NotSubscribed,
        "the subscription was ended meanwhile",
    )
}

fn offer(policy: &Policy) -> Offer {
    Offer {
        recovery: policy.retention.keeps_any(),
        presence: policy.presence,
        join_leave: policy.presence && policy.join_leave,
    }
}

impl Shard {
    /// Checks a subscription and enters it, so that live publications are parked for it from now on.
    fn enter(
        &mut self,
        slot: u32,
        generation: u32,
        wish: &Wish,
    ) -> Result<(Arc<Policy>, bool), ClientError> {
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
        let state = State::Syncing(Box::new(Syncing { catch_up, stands }));
        if let Some(session) = self.slots.get_mut(slot) {
            let (present, pinned) = (false, wish.pinned);
            // Most sessions have few subscriptions: no room for more than asked for.
            session.subscriptions.reserve_exact(1);
            session.subscriptions.push(Subscription {
                channel: at,
                at: place,
                state,
                present,
                pinned,
            });
        }
        self.shared.metrics.subscriptions.inc();
        self.update_direct(slot);
        Ok((policy, followed))
    }

    fn syncing(&mut self, slot: u32, generation: u32, name: &ChannelName) -> Option<&mut Syncing> {
        let at = self.channels.find(name)?;
        let session = self
            .slots
            .find(slot, generation)
            .filter(|session| !session.ended)?;
        match &mut session.subscription(at)?.state {
            State::Syncing(syncing) => Some(syncing),
            State::Live | State::Ahead(_) => None,
        }
    }

    /// Tells how a subscription opens; gives the command's answer.
    fn tell(
        &mut self,
        slot: u32,
        generation: u32,
        wish: &Wish,
        opening: Opening,
        policy: &Policy,
    ) -> Answer {
        let Opening {
            position,
            recovered,
        } = opening;
        let offer = offer(policy);
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
        if let Some(syncing) = self.syncing(slot, generation, &wish.channel) {
            syncing.stands = Some(position);
            if let Some(frame) = frame {
                self.send_frame(slot, &frame);
            }
        }
        answer
    }

    fn tell_gap(
        &mut self,
        slot: u32,
        generation: u32,
        name: &ChannelName,
        position: Position,
        reason: GapReason,
    ) {
        let Some(syncing) = self.syncing(slot, generation, name) else {
            return;
        };
        syncing.stands = Some(position);
        let item = self.item(Frame::Gap {
            channel: name.clone(),
            position,
            reason,
        });
        self.shared.metrics.gap(reason.as_str());
        self.owe(slot, &[item.0]);
    }

    fn owe_synced(&mut self, slot: u32, generation: u32, name: &ChannelName, items: &[Delivery]) {
        let Some(syncing) = self.syncing(slot, generation, name) else {
            return;
        };
        if let Some(last) = items.iter().filter_map(position).next_back() {
            syncing.stands = Some(last);
        }
        self.shared.metrics.deliveries.inc_by(items.len() as u64);
        self.owe(slot, items);
    }

    /// Ends catching up: what was parked while the last page was written goes out, and the subscription is live, or
    /// ahead of a mailbox that has yet to get there. False when history has to be read once more.
    fn go_live(&mut self, slot: u32, generation: u32, name: &ChannelName) -> bool {
        let Some(at) = self.channels.find(name) else {
            return true;
        };
        let Some(syncing) = self.syncing(slot, generation, name) else {
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
            self.tell_gap(slot, generation, name, position, reason);
        }
        self.owe_synced(slot, generation, name, &rest);
        let Some(position) = step.done else {
            return false;
        };
        let Some(session) = self.slots.find(slot, generation) else {
            return true;
        };
        let Some(subscription) = session.subscription(at) else {
            return true;
        };
        subscription.state = State::Ahead(position.offset);
        let channel = &mut self.channels[at];
        if channel.live.is_empty() && channel.position.is_none_or(|p| p.epoch != position.epoch) {
            channel.position = Some(position);
        }
        let stands = channel.position;
        self.promote(slot, at, stands);
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
