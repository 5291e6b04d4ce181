//! The golden frames and commands that hub and clients of all languages read.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use serde_json::value::RawValue;

use crate::commands::{self, body, command};
use crate::events::{Event, GapReason, Message, Position, Sender};
use crate::frames::{Frame, InChannel};
use crate::{Error, Payload};

fn lines(name: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fixtures")
        .join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn frames() -> Vec<(String, Frame)> {
    let read = |line: String| {
        let frame = Frame::read(&line).unwrap_or_else(|loss| panic!("{line}: {loss:?}"));
        let object: Value = serde_json::from_str(&line).unwrap();
        let kind = object.as_object().unwrap().keys().next().unwrap().clone();
        (kind, frame)
    };
    lines("frames.jsonl").into_iter().map(read).collect()
}

fn kind(frame: &Frame) -> &'static str {
    let kinds = [
        ("open", frame.open.is_some()),
        ("reply", frame.reply.is_some()),
        ("message", frame.message.is_some()),
        ("join", frame.join.is_some()),
        ("leave", frame.leave.is_some()),
        ("gap", frame.gap.is_some()),
        ("subscribed", frame.subscribed.is_some()),
        ("unsubscribed", frame.unsubscribed.is_some()),
        ("expiring", frame.expiring.is_some()),
        ("draining", frame.draining.is_some()),
        ("heartbeat", frame.heartbeat.is_some()),
        ("close", frame.close.is_some()),
    ];
    let set: Vec<_> = kinds.iter().filter(|(_, is_set)| *is_set).collect();
    assert_eq!(set.len(), 1, "{frame:?}");
    set[0].0
}

