//! The protobuf format, `switchboard.client.v1`: one `Command` or `Frame` a binary WebSocket message.
//!
//! An absent field and its default are the same here, as proto3 has it: an empty token is none. Unknown fields are
//! passed over, since a receiver cannot name them.

use bytes::Bytes;
use prost::Message as _;
use switchboard_core::{
    Answer, ClientError, Close, Command, Frame, Limits, Member, Offer, Open, Payload, Position,
    Publication, Reply, Request,
};
use switchboard_proto::client::v1 as proto;
use switchboard_proto::client::v1::command::Command as Asked;
use switchboard_proto::client::v1::frame::Kind;
use switchboard_proto::client::v1::reply::Result as Outcome;
use switchboard_proto::client::v1::subscribe::Start;

use crate::fields;
use crate::json::check_json;
use crate::refused::{Refused, bad_request};

/// Reads a command. The payload is checked, and copied out of `bytes`.
///
/// # Errors
/// `bad_request` or `payload_too_large`, with the command's id when it stands before what is wrong.
pub fn decode_command(bytes: &[u8], limits: &Limits) -> Result<Request, Refused> {
    fields::command_bytes(bytes.len(), limits).map_err(|error| Refused { id: None, error })?;
    let mut message = proto::Command::default();
    // Merging rather than decoding keeps what had been read when an error is met.
    if let Err(error) = message.merge(bytes) {
        return Err(Refused {
            id: message.id,
            error: bad_request(error.to_string()),
        });
    }
    let id = message.id;
    let asked = fields::needed(message.command, "no command that this hub knows");
    let command = asked
        .and_then(|asked| command(asked, limits))
        .map_err(|error| Refused { id, error })?;
    Ok(Request { id, command })
}

fn command(asked: Asked, limits: &Limits) -> Result<Command, ClientError> {
    Ok(match asked {
        Asked::Subscribe(subscribe) => {
            let (position, rewind) = match subscribe.start {
                None => (None, None),
                Some(Start::Position(position)) => (Some(read_position(&position)?), None),
                Some(Start::Rewind(count)) => (None, Some(count)),
            };
            Command::Subscribe {
                channel: fields::channel(&subscribe.channel)?,
                start: fields::start(position, rewind)?,
                token: fields::token(Some(&subscribe.token), limits)?,
            }
        }
        Asked::Unsubscribe(unsubscribe) => Command::Unsubscribe {
            channel: fields::channel(&unsubscribe.channel)?,
        },
        Asked::Publish(publish) => Command::Publish {
            channel: fields::channel(&publish.channel)?,
            payload: payload(&publish.data, publish.binary, limits)?,
            id: fields::publication_id(Some(&publish.id), limits)?,
        },
        Asked::Presence(presence) => Command::Presence {
            channel: fields::channel(&presence.channel)?,
            limit: presence.limit,
            page: fields::text(Some(&presence.page)).map(Box::from),
        },
        Asked::History(history) => Command::History {
            channel: fields::channel(&history.channel)?,
            position: history.position.as_ref().map(read_position).transpose()?,
            limit: history.limit,
            reverse: history.reverse,
        },
        Asked::Call(call) => Command::Call {
            payload: if call.data.is_empty() && !call.binary {
                Payload::Json(Bytes::from_static(b"null"))
            } else {
                payload(&call.data, call.binary, limits)?
            },
            method: fields::needed(fields::text(Some(&call.method)), "`call` needs a `method`")?
                .into(),
        },
        Asked::Ack(ack) => Command::Ack {
            channel: fields::channel(&ack.channel)?,
            offset: ack.offset,
        },
        Asked::Refresh(refresh) => Command::Refresh {
            token: fields::needed(
                fields::token(Some(&refresh.token), limits)?,
                "`refresh` needs a `token`",
            )?,
        },
        Asked::Ping(proto::Ping {}) => Command::Ping,
    })
}

fn read_position(position: &proto::Position) -> Result<Position, ClientError> {
    fields::position(&position.epoch, position.offset)
}

fn payload(data: &Bytes, binary: bool, limits: &Limits) -> Result<Payload, ClientError> {
    // Cut loose from the message it came in, which history would otherwise keep whole for a few bytes of it.
    let data = Bytes::copy_from_slice(data);
    let payload = if binary {
        Payload::Binary(data)
    } else {
        fields::json(check_json(&data))?
    };
    fields::payload(payload, limits)
}

/// Appends a frame.
pub fn encode(frame: &Frame, out: &mut Vec<u8>) {
    out.extend_from_slice(
        &proto::Frame {
            kind: Some(kind(frame)),
        }
        .encode_to_vec(),
    );
}

