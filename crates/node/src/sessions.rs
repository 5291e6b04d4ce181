//! Sessions as services see them: who is connected, and what can be done to them, on whichever node they are.
//!
//! A session's id says where it is, so one session is one look-up on one node. A user's sessions may be anywhere: every node is
//! asked, and its shards have them by user.

use std::net::IpAddr;

use switchboard_core::{
    ChannelName, ClientError, Close, ErrorCode, Frame, NodeId, Payload, SessionId, UserId,
};
use tokio::sync::oneshot;

use crate::Transport;
use crate::node::{Node, NodeInfo};
use crate::peers::{Action, Answer, Ask, Silence, unreached};
use crate::shard::mail::{Control, Mail};
use crate::shared::engine_error;

/// Whom a service means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One session.
    Session(SessionId),
    /// All sessions of a user.
    User(UserId),
}

/// A live session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Its id.
    pub session: SessionId,
    /// Its user.
    pub user: Option<UserId>,
    /// How it is attached.
    pub transport: Transport,
    /// When it opened, milliseconds since 1970.
    pub connected_ms: u64,
    /// Where the client is.
    pub client_ip: Option<IpAddr>,
    /// Its subscriptions.
    pub channels: Vec<ChannelName>,
}

/// A page of sessions.
#[derive(Clone, Debug, Default)]
pub struct SessionListing {
    /// The sessions, in the order of node, shard and slot.
    pub sessions: Vec<SessionInfo>,
    /// The session to go on after; nothing on the last page.
    pub next: Option<SessionId>,
    /// Nodes that are alive by their lease, and did not say who is there.
    pub unreached: Vec<NodeId>,
}

/// What is known of all nodes.
#[derive(Clone, Debug)]
pub struct NodeListing {
    /// Those that answered, this one first.
    pub nodes: Vec<NodeInfo>,
    /// Those that are alive by their lease, and did not.
    pub unreached: Vec<NodeId>,
}

impl Node {
    /// Lists the nodes of the hub.
    ///
    /// # Errors
    /// `unavailable` when the engine cannot say who they are.
    pub async fn list_nodes(&self) -> Result<NodeListing, ClientError> {
        let others = self.ask_others(&Ask::Info).await?;
        let infos = others
            .answers
            .into_iter()
            .filter_map(|answer| match answer {
                Answer::Info(info) => Some(info),
                _ => None,
            });
        Ok(NodeListing {
            nodes: std::iter::once(self.info()).chain(infos).collect(),
            unreached: others.unreached,
        })
    }

