//! The values behind the lines of `clients/fixtures`, in the same order.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use switchboard_core::publication::Origin;
use switchboard_core::{
    Answer, ChannelName, ClientError, Close, CloseCode, Command, Epoch, ErrorCode, Frame,
    GapReason, Member, NodeId, Offer, Open, Payload, Position, Publication, Reply, Request,
    SessionId, Start,
};

pub(crate) fn commands() -> Vec<Request> {
    let json = |text: &'static str| Payload::Json(Bytes::from_static(text.as_bytes()));
    let subscribe = |start, token: Option<&str>| Command::Subscribe {
        channel: channel("chat:1"),
        start,
        token: token.map(str::to_owned),
    };
    let publish = |payload, id: Option<&str>| Command::Publish {
        channel: channel("chat:1"),
        payload,
        id: id.map(Box::from),
    };
    let presence = |limit, page: Option<&str>| Command::Presence {
        channel: channel("chat:1"),
        limit,
        page: page.map(Box::from),
    };
    let history = |position, limit, reverse| Command::History {
        channel: channel("chat:1"),
        position,
        limit,
        reverse,
    };
    let commands = [
        (Some(1), subscribe(Start::Live, None)),
        (Some(2), subscribe(Start::After(position(3)), None)),
        (Some(3), subscribe(Start::Rewind(10), Some("abc.def.ghi"))),
        (
            Some(4),
            Command::Unsubscribe {
                channel: channel("chat:1"),
            },
        ),
        (
            Some(5),
            publish(json(r#"{"text":"hi \"you\"\n","n":[1,2.50,null]}"#), None),
        ),
        (None, publish(json("null"), Some("once-1"))),
        (
            Some(6),
            publish(Payload::Binary(Bytes::from_static(&[0, 1, 255])), None),
        ),
        (Some(7), presence(None, None)),
        (Some(8), presence(Some(0), None)),
        (Some(9), presence(Some(50), Some("p2"))),
        (Some(10), history(None, None, false)),
        (Some(11), history(Some(position(3)), Some(20), true)),
        (
            Some(12),
            Command::Call {
                method: "quote".into(),
                payload: json(r#"{"symbol":"X"}"#),
            },
        ),
        (
            Some(13),
            Command::Call {
                method: "quote".into(),
                payload: json("null"),
            },
        ),
        (
            Some(14),
            Command::Ack {
                channel: channel("inbox:ann"),
                offset: 42,
            },
        ),
        (
            Some(15),
            Command::Refresh {
                token: "abc.def.ghi".to_owned(),
            },
        ),
        (Some(0), Command::Ping),
    ];
    commands
        .into_iter()
        .map(|(id, command)| Request { id, command })
        .collect()
}

pub(crate) fn frames() -> Vec<Frame> {
    let offer = |presence| Offer {
        recovery: true,
        presence,
        join_leave: false,
        durable: false,
    };
    let reply = |id, outcome| Frame::Reply(Reply { id, outcome });
    let anonymous = Open {
        user: None,
        expires_at_ms: None,
        key: None,
        ..open()
    };
    vec![
        Frame::Open(Box::new(open())),
        Frame::Open(Box::new(anonymous)),
        reply(
            1,
            Ok(Answer::Subscribe {
                position: position(3),
                recovered: true,
                offer: offer(true),
            }),
        ),
        reply(4, Ok(Answer::Unsubscribe)),
        reply(
            5,
            Ok(Answer::Publish {
                position: position(4),
            }),
        ),
        reply(
            7,
            Ok(Answer::Presence {
                members: vec![ann(), nobody()],
                count: 3,
                users: 2,
                next_page: Some("p2".into()),
            }),
        ),
        reply(
            8,
            Ok(Answer::Presence {
                members: vec![],
                count: 0,
                users: 0,
                next_page: None,
            }),
        ),
        reply(
            10,
            Ok(Answer::History {
                publications: vec![note(), binary()],
                position: position(5),
            }),
        ),
        reply(14, Ok(Answer::Ack)),
        reply(
            15,
            Ok(Answer::Refresh {
                expires_at_ms: Some(TIME + 60_000),
            }),
        ),
        reply(
            15,
            Ok(Answer::Refresh {
                expires_at_ms: None,
            }),
        ),
        reply(0, Ok(Answer::Ping { time_ms: TIME })),
        reply(
            2,
            Err(
                ClientError::new(ErrorCode::RateLimited, "too many commands")
                    .retry_after(Duration::from_millis(1500)),
            ),
        ),
        reply(
            3,
            Err(ClientError::new(
                ErrorCode::PermissionDenied,
                "no grant for \"chat:1\"",
            )),
        ),
        Frame::Message(note()),
        Frame::Message(binary()),
        Frame::Message(Arc::new(Publication {
            offset: 0,
            ..Publication::clone(&binary())
        })),
        Frame::Direct {
            payload: Payload::Json(Bytes::from_static(b"[1]")),
            time_ms: TIME,
        },
        Frame::Join(channel("chat:1"), ann()),
        Frame::Leave(channel("chat:1"), nobody()),
        Frame::Gap {
            channel: channel("chat:1"),
            position: position(9),
            reason: GapReason::Trimmed,
        },
        Frame::Subscribed {
            channel: channel("inbox:ann"),
            position: position(0),
            recovered: false,
            offer: Offer {
                durable: true,
                ..offer(false)
            },
        },
        Frame::Unsubscribed {
            channel: channel("chat:1"),
            reason: "left the \"hall\"\nby hand".into(),
            resubscribe: true,
        },
        Frame::Expiring {
            expires_at_ms: TIME + 60_000,
        },
        Frame::Draining {
            reconnect_after_ms: 2500,
        },
        Frame::Heartbeat { time_ms: TIME },
        Frame::Close(Close {
            reconnect_after_ms: Some(2500),
            ..Close::new(CloseCode::GOING_AWAY, "the node drains")
        }),
        Frame::Close(Close::new(
            CloseCode::DISCONNECTED,
            "disconnected by a service",
        )),
    ]
}

const TIME: u64 = 1_700_000_000_000;

pub(crate) fn note() -> Arc<Publication> {
    Arc::new(Publication {
        channel: channel("chat:1"),
        epoch: epoch(),
        offset: 4,
        payload: Payload::Json(Bytes::from_static(br#"{"text":"hi"}"#)),
        id: Some("once-1".into()),
        from: Some(Origin {
            user: Some("ann".into()),
            session: session(0x2c, 5),
        }),
        time_ms: TIME,
        tags: vec![
            ("kind".into(), "note".into()),
            ("a \"b\"".into(), "c\\d".into()),
        ],
        exclude: None,
    })
}

fn binary() -> Arc<Publication> {
    Arc::new(Publication {
        offset: 5,
        payload: Payload::Binary(Bytes::from_static(&[0, 1, 255])),
        id: None,
        from: None,
        tags: vec![],
        ..Publication::clone(&note())
    })
}

fn ann() -> Arc<Member> {
    let info = Some(Bytes::from_static(br#"{"name":"Ann"}"#));
    Arc::new(Member {
        session: session(0x2c, 5),
        user: Some("ann".into()),
        info,
        joined_ms: TIME,
    })
}

fn nobody() -> Arc<Member> {
    Arc::new(Member {
        session: session(0x2d, 1),
        user: None,
        info: None,
        joined_ms: TIME,
    })
}

fn open() -> Open {
    Open {
        session: session(0x2c, 5),
        user: Some("ann".into()),
        node: NodeId(0x8f03_aa12),
        time_ms: TIME,
        expires_at_ms: Some(TIME + 60_000),
        ping_interval_ms: 30_000,
        key: Some("k-1".into()),
        command_bytes_max: 65_536,
        subscriptions_max: 128,
    }
}

fn session(slot: u32, generation: u32) -> SessionId {
    SessionId {
        node: NodeId(0x8f03_aa12),
        shard: 1,
        slot,
        generation,
    }
}

fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).expect("a valid name")
}

fn epoch() -> Epoch {
    Epoch::parse("1z141z3").expect("a valid epoch")
}

fn position(offset: u64) -> Position {
    Position {
        epoch: epoch(),
        offset,
    }
}
