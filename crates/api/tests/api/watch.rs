//! WatchPresence and Subscribe.

use switchboard_core::{NodeId, SessionId};
use switchboard_engine::{JoinRequest, Leaving};
use switchboard_proto::api::v1;
use switchboard_proto::api::v1::channel_service_client::ChannelServiceClient;
use switchboard_proto::api::v1::presence_service_client::PresenceServiceClient;
use switchboard_proto::api::v1::publish_service_client::PublishServiceClient;
use switchboard_proto::api::v1::subscribe_request::Start;
use switchboard_proto::api::v1::subscribe_response::Push;
use switchboard_proto::api::v1::watch_presence_response::Change;
use tonic::{Code, Streaming};

use crate::fixture::{ALL, Hub, READER, assert_refused, channel, item, next, request};

fn session(slot: u32) -> SessionId {
    SessionId {
        node: NodeId(1),
        shard: 0,
        slot,
        generation: 0,
    }
}

async fn join(hub: &Hub, slot: u32) {
    let user = Some(format!("user-{slot}").into());
    let join = JoinRequest {
        channel: channel("chat:1"),
        session: session(slot),
        user,
        info: None,
        members_max: None,
    };
    hub.node.engine().join(join).await.unwrap();
}

async fn leave(hub: &Hub, slot: u32) {
    hub.node
        .engine()
        .leave(&channel("chat:1"), session(slot), Leaving::Now)
        .await
        .unwrap();
}

async fn watch(
    hub: &Hub,
    resume: Option<v1::PresencePosition>,
) -> Streaming<v1::WatchPresenceResponse> {
    let mut client = PresenceServiceClient::new(hub.client(READER).await);
    let watch = v1::WatchPresenceRequest {
        channel: "chat:1".to_owned(),
        resume,
    };
    client.watch_presence(watch).await.unwrap().into_inner()
}

