//! Frames in JSON: `{"message":{"channel":"chat:1","offset":4,"data":"hi","time":1700000000000}}`.
//!
//! One object with one key, the frame's kind. Fields that do not apply are left out. Never a raw line break.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use switchboard_core::{
    Answer, ClientError, Close, Frame, Member, Offer, Open, Payload, Position, Publication, Reply,
};

use super::object::{Object, array};

/// Appends a frame.
pub fn encode(frame: &Frame, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(kind(frame).as_bytes());
    out.extend_from_slice(b"\":");
    encode_inner(frame, out);
    out.push(b'}');
}

/// A frame's kind: its one key in JSON, the type of its event on an event stream.
pub fn kind(frame: &Frame) -> &'static str {
    match frame {
        Frame::Open(_) => "open",
        Frame::Reply(_) => "reply",
        Frame::Message(_) | Frame::Direct { .. } => "message",
        Frame::Join(..) => "join",
        Frame::Leave(..) => "leave",
        Frame::Gap { .. } => "gap",
        Frame::Subscribed { .. } => "subscribed",
        Frame::Unsubscribed { .. } => "unsubscribed",
        Frame::Expiring { .. } => "expiring",
        Frame::Draining { .. } => "draining",
        Frame::Heartbeat { .. } => "heartbeat",
        Frame::Close(_) => "close",
    }
}

/// Appends the object under a frame's kind, and gives the [`kind`].
pub fn encode_inner(frame: &Frame, out: &mut Vec<u8>) -> &'static str {
    match frame {
        Frame::Open(open) => write_open(open, out),
        Frame::Reply(reply) => write_reply(reply, out),
        Frame::Message(publication) => write_publication(publication, out),
        frame => write_short(frame, out),
    }
    kind(frame)
}

/// Writes the kinds of a few fields.
fn write_short(frame: &Frame, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    match frame {
        Frame::Direct { payload, time_ms } => {
            write_payload(payload, &mut object);
            object.number("time", *time_ms);
        }
        Frame::Join(channel, member) | Frame::Leave(channel, member) => {
            object.plain("channel", channel);
            write_member(member, object.field("member"));
        }
        Frame::Gap {
            channel,
            position,
            reason,
        } => {
            object.plain("channel", channel);
            write_position(*position, object.field("position"));
            object.plain("reason", reason.as_str());
        }
        Frame::Subscribed {
            channel,
            position,
            recovered,
            offer,
        } => {
            object.plain("channel", channel);
            write_start(&mut object, *position, *recovered, *offer);
        }
        Frame::Unsubscribed {
            channel,
            reason,
            resubscribe,
        } => {
            object.plain("channel", channel);
            object.string("reason", reason);
            object.boolean("resubscribe", *resubscribe);
        }
        Frame::Expiring { expires_at_ms } => object.number("expires_at", *expires_at_ms),
        Frame::Draining { reconnect_after_ms } => {
            object.number("reconnect_after", *reconnect_after_ms);
        }
        Frame::Heartbeat { time_ms } => object.number("time", *time_ms),
        Frame::Close(Close {
            code,
            reason,
            reconnect_after_ms,
        }) => {
            object.number("code", u64::from(code.0));
            object.string("reason", reason);
            object.boolean("reconnect", code.reconnect());
            if let Some(after) = reconnect_after_ms {
                object.number("reconnect_after", *after);
            }
        }
        Frame::Open(_) | Frame::Reply(_) | Frame::Message(_) => {
            unreachable!("has a function of its own")
        }
    }
    object.close();
}

fn write_open(open: &Open, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    object.plain("session", open.session);
    if let Some(user) = &open.user {
        object.string("user", user);
    }
    object.plain("node", open.node);
    object.number("time", open.time_ms);
    if let Some(expires_at) = open.expires_at_ms {
        object.number("expires_at", expires_at);
    }
    object.number("ping_interval", open.ping_interval_ms);
    if let Some(key) = &open.key {
        object.string("key", key);
    }
    let mut limits = Object::open(object.field("limits"));
    limits.number("command_bytes_max", open.command_bytes_max as u64);
    limits.number("subscriptions_max", open.subscriptions_max as u64);
    limits.close();
    object.close();
}

