//! How questions and answers are written: protobuf, so that a node of one version understands what another's does not change.
//! Its messages stand here and in no file of the public contract. A field, once given a number, keeps it.

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use switchboard_core::{ChannelName, Close, CloseCode, NodeId, Payload, SessionId};

use super::{Action, Answer, Ask};
use crate::node::NodeInfo;
use crate::opening::Transport;
use crate::sessions::{SessionInfo, Target};
use crate::shard::poll::PollRefused;

/// A message that was read.
#[derive(Debug, PartialEq)]
pub(super) enum Message {
    Question { from: NodeId, number: u64, ask: Ask },
    Answer { number: u64, answer: Answer },
}

/// A message that this version does not understand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message that this version does not understand")]
pub(super) struct Unreadable;

/// Writes a question.
pub(super) fn question(from: NodeId, number: u64, ask: &Ask) -> Bytes {
    let body = match ask {
        Ask::Info => Body::Info(Empty {}),
        Ask::Sessions { after, limit } => Body::Sessions(AskSessions {
            after: after.map(Into::into),
            limit: *limit as u64,
        }),
        Ask::Lookup { user } => Body::Lookup(user.to_string()),
        Ask::Act { target, action } => Body::Act(AskAct {
            target: Some(match target {
                Target::Session(session) => WireTarget::Session((*session).into()),
                Target::User(user) => WireTarget::User(user.to_string()),
            }),
            action: Some(action.into()),
        }),
        Ask::Commands { key, body } => Body::Commands(AskCommands {
            key: key.to_string(),
            body: body.clone(),
        }),
        Ask::Revoked => Body::Revoked(Empty {}),
    };
    Envelope {
        from: from.0,
        number,
        body: Some(body),
    }
    .encode_to_vec()
    .into()
}

/// Writes an answer.
pub(super) fn answer(number: u64, answer: &Answer) -> Bytes {
    let body = match answer {
        Answer::Info(info) => Body::AnswerInfo(info.into()),
        Answer::Sessions(sessions) => Body::AnswerSessions(AnswerSessions {
            sessions: sessions.iter().map(Into::into).collect(),
        }),
        Answer::Count(count) => Body::AnswerCount(*count),
        Answer::Commands(Ok(replies)) => Body::AnswerReplies(replies.clone()),
        Answer::Commands(Err(PollRefused::Gone)) => Body::AnswerGone(Empty {}),
        Answer::Done => Body::AnswerDone(Empty {}),
    };
    Envelope {
        from: 0,
        number,
        body: Some(body),
    }
    .encode_to_vec()
    .into()
}