async fn change(stream: &mut Streaming<v1::WatchPresenceResponse>) -> Change {
    next(stream)
        .await
        .unwrap()
        .expect("a change")
        .change
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_who_is_there_and_then_every_change_numbered() {
    let hub = Hub::start().await;
    join(&hub, 1).await;
    join(&hub, 2).await;
    let mut stream = watch(&hub, None).await;
    let Change::Snapshot(snapshot) = change(&mut stream).await else {
        panic!("the snapshot comes first")
    };
    let mut users: Vec<_> = snapshot
        .members
        .iter()
        .map(|member| member.user.as_str())
        .collect();
    users.sort_unstable();
    assert_eq!((users, snapshot.complete), (vec!["user-1", "user-2"], true));

    join(&hub, 3).await;
    leave(&hub, 1).await;
    let Change::Join(joined) = change(&mut stream).await else {
        panic!("a join")
    };
    assert_eq!(
        (joined.member.unwrap().user.as_str(), joined.sequence),
        ("user-3", snapshot.sequence + 1)
    );
    let Change::Leave(left) = change(&mut stream).await else {
        panic!("a leave")
    };
    assert_eq!(
        (left.member.unwrap().session, left.sequence),
        (session(1).to_string(), snapshot.sequence + 2)
    );

    // Nothing has changed since: no snapshot, the next change is the first thing said.
    let resume = Some(v1::PresencePosition {
        epoch: snapshot.epoch.clone(),
        sequence: left.sequence,
    });
    let mut resumed = watch(&hub, resume).await;
    join(&hub, 4).await;
    let Change::Join(joined) = change(&mut resumed).await else {
        panic!("a join")
    };
    assert_eq!(joined.sequence, left.sequence + 1);

    // Something has: a snapshot.
    let resume = Some(v1::PresencePosition {
        epoch: snapshot.epoch,
        sequence: snapshot.sequence,
    });
    let Change::Snapshot(again) = change(&mut watch(&hub, resume).await).await else {
        panic!("a snapshot")
    };
    assert_eq!((again.members.len(), again.sequence), (3, joined.sequence));

    hub.health.drain().await;
    assert!(
        matches!(change(&mut stream).await, Change::Join(_)),
        "what was there before the drain"
    );
    assert_refused(next(&mut stream).await, Code::Unavailable, "unavailable");
    assert_refused(next(&mut resumed).await, Code::Unavailable, "unavailable");
    hub.stop().await;
}

async fn publish(hub: &Hub, count: usize) -> v1::Position {
    let mut client = PublishServiceClient::new(hub.client(ALL).await);
    let mut position = None;
    for _ in 0..count {
        let item = v1::PublishItem {
            tags: [("a".to_owned(), "b".to_owned())].into(),
            ..item("chat:1", "{\"n\": 1}")
        };
        position = client
            .publish(request(item))
            .await
            .unwrap()
            .into_inner()
            .position;
    }
    position.expect("at least one")
}

async fn subscribe(hub: &Hub, start: Option<Start>) -> Streaming<v1::SubscribeResponse> {
    let mut client = ChannelServiceClient::new(hub.client(READER).await);
    client
        .subscribe(v1::SubscribeRequest {
            channel: "chat:1".to_owned(),
            start,
        })
        .await
        .unwrap()
        .into_inner()
}

async fn push(stream: &mut Streaming<v1::SubscribeResponse>) -> Push {
    next(stream).await.unwrap().expect("a push").push.unwrap()
}

async fn subscribed(stream: &mut Streaming<v1::SubscribeResponse>) -> (u64, bool) {
    let Push::Subscribed(subscribed) = push(stream).await else {
        panic!("`subscribed` comes first")
    };
    (subscribed.position.unwrap().offset, subscribed.recovered)
}

async fn offset(stream: &mut Streaming<v1::SubscribeResponse>) -> u64 {
    let Push::Message(message) = push(stream).await else {
        panic!("a message")
    };
    message.position.unwrap().offset
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_subscribes_recovers_and_is_told_of_gaps() {
    let hub = Hub::start().await;
    let top = publish(&hub, 4).await;

    let mut live = subscribe(&hub, None).await;
    assert_eq!(subscribed(&mut live).await, (4, false));
    let mut rewound = subscribe(&hub, Some(Start::Rewind(2))).await;
    subscribed(&mut rewound).await;
    assert_eq!(
        (offset(&mut rewound).await, offset(&mut rewound).await),
        (3, 4)
    );
    let position = v1::Position {
        epoch: top.epoch.clone(),
        offset: 1,
    };
    let mut recovered = subscribe(&hub, Some(Start::Position(position))).await;
    assert!(subscribed(&mut recovered).await.1);
    for expected in 2..=4 {
        assert_eq!(offset(&mut recovered).await, expected);
    }
    let lost = v1::Position {
        epoch: "abc".to_owned(),
        offset: 1,
    };
    let mut lost = subscribe(&hub, Some(Start::Position(lost))).await;
    assert!(!subscribed(&mut lost).await.1);
    let Push::Gap(gap) = push(&mut lost).await else {
        panic!("a gap")
    };
    assert_eq!(gap.reason(), v1::GapReason::EpochChanged);

    publish(&hub, 1).await;
    for stream in [&mut live, &mut rewound, &mut recovered, &mut lost] {
        let Push::Message(message) = push(stream).await else {
            panic!("a message")
        };
        assert_eq!(message.position.unwrap().offset, 5);
        assert_eq!(
            message.payload,
            Some(v1::publication::Payload::Json("{\"n\": 1}".into()))
        );
        assert_eq!(
            (
                message.tags["a"].as_str(),
                message.sender,
                message.time_ms > 0
            ),
            ("b", None, true)
        );
    }
    hub.node.refuse_sessions();
    for stream in [&mut live, &mut rewound, &mut recovered, &mut lost] {
        assert_refused(next(stream).await, Code::Unavailable, "unavailable");
    }
    hub.stop().await;
}
