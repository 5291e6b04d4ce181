//! What is written is read; what nobody wrote is refused.

use super::*;

fn session() -> SessionId {
    SessionId {
        node: NodeId(0x8f03_aa12),
        shard: 1,
        slot: 44,
        generation: 5,
    }
}

fn name() -> ChannelName {
    ChannelName::parse("chat:1").unwrap()
}

fn questions() -> Vec<Ask> {
    let act = |target, action| Ask::Act { target, action };
    let send = |payload| Action::Send {
        payload,
        time_ms: 7,
    };
    let mut close = Close::new(CloseCode(4250), "bye");
    close.reconnect_after_ms = Some(3);
    vec![
        Ask::Info,
        Ask::Sessions {
            after: None,
            limit: 3,
        },
        Ask::Sessions {
            after: Some(session()),
            limit: 0,
        },
        Ask::Lookup {
            user: "älice".into(),
        },
        act(
            Target::User("bob".into()),
            send(Payload::Json(Bytes::from_static(b"{}"))),
        ),
        act(
            Target::Session(session()),
            send(Payload::Binary(Bytes::from_static(&[0, 255]))),
        ),
        act(
            Target::User("bob".into()),
            Action::Subscribe { channel: name() },
        ),
        act(
            Target::User("bob".into()),
            Action::Unsubscribe {
                channel: name(),
                reason: "go".into(),
                resubscribe: true,
            },
        ),
        act(Target::User("bob".into()), Action::Disconnect { close }),
        Ask::Commands {
            key: "8f03aa12-1-2c-5.00".into(),
            body: Bytes::from_static(b"{\"ping\":{}}"),
        },
        Ask::Revoked,
    ]
}

fn answers() -> Vec<Answer> {
    let found = |user: Option<&str>, ip: Option<&str>| SessionInfo {
        session: session(),
        user: user.map(Into::into),
        transport: Transport::Sse,
        connected_ms: 9,
        client_ip: ip.map(|ip| ip.parse().unwrap()),
        channels: vec![name()],
    };
    vec![
        Answer::Info(NodeInfo {
            id: NodeId(5),
            version: "1".into(),
            started_ms: 2,
            sessions: 3,
            subscriptions: 4,
            channels: 5,
            draining: true,
        }),
        Answer::Sessions(vec![found(Some("alice"), Some("::1")), found(None, None)]),
        Answer::Count(0),
        Answer::Commands(Ok(Bytes::from_static(b"{}\n"))),
        Answer::Commands(Err(PollRefused::Gone)),
        Answer::Done,
    ]
}

#[test]
fn what_was_written_is_read() {
    for ask in questions() {
        let written = question(NodeId(9), 12, &ask);
        let read = read(written).unwrap();
        let (from, number) = (NodeId(9), 12);
        assert_eq!(read, Message::Question { from, number, ask });
    }
    for said in answers() {
        let read = read(answer(12, &said)).unwrap();
        assert_eq!(
            read,
            Message::Answer {
                number: 12,
                answer: said
            }
        );
    }
}

#[test]
fn no_bytes_make_it_panic() {
    let mut seed = 1_u64;
    for ask in questions() {
        let written = question(NodeId(9), 12, &ask);
        for _ in 0..5_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let mut changed = written.to_vec();
            let at = (seed >> 33) as usize % changed.len();
            changed[at] = (seed >> 25) as u8;
            let _ = read(changed.into());
        }
    }
    assert_eq!(read(Bytes::new()), Err(Unreadable));
}