/// Reads a message.
pub(super) fn read(message: Bytes) -> Result<Message, Unreadable> {
    let Envelope { from, number, body } = Envelope::decode(message).map_err(|_| Unreadable)?;
    let ask = |ask| {
        Ok(Message::Question {
            from: NodeId(from),
            number,
            ask,
        })
    };
    let answer = |answer| Ok(Message::Answer { number, answer });
    match body.ok_or(Unreadable)? {
        Body::Info(_) => ask(Ask::Info),
        Body::Sessions(asked) => ask(Ask::Sessions {
            after: asked.after.map(TryInto::try_into).transpose()?,
            limit: usize::try_from(asked.limit).map_err(|_| Unreadable)?,
        }),
        Body::Lookup(user) => ask(Ask::Lookup { user: user.into() }),
        Body::Act(asked) => ask(Ask::Act {
            target: match asked.target.ok_or(Unreadable)? {
                WireTarget::Session(session) => Target::Session(session.try_into()?),
                WireTarget::User(user) => Target::User(user.into()),
            },
            action: asked.action.ok_or(Unreadable)?.try_into()?,
        }),
        Body::Commands(asked) => ask(Ask::Commands {
            key: asked.key.into(),
            body: asked.body,
        }),
        Body::Revoked(_) => ask(Ask::Revoked),
        Body::AnswerInfo(info) => answer(Answer::Info(info.into())),
        Body::AnswerSessions(found) => {
            let sessions = found.sessions.into_iter().map(TryInto::try_into);
            answer(Answer::Sessions(sessions.collect::<Result<_, _>>()?))
        }
        Body::AnswerCount(count) => answer(Answer::Count(count)),
        Body::AnswerReplies(replies) => answer(Answer::Commands(Ok(replies))),
        Body::AnswerGone(_) => answer(Answer::Commands(Err(PollRefused::Gone))),
        Body::AnswerDone(_) => answer(Answer::Done),
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct Envelope {
    /// Who asks: where the answer goes.
    #[prost(fixed32, tag = "1")]
    from: u32,
    /// The question's number at who asks.
    #[prost(uint64, tag = "2")]
    number: u64,
    #[prost(oneof = "Body", tags = "3, 4, 5, 6, 7, 8, 20, 21, 22, 23, 24, 25")]
    body: Option<Body>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Body {
    #[prost(message, tag = "3")]
    Info(Empty),
    #[prost(message, tag = "4")]
    Sessions(AskSessions),
    #[prost(string, tag = "5")]
    Lookup(String),
    #[prost(message, tag = "6")]
    Act(AskAct),
    #[prost(message, tag = "7")]
    Commands(AskCommands),
    #[prost(message, tag = "8")]
    Revoked(Empty),
    #[prost(message, tag = "20")]
    AnswerInfo(WireInfo),
    #[prost(message, tag = "21")]
    AnswerSessions(AnswerSessions),
    #[prost(uint64, tag = "22")]
    AnswerCount(u64),
    #[prost(bytes = "bytes", tag = "23")]
    AnswerReplies(Bytes),
    #[prost(message, tag = "24")]
    AnswerGone(Empty),
    #[prost(message, tag = "25")]
    AnswerDone(Empty),
}

#[derive(Clone, PartialEq, prost::Message)]
struct Empty {}

#[derive(Clone, PartialEq, prost::Message)]
struct AskSessions {
    #[prost(message, optional, tag = "1")]
    after: Option<WireSession>,
    #[prost(uint64, tag = "2")]
    limit: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AskAct {
    #[prost(oneof = "WireTarget", tags = "1, 2")]
    target: Option<WireTarget>,
    #[prost(oneof = "WireAction", tags = "3, 4, 5, 6, 7")]
    action: Option<WireAction>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum WireTarget {
    #[prost(message, tag = "1")]
    Session(WireSession),
    #[prost(string, tag = "2")]
    User(String),
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum WireAction {
    #[prost(message, tag = "3")]
    SendJson(WireSend),
    #[prost(message, tag = "4")]
    SendBinary(WireSend),
    #[prost(string, tag = "5")]
    Subscribe(String),
    #[prost(message, tag = "6")]
    Unsubscribe(WireUnsubscribe),
    #[prost(message, tag = "7")]
    Disconnect(WireClose),
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireSend {
    #[prost(bytes = "bytes", tag = "1")]
    payload: Bytes,
    #[prost(uint64, tag = "2")]
    time_ms: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireUnsubscribe {
    #[prost(string, tag = "1")]
    channel: String,
    #[prost(string, tag = "2")]
    reason: String,
    #[prost(bool, tag = "3")]
    resubscribe: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireClose {
    #[prost(uint32, tag = "1")]
    code: u32,
    #[prost(string, tag = "2")]
    reason: String,
    #[prost(uint64, optional, tag = "3")]
    reconnect_after_ms: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AskCommands {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(bytes = "bytes", tag = "2")]
    body: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireInfo {
    #[prost(fixed32, tag = "1")]
    id: u32,
    #[prost(string, tag = "2")]
    version: String,
    #[prost(uint64, tag = "3")]
    started_ms: u64,
    #[prost(uint64, tag = "4")]
    sessions: u64,
    #[prost(uint64, tag = "5")]
    subscriptions: u64,
    #[prost(uint64, tag = "6")]
    channels: u64,
    #[prost(bool, tag = "7")]
    draining: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AnswerSessions {
    #[prost(message, repeated, tag = "1")]
    sessions: Vec<WireFound>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireFound {
    #[prost(message, optional, tag = "1")]
    session: Option<WireSession>,
    #[prost(string, optional, tag = "2")]
    user: Option<String>,
    /// As [`Transport::as_str`] has it.
    #[prost(string, tag = "3")]
    transport: String,
    #[prost(uint64, tag = "4")]
    connected_ms: u64,
    #[prost(string, optional, tag = "5")]
    client_ip: Option<String>,
    #[prost(string, repeated, tag = "6")]
    channels: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct WireSession {
    #[prost(fixed32, tag = "1")]
    node: u32,
    #[prost(uint32, tag = "2")]
    shard: u32,
    #[prost(uint32, tag = "3")]
    slot: u32,
    #[prost(uint32, tag = "4")]
    generation: u32,
}

impl From<SessionId> for WireSession {
    fn from(id: SessionId) -> Self {
        Self {
            node: id.node.0,
            shard: id.shard.into(),
            slot: id.slot,
            generation: id.generation,
        }
    }
}

impl TryFrom<WireSession> for SessionId {
    type Error = Unreadable;

    fn try_from(id: WireSession) -> Result<Self, Unreadable> {
        Ok(Self {
            node: NodeId(id.node),
            shard: u16::try_from(id.shard).map_err(|_| Unreadable)?,
            slot: id.slot,
            generation: id.generation,
        })
    }
}

impl From<&Action> for WireAction {
    fn from(action: &Action) -> Self {
        match action {
            Action::Send { payload, time_ms } => {
                let send = |payload: &Bytes| WireSend {
                    payload: payload.clone(),
                    time_ms: *time_ms,
                };
                match payload {
                    Payload::Json(text) => Self::SendJson(send(text)),
                    Payload::Binary(bytes) => Self::SendBinary(send(bytes)),
                }
            }
            Action::Subscribe { channel } => Self::Subscribe(channel.to_string()),
            Action::Unsubscribe {
                channel,
                reason,
                resubscribe,
            } => Self::Unsubscribe(WireUnsubscribe {
                channel: channel.to_string(),
                reason: reason.to_string(),
                resubscribe: *resubscribe,
            }),
            Action::Disconnect { close } => Self::Disconnect(WireClose {
                code: close.code.0.into(),
                reason: close.reason.to_string(),
                reconnect_after_ms: close.reconnect_after_ms,
            }),
        }
    }
}

impl TryFrom<WireAction> for Action {
    type Error = Unreadable;

    fn try_from(action: WireAction) -> Result<Self, Unreadable> {
        Ok(match action {
            WireAction::SendJson(sent) => Self::Send {
                payload: Payload::Json(sent.payload),
                time_ms: sent.time_ms,
            },
            WireAction::SendBinary(sent) => Self::Send {
                payload: Payload::Binary(sent.payload),
                time_ms: sent.time_ms,
            },
            WireAction::Subscribe(name) => Self::Subscribe {
                channel: channel(&name)?,
            },
            WireAction::Unsubscribe(asked) => Self::Unsubscribe {
                channel: channel(&asked.channel)?,
                reason: asked.reason.into(),
                resubscribe: asked.resubscribe,
            },
            WireAction::Disconnect(asked) => {
                let code = u16::try_from(asked.code).map_err(|_| Unreadable)?;
                let mut close = Close::new(CloseCode(code), asked.reason);
                close.reconnect_after_ms = asked.reconnect_after_ms;
                Self::Disconnect { close }
            }
        })
    }
}

impl From<&NodeInfo> for WireInfo {
    fn from(info: &NodeInfo) -> Self {
        Self {
            id: info.id.0,
            version: info.version.to_string(),
            started_ms: info.started_ms,
            sessions: info.sessions,
            subscriptions: info.subscriptions,
            channels: info.channels,
            draining: info.draining,
        }
    }
}

impl From<WireInfo> for NodeInfo {
    fn from(info: WireInfo) -> Self {
        Self {
            id: NodeId(info.id),
            version: info.version.into(),
            started_ms: info.started_ms,
            sessions: info.sessions,
            subscriptions: info.subscriptions,
            channels: info.channels,
            draining: info.draining,
        }
    }
}

impl From<&SessionInfo> for WireFound {
    fn from(info: &SessionInfo) -> Self {
        Self {
            session: Some(info.session.into()),
            user: info.user.as_deref().map(str::to_owned),
            transport: info.transport.as_str().to_owned(),
            connected_ms: info.connected_ms,
            client_ip: info.client_ip.map(|ip| ip.to_string()),
            channels: info.channels.iter().map(ToString::to_string).collect(),
        }
    }
}

impl TryFrom<WireFound> for SessionInfo {
    type Error = Unreadable;

    fn try_from(found: WireFound) -> Result<Self, Unreadable> {
        let ip = |text: String| text.parse::<IpAddr>().map_err(|_| Unreadable);
        let channels = found.channels.iter().map(|name| channel(name));
        let transport = [Transport::WebSocket, Transport::Sse, Transport::Poll]
            .into_iter()
            .find(|transport| transport.as_str() == found.transport);
        Ok(Self {
            session: found.session.ok_or(Unreadable)?.try_into()?,
            user: found.user.map(Arc::from),
            transport: transport.ok_or(Unreadable)?,
            connected_ms: found.connected_ms,
            client_ip: found.client_ip.map(ip).transpose()?,
            channels: channels.collect::<Result<_, _>>()?,
        })
    }
}

fn channel(name: &str) -> Result<ChannelName, Unreadable> {
    ChannelName::parse(name).map_err(|_| Unreadable)
}