    /// Lists live sessions, page by page, node after node.
    ///
    /// # Errors
    /// `unavailable` when the engine cannot say which nodes there are.
    pub async fn list_sessions(
        &self,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<SessionListing, ClientError> {
        let others = self.shared().engine.others().await.map_err(engine_error)?;
        let mut nodes: Vec<_> = others.into_iter().chain([self.id()]).collect();
        nodes.sort_unstable_by_key(|node| node.0);
        let mut listing = SessionListing::default();
        for node in nodes {
            let after = match after {
                Some(after) if after.node.0 > node.0 => continue,
                Some(after) if after.node == node => Some(after),
                _ => None,
            };
            // One more than fits tells that another page follows.
            let ask = Ask::Sessions {
                after,
                limit: limit + 1 - listing.sessions.len(),
            };
            match self.ask(node, ask).await {
                Ok(Answer::Sessions(sessions)) => listing.sessions.extend(sessions),
                Err(Silence::Gone) => {}
                Ok(_) | Err(Silence::Unreached | Silence::Engine(_)) => {
                    listing.unreached.push(node);
                }
            }
            if listing.sessions.len() > limit {
                break;
            }
        }
        let more = listing.sessions.len() > limit;
        listing.sessions.truncate(limit);
        let last = listing.sessions.last().filter(|_| more);
        listing.next = last.map(|last| last.session);
        Ok(listing)
    }

    /// Finds a user's live sessions on all nodes, all on one page.
    ///
    /// # Errors
    /// `unavailable` when the engine cannot say which nodes there are.
    pub async fn lookup_user(&self, user: &UserId) -> Result<SessionListing, ClientError> {
        let ask = Ask::Lookup { user: user.clone() };
        let (here, others) = tokio::join!(self.lookup_here(user), self.ask_others(&ask));
        let mut listing = SessionListing {
            sessions: here,
            ..SessionListing::default()
        };
        let others = others?;
        for answer in others.answers {
            if let Answer::Sessions(sessions) = answer {
                listing.sessions.extend(sessions);
            }
        }
        listing.unreached = others.unreached;
        Ok(listing)
    }

    /// Sends a message outside any channel to a session or to all of a user's. Gives the number of sessions it was handed to.
    ///
    /// # Errors
    /// `payload_too_large`, `not_found` for a session that is nowhere, `unavailable` when a node did not answer.
    pub async fn send(&self, target: Target, payload: Payload) -> Result<u64, ClientError> {
        let (size, max) = (payload.bytes().len(), self.limits().payload_bytes_max);
        if size > max {
            let message = format!("payload of {size} bytes: at most {max} are taken");
            return Err(ClientError::new(ErrorCode::PayloadTooLarge, message));
        }
        let time_ms = self.shared().clock.wall_ms();
        self.act(target, Action::Send { payload, time_ms }).await
    }

    /// Subscribes a session or all of a user's to a channel, whatever their tokens grant. Gives the number of
    /// sessions concerned; those that are subscribed already count.
    ///
    /// # Errors
    /// `unknown_namespace`, `not_found` for a session that is nowhere, `unavailable` when a node did not answer.
    pub async fn subscribe(
        &self,
        target: Target,
        channel: ChannelName,
    ) -> Result<u64, ClientError> {
        self.shared().policy(&channel)?;
        self.act(target, Action::Subscribe { channel }).await
    }

    /// Ends a channel's subscription of a session or of all of a user's. Gives the number of sessions concerned.
    ///
    /// # Errors
    /// `not_found` for a session that is nowhere, `unavailable` when a node did not answer.
    pub async fn unsubscribe(
        &self,
        target: Target,
        channel: ChannelName,
        reason: Box<str>,
        resubscribe: bool,
    ) -> Result<u64, ClientError> {
        let action = Action::Unsubscribe {
            channel,
            reason,
            resubscribe,
        };
        self.act(target, action).await
    }

    /// Ends a session or all of a user's. Gives the number of sessions ended.
    ///
    /// # Errors
    /// `not_found` for a session that is nowhere, `unavailable` when a node did not answer.
    pub async fn disconnect(&self, target: Target, close: Close) -> Result<u64, ClientError> {
        self.act(target, Action::Disconnect { close }).await
    }

    /// Does something with sessions where they are.
    async fn act(&self, target: Target, action: Action) -> Result<u64, ClientError> {
        let Target::Session(session) = target else {
            return self.act_on_user(target, action).await;
        };
        match self.ask(session.node, Ask::Act { target, action }).await {
            Ok(Answer::Count(count)) if count > 0 => Ok(count),
            Ok(_) | Err(Silence::Gone) => {
                let message = format!("no session {session}: it has ended, or never was");
                Err(ClientError::new(ErrorCode::NotFound, message))
            }
            Err(Silence::Unreached) => Err(unreached(&[session.node], "nothing is known of it")),
            Err(Silence::Engine(error)) => Err(engine_error(error)),
        }
    }

    async fn act_on_user(&self, target: Target, action: Action) -> Result<u64, ClientError> {
        let ask = Ask::Act {
            target: target.clone(),
            action: action.clone(),
        };
        let (here, others) = tokio::join!(self.act_here(target, action), self.ask_others(&ask));
        let others = others?;
        let counts = others.answers.iter().map(|answer| match answer {
            Answer::Count(count) => *count,
            _ => 0,
        });
        let count = here + counts.sum::<u64>();
        if others.unreached.is_empty() {
            Ok(count)
        } else {
            let done = format!("done for {count} sessions");
            Err(unreached(&others.unreached, &done))
        }
    }

    /// This node's part of [`Self::list_sessions`].
    pub(crate) async fn sessions_here(
        &self,
        after: Option<SessionId>,
        limit: usize,
    ) -> Vec<SessionInfo> {
        let mut sessions = Vec::new();
        let first = after.map_or(0, |session| session.shard);
        for shard in first..self.shards() {
            if sessions.len() >= limit {
                break;
            }
            let slot = after
                .filter(|session| session.shard == shard)
                .map_or(0, |session| session.slot.saturating_add(1));
            let limit = limit - sessions.len();
            let page = self
                .ask_shard(shard, |reply| Control::List {
                    from_slot: slot,
                    limit,
                    reply,
                })
                .await;
            sessions.extend(page.unwrap_or_default());
        }
        sessions
    }

    /// This node's part of [`Self::lookup_user`].
    pub(crate) async fn lookup_here(&self, user: &UserId) -> Vec<SessionInfo> {
        let found = self
            .ask_shards(|reply| Control::Lookup {
                user: user.clone(),
                reply,
            })
            .await;
        found.into_iter().flatten().collect()
    }

    /// Does something with sessions of this node. Gives how many there were.
    pub(crate) async fn act_here(&self, target: Target, action: Action) -> u64 {
        match action {
            Action::Send { payload, time_ms } => {
                let broadcast = self.shared().broadcast(Frame::Direct { payload, time_ms });
                self.control(target, |target, reply| Control::Send {
                    target,
                    broadcast: broadcast.clone(),
                    reply,
                })
                .await
            }
            Action::Subscribe { channel } => {
                self.control(target, |target, reply| Control::Subscribe {
                    target,
                    channel: channel.clone(),
                    reply,
                })
                .await
            }
            Action::Unsubscribe {
                channel,
                reason,
                resubscribe,
            } => {
                self.control(target, |target, reply| Control::Unsubscribe {
                    target,
                    channel: channel.clone(),
                    reason: reason.clone(),
                    resubscribe,
                    reply,
                })
                .await
            }
            Action::Disconnect { close } => {
                self.control(target, |target, reply| Control::Disconnect {
                    target,
                    close: close.clone(),
                    reply,
                })
                .await
            }
        }
    }

    async fn control(
        &self,
        target: Target,
        control: impl Fn(Target, oneshot::Sender<u64>) -> Control,
    ) -> u64 {
        match target {
            Target::User(_) => {
                let counts = self.ask_shards(|reply| control(target.clone(), reply));
                counts.await.into_iter().sum()
            }
            Target::Session(session)
                if session.node == self.id() && session.shard < self.shards() =>
            {
                let count = self.ask_shard(session.shard, |reply| control(target, reply));
                count.await.unwrap_or(0)
            }
            Target::Session(_) => 0,
        }
    }

    /// Asks one shard; nothing when it has stopped.
    pub(crate) async fn ask_shard<T>(
        &self,
        shard: u16,
        ask: impl FnOnce(oneshot::Sender<T>) -> Control,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.mailbox(shard).send(Mail::Control(ask(reply)));
        answer.await.ok()
    }

    /// Asks all shards at once; those that have stopped are left out.
    pub(crate) async fn ask_shards<T>(
        &self,
        ask: impl Fn(oneshot::Sender<T>) -> Control,
    ) -> Vec<T> {
        let mut answers = Vec::new();
        for shard in 0..self.shards() {
            let (reply, answer) = oneshot::channel();
            self.mailbox(shard).send(Mail::Control(ask(reply)));
            answers.push(answer);
        }
        let mut found = Vec::new();
        for answer in answers {
            found.extend(answer.await.ok());
        }
        found
    }
}