fn golden_message() -> Message {
    let tags = [("kind", "note"), (r#"a "b""#, r"c\d")];
    Message {
        channel: Some("chat:1".to_owned()),
        offset: Some(4),
        data: Payload::json(&serde_json::json!({"text": "hi"})).unwrap(),
        id: Some("once-1".to_owned()),
        from: Some(Sender {
            user: Some("ann".to_owned()),
            session: "8f03aa12-1-2c-5".to_owned(),
        }),
        time: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        tags: tags
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
    }
}

fn at(offset: u64) -> Position {
    Position {
        epoch: "1z141z3".to_owned(),
        offset,
    }
}

#[test]
fn every_golden_frame_is_read_as_its_kind() {
    let mut kinds = BTreeSet::new();
    for (wanted, frame) in frames() {
        assert_eq!(kind(&frame), wanted);
        kinds.insert(wanted);
    }
    assert_eq!(kinds.len(), 12, "{kinds:?}");
}

#[test]
fn golden_messages_carry_what_they_say() {
    let messages: Vec<_> = frames()
        .into_iter()
        .filter_map(|(_, frame)| frame.message)
        .collect();
    assert_eq!(messages[0], golden_message());
    assert_eq!(messages[1].data, Payload::binary(vec![0, 1, 255]));
    assert_eq!(
        messages[1].decode::<Value>().unwrap_err().code(),
        "unreadable"
    );
    assert_eq!(
        (messages[2].offset, messages[3].channel.as_deref()),
        (None, None)
    );
    assert_eq!(messages[3].decode::<Vec<u8>>().unwrap(), [1]);
}

#[test]
fn golden_frames_of_a_session_carry_what_they_say() {
    for (_, frame) in frames() {
        if let Some(open) = frame.open {
            assert_eq!(open.id, "8f03aa12-1-2c-5");
            assert_eq!(open.expires_at.is_some(), open.user.is_some());
            assert_eq!(open.limits.command_bytes_max, 65536);
        }
        if let Some(InChannel { channel, what }) = frame.gap {
            let reason = GapReason::Trimmed;
            assert_eq!(
                (channel.as_str(), what.position, what.reason),
                ("chat:1", at(9), reason)
            );
        }
        if let Some(InChannel { channel, what }) = frame.subscribed {
            assert!(what.policy.durable && !what.recovered && channel == "inbox:ann");
        }
        if let Some(told) = frame.unsubscribed {
            assert!(told.resubscribe && told.reason == "left the \"hall\"\nby hand");
        }
        if let Some(told) = frame.draining {
            assert_eq!(told.reconnect_after, Some(Duration::from_millis(2500)));
        }
        if let Some(told) = frame.close {
            let after = told.reconnect.then_some(Duration::from_millis(2500));
            assert_eq!(
                (told.reconnect_after, told.code == 1001),
                (after, told.reconnect)
            );
        }
        if let Some(joined) = frame.join {
            assert_eq!(joined.member.info.unwrap().get(), r#"{"name":"Ann"}"#);
        }
    }
}

#[test]
fn golden_replies_carry_what_they_say() {
    let replies: Vec<_> = frames()
        .into_iter()
        .filter_map(|(_, frame)| frame.reply)
        .collect();
    assert_eq!(replies.len(), 12);
    for reply in replies {
        match reply.id {
            1 => assert!(reply.subscribe.unwrap().recovered),
            2 => {
                let error = Error::from(reply.error.unwrap());
                assert_eq!((error.code(), error.is_retryable()), ("rate_limited", true));
                assert_eq!(error.retry_after(), Some(Duration::from_millis(1500)));
            }
            3 => assert!(!Error::from(reply.error.unwrap()).is_retryable()),
            5 => assert_eq!(reply.publish.unwrap().position, at(4)),
            7 => {
                let page = reply.presence.unwrap();
                assert_eq!((page.count, page.users, page.members.len()), (3, 2, 2));
                assert_eq!(page.next_page.as_deref(), Some("p2"));
                assert_eq!(page.members[1].user, None);
            }
            10 => {
                let page = reply.history.unwrap();
                assert_eq!(page.publications[0], golden_message());
                assert_eq!((page.publications.len(), page.position), (2, at(5)));
            }
            15 => assert!(reply.refresh.is_some()),
            0 => assert!(reply.ping.is_some()),
            _ => assert!(reply.error.is_none()),
        }
    }
}

#[test]
fn a_typed_event_carries_what_the_message_does() {
    let typed =
        Event::Message(golden_message()).typed::<std::collections::BTreeMap<String, String>>();
    let Ok(Event::Message(message)) = typed else {
        panic!("{typed:?}");
    };
    assert_eq!(
        (message.data["text"].as_str(), message.offset),
        ("hi", Some(4))
    );
    let wrong = Event::Message(golden_message()).typed::<u64>();
    assert_eq!(wrong.unwrap_err().code(), "unreadable");
}

#[test]
fn commands_are_written_as_the_hub_reads_them() {
    let written = written();
    let lines = lines("commands.jsonl");
    assert_eq!(lines.len(), written.len());
    for (line, text) in lines.iter().zip(written) {
        // A publish without a number, which this client never sends.
        if !text.is_empty() {
            assert_eq!(*line, text);
        }
    }
}

fn written() -> Vec<String> {
    let channel = "chat:1";
    let subscribe = |position: Option<Position>, rewind, token: Option<&str>| commands::Subscribe {
        channel: channel.to_owned(),
        position,
        rewind,
        token: token.map(str::to_owned),
    };
    let publish = |payload: &Payload| {
        body(&commands::Publish {
            channel,
            payload: payload.into(),
            id: None,
        })
    };
    let presence = |limit, page| {
        body(&commands::Presence {
            channel,
            limit,
            page,
        })
    };
    let history = |position, limit, reverse| {
        body(&commands::History {
            channel,
            position,
            limit,
            reverse,
        })
    };
    let call = |payload: Option<&Payload>| {
        body(&commands::Call {
            method: "quote",
            payload: payload.map(Into::into),
        })
    };
    let raw = r#"{"text":"hi \"you\"\n","n":[1,2.50,null]}"#;
    let raw = Payload::Json(RawValue::from_string(raw.to_owned()).unwrap());
    let symbol = Payload::json(&serde_json::json!({"symbol": "X"})).unwrap();
    let place = at(3);
    let ack = commands::Ack {
        channel: "inbox:ann",
        offset: 42,
    };
    vec![
        command(1, "subscribe", &body(&subscribe(None, None, None))),
        command(2, "subscribe", &body(&subscribe(Some(at(3)), None, None))),
        command(
            3,
            "subscribe",
            &body(&subscribe(None, Some(10), Some("abc.def.ghi"))),
        ),
        command(4, "unsubscribe", &body(&commands::Unsubscribe { channel })),
        command(5, "publish", &publish(&raw)),
        String::new(),
        command(6, "publish", &publish(&Payload::binary(vec![0, 1, 255]))),
        command(7, "presence", &presence(None, None)),
        command(8, "presence", &presence(Some(0), None)),
        command(9, "presence", &presence(Some(50), Some("p2"))),
        command(10, "history", &history(None, None, false)),
        command(11, "history", &history(Some(&place), Some(20), true)),
        command(12, "call", &call(Some(&symbol))),
        command(13, "call", &call(None)),
        command(14, "ack", &body(&ack)),
        command(
            15,
            "refresh",
            &body(&commands::Refresh {
                token: "abc.def.ghi",
            }),
        ),
        command(0, "ping", &body(&commands::Ping {})),
    ]
}

#[test]
fn a_publish_carries_its_id_after_its_data() {
    let asked = commands::Publish {
        channel: "a",
        payload: (&Payload::json(&()).unwrap()).into(),
        id: Some("once"),
    };
    let wanted = r#"{"id":7,"publish":{"channel":"a","data":null,"id":"once"}}"#;
    assert_eq!(command(7, "publish", &body(&asked)), wanted);
    let no_json = std::collections::HashMap::from([(vec![1], 2)]);
    assert_eq!(Payload::json(&no_json).unwrap_err().code(), "bad_request");
}

#[test]
fn what_is_not_known_is_passed_over_and_what_is_no_frame_is_refused() {
    assert_eq!(
        Frame::read(r#"{"confetti":{"colour":"red"}}"#),
        Ok(Frame::default())
    );
    let bad = r#"{"message":{"data":"?","binary":true,"time":0}}"#;
    for text in ["", "7", "[1]", r#"{"open":7}"#, bad] {
        assert!(Frame::read(text).is_err(), "{text:?} is no frame");
    }
}
