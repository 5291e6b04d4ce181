//! What a caller may hold without a key, and what a response may weigh.

use std::time::Duration;

use switchboard_api::ApiBounds;
use switchboard_core::{NodeId, SessionId};
use switchboard_engine::JoinRequest;
use switchboard_proto::api::v1;
use switchboard_proto::api::v1::presence_service_client::PresenceServiceClient;
use switchboard_proto::api::v1::publish_service_client::PublishServiceClient;
use switchboard_proto::api::v1::session_service_client::SessionServiceClient;
use switchboard_proto::api::v1::watch_presence_response::Change;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::fixture::{
    ALL, Hub, PATIENCE, Plan, assert_refused, channel, item, limits, memory, next, open_session,
    request,
};

async fn bounded(bounds: ApiBounds) -> Hub {
    let plan = Plan {
        bounds,
        ..Plan::default()
    };
    Hub::with(plan, memory).await
}

/// One place, and somebody sits in it: the next one gets in all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_says_nothing_is_let_go_of() {
    let hub = bounded(ApiBounds {
        connections_max: 1,
        handshake_timeout: Duration::from_millis(100),
        ..ApiBounds::new(&limits())
    })
    .await;
    let mut silent = TcpStream::connect(&hub.address).await.unwrap();
    let publish = async {
        let mut client = PublishServiceClient::new(hub.client(ALL).await);
        client.publish(request(item("chat:1", "1"))).await
    };
    let published = tokio::time::timeout(PATIENCE, publish).await;
    published.expect("the place becomes free").unwrap();
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, silent.read_to_end(&mut rest))
        .await
        .expect("the silent connection has ended");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_has_spoken_may_be_quiet() {
    let hub = bounded(ApiBounds {
        handshake_timeout: Duration::from_millis(50),
        ..ApiBounds::new(&limits())
    })
    .await;
    let mut client = HealthClient::new(hub.channel().await);
    let ask = || HealthCheckRequest {
        service: String::new(),
    };
    let mut watch = client.watch(ask()).await.unwrap().into_inner();
    assert!(next(&mut watch).await.unwrap().is_some());
    let quiet = async {
        loop {
            next(&mut watch).await.unwrap().expect("the watch goes on");
        }
    };
    // Four times as long as a silent one would have had.
    let ended = tokio::time::timeout(Duration::from_millis(200), quiet).await;
    assert!(ended.is_err());
    client.check(ask()).await.unwrap();
    drop((watch, client));
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_without_a_key_are_bounded_and_take_no_place_of_those_with_one() {
    let hub = bounded(ApiBounds {
        calls_max: 1,
        ..ApiBounds::new(&limits())
    })
    .await;
    let mut health = HealthClient::new(hub.channel().await);
    let ask = || HealthCheckRequest {
        service: String::new(),
    };
    let watch = health.watch(ask()).await.unwrap();
    let second = health.watch(ask()).await;
    assert_refused(second.map(drop), Code::Unavailable, "unavailable");
    let mut client = PublishServiceClient::new(hub.client(ALL).await);
    client.publish(request(item("chat:1", "1"))).await.unwrap();
    drop(watch);
    // The place is free once the reset has been worked off.
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    while health.check(ask()).await.is_err() {
        tick.tick().await;
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_calls_without_a_key_have_details_too() {
    let hub = Hub::start().await;
    let mut health = HealthClient::new(hub.channel().await);
    let ask = HealthCheckRequest {
        service: "pigeon".to_owned(),
    };
    assert_refused(health.check(ask).await, Code::NotFound, "not_found");
    hub.stop().await;
}

/// gRPC clients take messages of 4 MiB unless they are told otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_sessions_with_many_channels_fits_what_clients_take() {
    const SESSIONS: usize = 800;
    // As many as the cursor of a poll session has room for.
    const CHANNELS: usize = 22;
    let hub = Hub::start().await;
    let names: Vec<String> = (0..CHANNELS)
        .map(|number| format!("doc:{number:0>250}"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for number in 0..SESSIONS {
        open_session(&hub, &format!("user {number}"), &names).await;
    }
    let mut client = SessionServiceClient::new(hub.client(ALL).await);
    let (mut seen, mut page_token) = (std::collections::HashSet::new(), String::new());
    loop {
        let page = v1::ListSessionsRequest {
            page_token,
            ..Default::default()
        };
        let page = client.list_sessions(page).await.unwrap().into_inner();
        assert!(!page.sessions.is_empty());
        for session in page.sessions {
            assert_eq!(session.channels.len(), CHANNELS);
            assert!(seen.insert(session.session), "a session came twice");
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen.len(), SESSIONS);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_members_with_large_infos_fits_what_clients_take() {
    const MEMBERS: u32 = 1000;
    let hub = Hub::start().await;
    let info = bytes::Bytes::from(format!("\"{}\"", "x".repeat(limits().info_bytes_max - 2)));
    for slot in 0..MEMBERS {
        let join = JoinRequest {
            channel: channel("chat:1"),
            session: SessionId {
                node: NodeId(1),
                shard: 0,
                slot,
                generation: 1,
            },
            user: Some(format!("{slot:0>255}").as_str().into()),
            info: Some(info.clone()),
            members_max: None,
        };
        hub.node.engine().join(join).await.unwrap();
    }
    let mut client = PresenceServiceClient::new(hub.client(ALL).await);
    let (mut seen, mut page_token) = (0, String::new());
    loop {
        let page = v1::ListMembersRequest {
            channel: "chat:1".to_owned(),
            page_size: 0,
            page_token,
        };
        let page = client.list_members(page).await.unwrap().into_inner();
        seen += page.members.len();
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, MEMBERS as usize);
    let watch = v1::WatchPresenceRequest {
        channel: "chat:1".to_owned(),
        resume: None,
    };
    let mut changes = client.watch_presence(watch).await.unwrap().into_inner();
    let mut seen = 0;
    loop {
        let change = next(&mut changes).await.unwrap().expect("a snapshot");
        let Some(Change::Snapshot(page)) = change.change else {
            panic!("the snapshot comes first: {change:?}");
        };
        seen += page.members.len();
        if page.complete {
            break;
        }
    }
    assert_eq!(seen, MEMBERS as usize);
    drop(changes);
    hub.stop().await;
}
