//! Sessions as services see them: who is connected, and what can be done to them. Each shard looks its own up.

use std::net::IpAddr;

use switchboard_core::{
    ChannelName, ClientError, Close, ErrorCode, Frame, Payload, SessionId, UserId,
};
use tokio::sync::oneshot;

use crate::Transport;
use crate::node::Node;
use crate::shard::mail::{Control, Mail};

/// Whom a service means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One session.
    Session(SessionId),
    /// All sessions of a user.
    User(UserId),
}

/// A live session.
#[derive(Clone, Debug)]
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
    /// The sessions, in the order of shard and slot.
    pub sessions: Vec<SessionInfo>,
    /// The session to go on after; nothing on the last page.
    pub next: Option<SessionId>,
}

impl Node {
    /// Lists live sessions of this node, page by page.
    pub async fn list_sessions(&self, after: Option<SessionId>, limit: usize) -> SessionListing {
        let mut sessions = Vec::new();
        let first = after.map_or(0, |session| session.shard);
        for shard in first..self.shards() {
            let slot = after
                .filter(|session| session.shard == shard)
                .map_or(0, |session| session.slot.saturating_add(1));
            let wanted = limit + 1 - sessions.len();
            let page = self
                .ask_shard(shard, |reply| Control::List {
                    from_slot: slot,
                    limit: wanted,
                    reply,
                })
                .await;
            sessions.extend(page.unwrap_or_default());
            if sessions.len() > limit {
                break;
            }
        }
        let more = sessions.len() > limit;
        sessions.truncate(limit);
        let next = sessions.last().filter(|_| more).map(|last| last.session);
        SessionListing { sessions, next }
    }

    /// Finds a user's live sessions on this node.
    pub async fn lookup_user(&self, user: &UserId) -> Vec<SessionInfo> {
        let found = self
            .ask_shards(|reply| Control::Lookup {
                user: user.clone(),
                reply,
            })
            .await;
        found.into_iter().flatten().collect()
    }

    /// Sends a message outside any channel to a session or to all of a user's. Gives the number of sessions it was handed to.
    ///
    /// # Errors
    /// `payload_too_large`, `not_found` for a session that is not here.
    pub async fn send(&self, target: Target, payload: Payload) -> Result<u64, ClientError> {
        let (size, max) = (payload.bytes().len(), self.limits().payload_bytes_max);
        if size > max {
            let message = format!("payload of {size} bytes: at most {max} are taken");
            return Err(ClientError::new(ErrorCode::PayloadTooLarge, message));
        }
        let time_ms = self.shared().clock.wall_ms();
        let broadcast = self.shared().broadcast(Frame::Direct { payload, time_ms });
        self.control(target, |target, reply| Control::Send {
            target,
            broadcast: broadcast.clone(),
            reply,
        })
        .await
    }

    /// Subscribes a session or all of a user's to a channel, whatever their tokens grant. Gives the number of
    /// sessions concerned; those that are subscribed already count.
    ///
    /// # Errors
    /// `unknown_namespace`, `not_found` for a session that is not here.
    pub async fn subscribe(
        &self,
        target: Target,
        channel: ChannelName,
    ) -> Result<u64, ClientError> {
        self.shared().policy(&channel)?;
        self.control(target, |target, reply| Control::Subscribe {
            target,
            channel: channel.clone(),
            reply,
        })
        .await
    }

    /// Ends a channel's subscription of a session or of all of a user's. Gives the number of sessions concerned.
    ///
    /// # Errors
    /// `not_found` for a session that is not here.
    pub async fn unsubscribe(
        &self,
        target: Target,
        channel: ChannelName,
        reason: Box<str>,
        resubscribe: bool,
    ) -> Result<u64, ClientError> {
        let control = |target, reply| Control::Unsubscribe {
            target,
            channel: channel.clone(),
            reason: reason.clone(),
            resubscribe,
            reply,
        };
        self.control(target, control).await
    }

    /// Ends a session or all of a user's. Gives the number of sessions ended.
    ///
    /// # Errors
    /// `not_found` for a session that is not here.
    pub async fn disconnect(&self, target: Target, close: Close) -> Result<u64, ClientError> {
        self.control(target, |target, reply| Control::Disconnect {
            target,
            close: close.clone(),
            reply,
        })
        .await
    }

    async fn control(
        &self,
        target: Target,
        control: impl Fn(Target, oneshot::Sender<u64>) -> Control,
    ) -> Result<u64, ClientError> {
        let Target::Session(session) = target else {
            return Ok(self
                .ask_shards(|reply| control(target.clone(), reply))
                .await
                .into_iter()
                .sum());
        };
        let count = if session.node == self.id() && session.shard < self.shards() {
            self.ask_shard(session.shard, |reply| {
                control(Target::Session(session), reply)
            })
            .await
            .unwrap_or(0)
        } else {
            0
        };
        if count == 0 {
            return Err(ClientError::new(
                ErrorCode::NotFound,
                format!("no session {session} on this node"),
            ));
        }
        Ok(count)
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