fn kind(frame: &Frame) -> Kind {
    match frame {
        Frame::Open(open) => Kind::Open(write_open(open)),
        Frame::Reply(reply) => Kind::Reply(write_reply(reply)),
        Frame::Message(publication) => Kind::Message(write_publication(publication)),
        Frame::Direct { payload, time_ms } => Kind::Message(proto::Message {
            data: payload.bytes().clone(),
            binary: matches!(payload, Payload::Binary(_)),
            time: signed(*time_ms),
            ..proto::Message::default()
        }),
        Frame::Join(channel, member) => Kind::Join(proto::Join {
            channel: channel.to_string(),
            member: Some(write_member(member)),
        }),
        Frame::Leave(channel, member) => Kind::Leave(proto::Leave {
            channel: channel.to_string(),
            member: Some(write_member(member)),
        }),
        Frame::Gap {
            channel,
            position,
            reason,
        } => Kind::Gap(proto::Gap {
            channel: channel.to_string(),
            position: Some(write_position(*position)),
            reason: reason.as_str().to_owned(),
        }),
        Frame::Subscribed {
            channel,
            position,
            recovered,
            offer,
        } => Kind::Subscribed(proto::Subscribed {
            channel: channel.to_string(),
            position: Some(write_position(*position)),
            recovered: *recovered,
            policy: Some(write_offer(*offer)),
        }),
        Frame::Unsubscribed {
            channel,
            reason,
            resubscribe,
        } => Kind::Unsubscribed(proto::Unsubscribed {
            channel: channel.to_string(),
            reason: reason.to_string(),
            resubscribe: *resubscribe,
        }),
        Frame::Expiring { expires_at_ms } => Kind::Expiring(proto::Expiring {
            expires_at: signed(*expires_at_ms),
        }),
        Frame::Draining { reconnect_after_ms } => Kind::Draining(proto::Draining {
            reconnect_after: *reconnect_after_ms,
        }),
        Frame::Heartbeat { time_ms } => Kind::Heartbeat(proto::Heartbeat {
            time: signed(*time_ms),
        }),
        Frame::Close(Close {
            code,
            reason,
            reconnect_after_ms,
        }) => Kind::Close(proto::Close {
            code: u32::from(code.0),
            reason: reason.to_string(),
            reconnect: code.reconnect(),
            reconnect_after: reconnect_after_ms.unwrap_or(0),
        }),
    }
}

fn write_open(open: &Open) -> proto::Open {
    proto::Open {
        session: open.session.to_string(),
        user: open.user.as_deref().unwrap_or_default().to_owned(),
        node: open.node.to_string(),
        time: signed(open.time_ms),
        expires_at: open.expires_at_ms.map_or(0, signed),
        ping_interval: open.ping_interval_ms,
        key: open.key.as_deref().unwrap_or_default().to_owned(),
        limits: Some(proto::Limits {
            command_bytes_max: open.command_bytes_max as u64,
            subscriptions_max: open.subscriptions_max as u64,
        }),
    }
}

fn write_reply(reply: &Reply) -> proto::Reply {
    let result = match &reply.outcome {
        Ok(answer) => write_answer(answer),
        Err(error) => Outcome::Error(proto::Error {
            code: error.code.as_str().to_owned(),
            message: error.message.to_string(),
            retryable: error.code.retryable(),
            retry_after: error.retry_after.map_or(0, |after| {
                u64::try_from(after.as_millis()).unwrap_or(u64::MAX)
            }),
        }),
    };
    proto::Reply {
        id: reply.id,
        result: Some(result),
    }
}

fn write_answer(answer: &Answer) -> Outcome {
    match answer {
        Answer::Subscribe {
            position,
            recovered,
            offer,
        } => Outcome::Subscribe(proto::SubscribeResult {
            position: Some(write_position(*position)),
            recovered: *recovered,
            policy: Some(write_offer(*offer)),
        }),
        Answer::Unsubscribe => Outcome::Unsubscribe(proto::UnsubscribeResult {}),
        Answer::Publish { position } => Outcome::Publish(proto::PublishResult {
            position: Some(write_position(*position)),
        }),
        Answer::Presence {
            members,
            count,
            users,
            next_page,
        } => Outcome::Presence(proto::PresenceResult {
            members: members.iter().map(|member| write_member(member)).collect(),
            count: *count,
            users: *users,
            next_page: next_page.as_deref().unwrap_or_default().to_owned(),
        }),
        Answer::History {
            publications,
            position,
        } => Outcome::History(proto::HistoryResult {
            publications: publications
                .iter()
                .map(|publication| write_publication(publication))
                .collect(),
            position: Some(write_position(*position)),
        }),
        Answer::Ack => Outcome::Ack(proto::AckResult {}),
        Answer::Refresh { expires_at_ms } => Outcome::Refresh(proto::RefreshResult {
            expires_at: expires_at_ms.map_or(0, signed),
        }),
        Answer::Ping { time_ms } => Outcome::Ping(proto::PingResult {
            time: signed(*time_ms),
        }),
    }
}

fn write_publication(publication: &Publication) -> proto::Message {
    proto::Message {
        channel: publication.channel.to_string(),
        offset: publication.offset,
        data: publication.payload.bytes().clone(),
        binary: matches!(publication.payload, Payload::Binary(_)),
        id: publication.id.as_deref().unwrap_or_default().to_owned(),
        from: publication.from.as_ref().map(|from| proto::Sender {
            user: from.user.as_deref().unwrap_or_default().to_owned(),
            session: from.session.to_string(),
        }),
        time: signed(publication.time_ms),
        tags: publication
            .tags
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect(),
    }
}

fn write_member(member: &Member) -> proto::Member {
    proto::Member {
        session: member.session.to_string(),
        user: member.user.as_deref().unwrap_or_default().to_owned(),
        info: member.info.clone().unwrap_or_default(),
    }
}

fn write_offer(offer: Offer) -> proto::Policy {
    let Offer {
        recovery,
        presence,
        join_leave,
        durable,
    } = offer;
    proto::Policy {
        recovery,
        presence,
        join_leave,
        durable,
    }
}

fn write_position(position: Position) -> proto::Position {
    proto::Position {
        epoch: position.epoch.to_string(),
        offset: position.offset,
    }
}

/// A time, which proto has signed.
fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}
