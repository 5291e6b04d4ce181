//! Executing what clients ask for, one command of a session at a time.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use switchboard_core::{
    Answer, ChannelName, ClientError, Command, ErrorCode, Frame, Identity, Origin, RateLimit,
    Reply, Request, Start,
};
use switchboard_engine::{Leaving, ReadFrom};
use switchboard_protocol::refused::Refused;
use tokio::sync::oneshot;

use crate::metrics::CauseLabel;
use crate::publish::Publish;
use crate::shard::session::Session;
use crate::shard::subscribe::{Told, Wish, subscribe};
use crate::shard::{Local, Shard, marks};

/// Executes a command that came over the session's own attachment, and replies there.
pub(super) async fn run(
    local: &Local,
    slot: u32,
    generation: u32,
    asked: Result<Request, Refused>,
) {
    let Some(reply) = answer(local, slot, generation, asked, Answered::Here).await else {
        return;
    };
    say(local, slot, generation, reply);
}

fn say(local: &Local, slot: u32, generation: u32, reply: Reply) {
    let mut shard = local.borrow_mut();
    if shard
        .slots
        .find(slot, generation)
        .is_some_and(|session| session.closing_ms.is_none())
    {
        shard.send_frame(slot, &Frame::Reply(reply));
    }
}

/// Where a command's reply goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// To the session's attachment, before what it causes.
    Here,
    /// In a POST's response.
    Elsewhere,
}

/// Executes a command; gives the reply that is still to be sent, if any.
pub(super) async fn answer(
    local: &Local,
    slot: u32,
    generation: u32,
    asked: Result<Request, Refused>,
    answered: Answered,
) -> Option<Reply> {
    let id = match &asked {
        Ok(request) => request.id,
        Err(refused) => refused.id,
    };
    let admitted = local.borrow_mut().admit_command(slot, generation);
    let outcome = match (admitted, asked) {
        (Err(error), _) => Err(error),
        (Ok(()), Err(refused)) => Err(refused.error),
        (
            Ok(()),
            Ok(Request {
                command:
                    Command::Subscribe {
                        channel,
                        start,
                        token,
                    },
                ..
            }),
        ) => {
            let told = if answered == Answered::Here {
                Told::Reply(id)
            } else {
                Told::Frame
            };
            match start_subscription(local, slot, generation, channel, start, token, told).await {
                // The reply went out before the first message.
                Ok(_) if answered == Answered::Here => return None,
                outcome => outcome,
            }
        }
        (
            Ok(()),
            Ok(Request {
                command: Command::Ack { channel, offset },
                ..
            }),
        ) => {
            let taken = {
                let mut shard = local.borrow_mut();
                shard.acknowledge(slot, generation, &channel, offset, id.is_some())
            };
            match taken {
                // The engine has it already, or nobody waits for that.
                Ok(None) => Ok(Answer::Ack),
                // What comes next need not wait for the engine: so acknowledgements in a row are one write.
                Ok(Some((waits, false))) if answered == Answered::Here => {
                    let local = Rc::clone(local);
                    tokio::task::spawn_local(async move {
                        let outcome = marks::kept(waits).await;
                        if let Some(reply) = conclude(&local, slot, id, outcome) {
                            say(&local, slot, generation, reply);
                        }
                    });
                    return None;
                }
                Ok(Some((waits, _))) => marks::kept(waits).await,
                Err(error) => Err(error),
            }
        }
        (Ok(()), Ok(request)) => execute(local, slot, generation, request.command).await,
    };
    conclude(local, slot, id, outcome)
}

/// Counts a command that has come to its end, and gives its reply if it is to have one.
fn conclude(
    local: &Local,
    slot: u32,
    id: Option<u64>,
    outcome: Result<Answer, ClientError>,
) -> Option<Reply> {
    let shared = Arc::clone(&local.borrow().shared);
    shared.metrics.commands.inc();
    if let Err(error) = &outcome {
        shared
            .metrics
            .command_errors
            .get_or_create(&CauseLabel {
                cause: error.code.as_str(),
            })
            .inc();
        tracing::debug!(session.slot = slot, error = %error.code, "command refused");
    }
    id.map(|id| Reply { id, outcome })
}

impl Shard {
    /// Counts a command against the session's rate.
    fn admit_command(&mut self, slot: u32, generation: u32) -> Result<(), ClientError> {
        let now = self.now();
        let per_second = self.shared.limits.commands_per_second_max;
        let limit = RateLimit::per_second(per_second, self.shared.limits.command_burst_max);
        let session = self.live(slot, generation)?;
        session.rate.take(now, limit).map_err(|wait| {
            let message = format!("more than {per_second} commands a second");
            ClientError::new(ErrorCode::RateLimited, message)
                .retry_after(wait.max(Duration::from_millis(1)))
        })
    }