fn write_reply(reply: &Reply, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    object.number("id", reply.id);
    match &reply.outcome {
        Ok(answer) => {
            let mut result = Object::open(object.field(command_name(answer)));
            write_answer(answer, &mut result);
            result.close();
        }
        Err(error) => write_error(error, object.field("error")),
    }
    object.close();
}

/// The command that an answer is of.
fn command_name(answer: &Answer) -> &'static str {
    match answer {
        Answer::Subscribe { .. } => "subscribe",
        Answer::Unsubscribe => "unsubscribe",
        Answer::Publish { .. } => "publish",
        Answer::Presence { .. } => "presence",
        Answer::History { .. } => "history",
        Answer::Ack => "ack",
        Answer::Refresh { .. } => "refresh",
        Answer::Ping { .. } => "ping",
    }
}

fn write_answer(answer: &Answer, object: &mut Object<'_>) {
    match answer {
        Answer::Subscribe {
            position,
            recovered,
            offer,
        } => write_start(object, *position, *recovered, *offer),
        Answer::Unsubscribe | Answer::Ack => {}
        Answer::Publish { position } => write_position(*position, object.field("position")),
        Answer::Presence {
            members,
            count,
            users,
            next_page,
        } => {
            array(members, object.field("members"), |member, out| {
                write_member(member, out);
            });
            object.number("count", *count);
            object.number("users", *users);
            if let Some(page) = next_page {
                object.string("next_page", page);
            }
        }
        Answer::History {
            publications,
            position,
        } => {
            array(
                publications,
                object.field("publications"),
                |publication, out| write_publication(publication, out),
            );
            write_position(*position, object.field("position"));
        }
        Answer::Refresh { expires_at_ms } => {
            if let Some(expires_at) = expires_at_ms {
                object.number("expires_at", *expires_at);
            }
        }
        Answer::Ping { time_ms } => object.number("time", *time_ms),
    }
}

fn write_error(error: &ClientError, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    object.plain("code", error.code);
    object.string("message", &error.message);
    object.boolean("retryable", error.code.retryable());
    if let Some(after) = error.retry_after {
        object.number(
            "retry_after",
            u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
        );
    }
    object.close();
}

fn write_publication(publication: &Publication, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    object.plain("channel", &publication.channel);
    if publication.offset > 0 {
        object.number("offset", publication.offset);
    }
    write_payload(&publication.payload, &mut object);
    if let Some(id) = &publication.id {
        object.string("id", id);
    }
    if let Some(from) = &publication.from {
        let mut sender = Object::open(object.field("from"));
        if let Some(user) = &from.user {
            sender.string("user", user);
        }
        sender.plain("session", from.session);
        sender.close();
    }
    object.number("time", publication.time_ms);
    if !publication.tags.is_empty() {
        let mut tags = Object::open(object.field("tags"));
        for (name, value) in &publication.tags {
            tags.foreign(name, value);
        }
        tags.close();
    }
    object.close();
}

fn write_payload(payload: &Payload, object: &mut Object<'_>) {
    match payload {
        Payload::Json(json) => object.json("data", json),
        Payload::Binary(bytes) => {
            object.plain("data", STANDARD.encode(bytes));
            object.boolean("binary", true);
        }
    }
}

fn write_member(member: &Member, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    object.plain("session", member.session);
    if let Some(user) = &member.user {
        object.string("user", user);
    }
    if let Some(info) = &member.info {
        object.json("info", info);
    }
    object.close();
}

fn write_start(object: &mut Object<'_>, position: Position, recovered: bool, offer: Offer) {
    write_position(position, object.field("position"));
    object.boolean("recovered", recovered);
    let mut policy = Object::open(object.field("policy"));
    policy.boolean("recovery", offer.recovery);
    policy.boolean("presence", offer.presence);
    policy.boolean("join_leave", offer.join_leave);
    if offer.durable {
        policy.boolean("durable", true);
    }
    policy.close();
}

fn write_position(position: Position, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    object.plain("epoch", position.epoch);
    object.number("offset", position.offset);
    object.close();
}