    /// A session that goes on: what was read before the close and not yet done is not done after it.
    fn live(&mut self, slot: u32, generation: u32) -> Result<&mut Session, ClientError> {
        let session = self.slots.find(slot, generation);
        session
            .filter(|session| !session.ended)
            .ok_or_else(|| ClientError::new(ErrorCode::Unavailable, "the session has ended"))
    }
}

fn denied(what: &str, channel: &ChannelName) -> ClientError {
    ClientError::new(
        ErrorCode::PermissionDenied,
        format!("the token does not grant `{what}` on {channel}"),
    )
}

async fn start_subscription(
    local: &Local,
    slot: u32,
    generation: u32,
    channel: ChannelName,
    start: Start,
    token: Option<String>,
    told: Told,
) -> Result<Answer, ClientError> {
    let pinned = match token {
        Some(token) => {
            granted_by(local, slot, generation, &channel, &token).await?;
            true
        }
        None => false,
    };
    let wish = Wish {
        channel,
        start,
        told,
        pinned,
    };
    // A recovery goes at the reader's pace, and whoever polls may read only when the POST has been answered.
    if told == Told::Frame || acknowledges(local, &wish.channel) {
        return until_told(local, slot, generation, wish).await;
    }
    subscribe(local, slot, generation, wish, None).await
}

/// Whether the channel's subscribers acknowledge: then they are listened to while they catch up, or a long catching up that
/// breaks off would begin anew where it began before.
pub(super) fn acknowledges(local: &Local, channel: &ChannelName) -> bool {
    let shard = local.borrow();
    let policy = shard.shared.policies.policy(channel);
    policy.is_some_and(|policy| policy.is_durable())
}

/// Subscribes a session; returns when the client has been told, and the rest goes on by itself.
pub(super) async fn until_told(
    local: &Local,
    slot: u32,
    generation: u32,
    wish: Wish,
) -> Result<Answer, ClientError> {
    let (opened, answer) = oneshot::channel();
    let local = Rc::clone(local);
    let mut subscribing =
        Box::pin(async move { subscribe(&local, slot, generation, wish, Some(opened)).await });
    tokio::select! {
        biased;
        result = &mut subscribing => result,
        Ok(answer) = answer => {
            tokio::task::spawn_local(subscribing);
            Ok(answer)
        }
    }
}

/// Checks a channel's own token: valid, of the same user, and granting the channel.
async fn granted_by(
    local: &Local,
    slot: u32,
    generation: u32,
    channel: &ChannelName,
    token: &str,
) -> Result<(), ClientError> {
    let identity = verify(local, slot, generation, token).await?;
    if identity.grants.may_subscribe(channel) {
        Ok(())
    } else {
        Err(denied("subscribe", channel))
    }
}

/// Verifies a token that a session brings: it must be of the session's own user.
async fn verify(
    local: &Local,
    slot: u32,
    generation: u32,
    token: &str,
) -> Result<Arc<Identity>, ClientError> {
    let (shared, own) = {
        let mut shard = local.borrow_mut();
        let shared = Arc::clone(&shard.shared);
        (shared, Arc::clone(&shard.live(slot, generation)?.identity))
    };
    let brought = shared
        .verifier
        .verify(token)
        .await
        .map_err(|e| ClientError::new(e.code, e.message))?;
    shared.check_revoked(&brought)?;
    if brought.user == own.user {
        return Ok(brought);
    }
    Err(ClientError::new(
        ErrorCode::PermissionDenied,
        "the token is of another user than the session",
    ))
}

/// Counts a command against what its user may ask for on all nodes together.
async fn count(local: &Local, slot: u32, generation: u32) -> Result<(), ClientError> {
    let (shared, user, client_ip) = {
        let mut shard = local.borrow_mut();
        let shared = Arc::clone(&shard.shared);
        let session = shard.live(slot, generation)?;
        (shared, session.identity.user.clone(), session.client_ip)
    };
    shared.count_command(user.as_ref(), client_ip).await
}

async fn execute(
    local: &Local,
    slot: u32,
    generation: u32,
    command: Command,
) -> Result<Answer, ClientError> {
    if let Command::Publish { .. } | Command::Presence { .. } | Command::History { .. } = command {
        count(local, slot, generation).await?;
    }
    let (shared, identity, session) = {
        let mut shard = local.borrow_mut();
        let shared = Arc::clone(&shard.shared);
        let session = shard.live(slot, generation)?;
        (shared, Arc::clone(&session.identity), session.id)
    };
    let grants = &identity.grants;
    match command {
        Command::Subscribe { .. } | Command::Ack { .. } => {
            unreachable!("subscriptions and acknowledgements have ways of their own")
        }
        Command::Unsubscribe { channel } => {
            let mut shard = local.borrow_mut();
            let at = shard.channels.find(&channel);
            if at.is_some_and(|at| shard.leave_channel(slot, at, Leaving::Now)) {
                return Ok(Answer::Unsubscribe);
            }
            Err(ClientError::new(
                ErrorCode::NotSubscribed,
                format!("not subscribed to {channel}"),
            ))
        }
        Command::Publish {
            channel,
            payload,
            id,
        } => {
            if !grants.may_publish(&channel) {
                return Err(denied("publish", &channel));
            }
            let publish = Publish {
                channel,
                payload,
                id,
                tags: Vec::new(),
                exclude: None,
                expected_position: None,
                skip_history: false,
            };
            let from = Origin {
                user: identity.user.clone(),
                session,
            };
            let published = shared.publish(publish, Some(from)).await?;
            Ok(Answer::Publish {
                position: published.position,
            })
        }
        Command::Presence {
            channel,
            limit,
            page,
        } => {
            if !grants.may_list_members(&channel) {
                return Err(denied("presence", &channel));
            }
            let page = shared.list_members(&channel, page, limit).await?;
            let (count, users) = (page.counts.members, page.counts.users);
            Ok(Answer::Presence {
                members: page.members,
                count,
                users,
                next_page: page.next,
            })
        }
        Command::History {
            channel,
            position,
            limit,
            reverse,
        } => {
            if !grants.may_read_history(&channel) {
                return Err(denied("history", &channel));
            }
            let from = match (position, reverse) {
                (Some(position), false) => ReadFrom::After(position),
                (None, false) => ReadFrom::Oldest,
                (Some(position), true) => ReadFrom::Before(position.offset),
                (None, true) => ReadFrom::Before(u64::MAX),
            };
            let history = shared.read_history(&channel, from, limit).await?;
            let foreign = position.is_some_and(|position| position.epoch != history.top.epoch);
            if !history.complete || foreign {
                let message = format!("history of {channel} does not reach back to that position");
                return Err(ClientError::new(ErrorCode::PositionUnavailable, message));
            }
            Ok(Answer::History {
                publications: history.publications,
                position: history.top,
            })
        }
        Command::Call { .. } => Err(ClientError::new(
            ErrorCode::NoService,
            "no service takes calls on this hub",
        )),
        Command::Refresh { token } => {
            let identity = verify(local, slot, generation, &token).await?;
            let expires_at_ms = identity.expires_at_ms;
            local.borrow_mut().refresh(slot, generation, identity);
            Ok(Answer::Refresh { expires_at_ms })
        }
        Command::Ping => Ok(Answer::Ping {
            time_ms: shared.clock.wall_ms(),
        }),
    }
}

impl Shard {
    /// Gives a session a new identity: its deadline moves, and what is no longer granted ends.
    fn refresh(&mut self, slot: u32, generation: u32, identity: Arc<Identity>) {
        let expires_ms = self.expiry(&identity);
        let Some(session) = self.slots.find(slot, generation) else {
            return;
        };
        let lost: Vec<u32> = session
            .subscriptions
            .iter()
            .filter(|s| !s.pinned)
            .map(|s| s.channel)
            .filter(|&at| {
                let channel = &self.channels[at];
                !channel.policy.public && !identity.grants.may_subscribe(&channel.name)
            })
            .collect();
        session.identity = identity;
        session.timers.expires_ms = expires_ms;
        session.timers.expiring_sent = false;
        for at in lost {
            let channel = self.channels[at].name.clone();
            self.leave_channel(slot, at, Leaving::Now);
            let reason = "the new token does not grant it".into();
            self.send_frame(
                slot,
                &Frame::Unsubscribed {
                    channel,
                    reason,
                    resubscribe: false,
                },
            );
        }
        self.look_at_timers(slot);
    }
}

/// Executes a POST's commands in order; parallel POSTs of a session wait for each other.
pub(super) async fn run_post(local: &Local, slot: u32, generation: u32, body: Bytes) -> Bytes {
    let gate = {
        let mut shard = local.borrow_mut();
        let Some(session) = shard.slots.find(slot, generation) else {
            return Bytes::new();
        };
        Rc::clone(session.gate.get_or_insert_with(Default::default))
    };
    let _one_at_a_time = gate.lock().await;
    let limits = local.borrow().shared.limits.clone();
    let mut replies = Vec::new();
    match switchboard_protocol::commands::split(&body, limits.commands_per_body_max) {
        Ok(lines) => {
            for line in lines {
                let asked = switchboard_protocol::json::decode_command(line, &limits);
                let anonymous = asked
                    .as_ref()
                    .err()
                    .is_some_and(|refused| refused.id.is_none());
                let error = asked.as_ref().err().map(|refused| refused.error.clone());
                match answer(local, slot, generation, asked, Answered::Elsewhere).await {
                    Some(reply) => replies.push(reply),
                    // Nobody awaits a reply without an id, but garbage in a POST's body is worth a word.
                    None if anonymous => replies.extend(error.map(|e| Reply {
                        id: 0,
                        outcome: Err(e),
                    })),
                    None => {}
                }
            }
        }
        Err(too_many) => {
            let error = ClientError::new(ErrorCode::LimitExceeded, too_many.to_string());
            replies.push(Reply {
                id: 0,
                outcome: Err(error),
            });
        }
    }
    switchboard_protocol::commands::join(replies).into()
}
