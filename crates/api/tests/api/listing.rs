//! Lists and history: pages, what a caller may see, what a session shows.

use switchboard_core::{NodeId, SessionId};
use switchboard_engine::JoinRequest;
use switchboard_proto::api::v1;
use switchboard_proto::api::v1::channel_service_client::ChannelServiceClient;
use switchboard_proto::api::v1::presence_service_client::PresenceServiceClient;
use switchboard_proto::api::v1::publish_service_client::PublishServiceClient;
use switchboard_proto::api::v1::session_service_client::SessionServiceClient;
use tonic::Code;

use crate::fixture::{ALL, Hub, READER, assert_refused, channel, item, open_session, request};

async fn publish(hub: &Hub, names: &[&str]) {
    let mut client = PublishServiceClient::new(hub.client(ALL).await);
    for name in names {
        client.publish(request(item(name, "1"))).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_are_listed_page_by_page_and_only_those_the_caller_may_see() {
    let hub = Hub::start().await;
    publish(&hub, &["chat:1", "chat:2", "chat:3", "doc:1", "doc:2"]).await;
    let list = async |key: &str, pattern: &str, page_size: u32| {
        let mut client = ChannelServiceClient::new(hub.client(key).await);
        let mut names = Vec::new();
        let mut page_token = String::new();
        loop {
            let pattern = pattern.to_owned();
            let page = v1::ListChannelsRequest {
                pattern,
                page_size,
                page_token,
            };
            let page = client.list_channels(page).await.unwrap().into_inner();
            assert!(page_size == 0 || page.channels.len() <= page_size as usize);
            names.extend(page.channels.into_iter().map(|channel| channel.name));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return names.join(" ");
            }
        }
    };
    assert_eq!(list(ALL, "", 2).await, "chat:1 chat:2 chat:3 doc:1 doc:2");
    assert_eq!(list(ALL, "doc:*", 0).await, "doc:1 doc:2");
    assert_eq!(list(READER, "", 0).await, "chat:1 chat:2 chat:3");
    assert_eq!(list(READER, "", 2).await, "chat:1 chat:2 chat:3");
    assert_eq!(list(READER, "*", 1).await, "chat:1 chat:2 chat:3");
    assert_eq!(list(READER, "doc:*", 1).await, "");

    let mut client = ChannelServiceClient::new(hub.client(ALL).await);
    let page = v1::ListChannelsRequest {
        page_size: 1,
        ..Default::default()
    };
    let token = client
        .list_channels(page)
        .await
        .unwrap()
        .into_inner()
        .next_page_token;
    for (pattern, page_token) in [("doc:*", token), ("", "made up".to_owned())] {
        let page = v1::ListChannelsRequest {
            pattern: pattern.to_owned(),
            page_token,
            page_size: 1,
        };
        assert_refused(
            client.list_channels(page).await,
            Code::InvalidArgument,
            "bad_request",
        );
    }
    let bad = v1::ListChannelsRequest {
        pattern: "chat:4*".to_owned(),
        ..Default::default()
    };
    assert_refused(
        client.list_channels(bad).await,
        Code::InvalidArgument,
        "bad_request",
    );
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_read_both_ways_and_never_from_where_it_does_not_reach() {
    let hub = Hub::start().await;
    publish(&hub, &["chat:1"; 5]).await;
    let mut client = ChannelServiceClient::new(hub.client(ALL).await);
    let mut read = async |position: Option<v1::Position>, limit: Option<u32>, reverse: bool| {
        let channel = "chat:1".to_owned();
        let read = v1::ReadHistoryRequest {
            channel,
            position,
            limit,
            reverse,
        };
        let history = client.read_history(read).await?.into_inner();
        let offsets = history
            .publications
            .into_iter()
            .map(|p| p.position.unwrap().offset)
            .collect::<Vec<_>>();
        Ok::<_, tonic::Status>((offsets, history.position.unwrap()))
    };
    let (all, top) = read(None, None, false).await.unwrap();
    assert_eq!((all, top.offset), (vec![1, 2, 3, 4, 5], 5));
    let at = |offset| {
        Some(v1::Position {
            epoch: top.epoch.clone(),
            offset,
        })
    };
    assert_eq!(read(at(2), Some(2), false).await.unwrap().0, [3, 4]);
    assert_eq!(read(at(4), Some(2), true).await.unwrap().0, [3, 2]);
    assert_eq!(read(None, Some(2), true).await.unwrap().0, [5, 4]);
    assert_eq!(
        read(None, Some(0), false).await.unwrap(),
        (vec![], top.clone())
    );
    let elsewhere = || {
        Some(v1::Position {
            epoch: "abc".to_owned(),
            offset: 2,
        })
    };
    for reverse in [false, true] {
        let answer = read(elsewhere(), None, reverse).await;
        assert_refused(answer, Code::FailedPrecondition, "position_unavailable");
    }
    assert_refused(
        read(at(9), None, false).await,
        Code::FailedPrecondition,
        "position_unavailable",
    );

    ChannelServiceClient::new(hub.client(ALL).await)
        .remove_history(v1::RemoveHistoryRequest {
            channel: "chat:1".to_owned(),
        })
        .await
        .unwrap();
    assert_refused(
        read(at(2), None, false).await,
        Code::FailedPrecondition,
        "position_unavailable",
    );
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_listed_page_by_page_and_counted() {
    let hub = Hub::start().await;
    for slot in 0..5 {
        let session = SessionId {
            node: NodeId(1),
            shard: 0,
            slot,
            generation: 0,
        };
        let user = Some(if slot < 2 {
            "al".into()
        } else {
            format!("user-{slot}").into()
        });
        let info = Some(bytes::Bytes::from_static(b"{\"a\":1}"));
        let join = JoinRequest {
            channel: channel("chat:1"),
            session,
            user,
            info,
            members_max: None,
        };
        hub.node.engine().join(join).await.unwrap();
    }
    let mut client = PresenceServiceClient::new(hub.client(READER).await);
    let (mut sessions, mut page_token) = (Vec::new(), String::new());
    loop {
        let page = v1::ListMembersRequest {
            channel: "chat:1".to_owned(),
            page_size: 2,
            page_token,
        };
        let page = client.list_members(page).await.unwrap().into_inner();
        assert_eq!((page.count, page.users), (5, 4));
        assert!(
            page.members.len() <= 2
                && page
                    .members
                    .iter()
                    .all(|m| m.info == b"{\"a\":1}"[..] && m.joined_ms > 0)
        );
        sessions.extend(page.members.into_iter().map(|member| member.session));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    sessions.sort();
    sessions.dedup();
    assert_eq!(sessions.len(), 5, "every member once");

    let channels = ["chat:1", "chat:2", "chat:1"].map(str::to_owned).to_vec();
    let counts = client
        .count_members(v1::CountMembersRequest { channels })
        .await
        .unwrap()
        .into_inner()
        .counts;
    let counts: Vec<_> = counts
        .iter()
        .map(|count| (count.channel.as_str(), count.members, count.users))
        .collect();
    assert_eq!(
        counts,
        [("chat:1", 5, 4), ("chat:2", 0, 0), ("chat:1", 5, 4)]
    );
    let many = v1::CountMembersRequest {
        channels: vec!["chat:1".to_owned(); 1001],
    };
    assert_refused(
        client.count_members(many).await,
        Code::InvalidArgument,
        "bad_request",
    );
    let page = v1::ListMembersRequest {
        channel: "chat:1".to_owned(),
        page_token: "x".to_owned(),
        page_size: 0,
    };
    assert_refused(
        client.list_members(page).await,
        Code::InvalidArgument,
        "bad_request",
    );
    let without = v1::ListMembersRequest {
        channel: "doc:1".to_owned(),
        ..Default::default()
    };
    let answer = PresenceServiceClient::new(hub.client(ALL).await)
        .list_members(without)
        .await;
    assert_refused(answer, Code::NotFound, "not_found");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_found_acted_on_and_shown_without_others_channels() {
    let hub = Hub::start().await;
    for _ in 0..3 {
        open_session(&hub, "alice", &["chat:1", "doc:1"]).await;
    }
    open_session(&hub, "bob", &[]).await;

    let mut reader = PresenceServiceClient::new(hub.client(READER).await);
    let alice = reader
        .lookup_user(v1::LookupUserRequest {
            user: "alice".to_owned(),
        })
        .await
        .unwrap()
        .into_inner();
    assert!(alice.online && alice.sessions.len() == 3);
    for session in &alice.sessions {
        assert_eq!(
            (session.user.as_str(), session.node.as_str()),
            ("alice", hub.node.id().to_string().as_str())
        );
        assert_eq!(session.transport(), v1::Transport::Poll);
        assert!(
            !session.channels.iter().any(|name| name.starts_with("doc:")),
            "{:?}",
            session.channels
        );
    }
    let carol = reader
        .lookup_user(v1::LookupUserRequest {
            user: "carol".to_owned(),
        })
        .await
        .unwrap()
        .into_inner();
    assert_eq!((carol.online, carol.sessions.len()), (false, 0));

    let mut client = SessionServiceClient::new(hub.client(ALL).await);
    for (user, expected) in [("", 4), ("alice", 3), ("carol", 0)] {
        let (mut found, mut page_token) = (Vec::new(), String::new());
        loop {
            let page = v1::ListSessionsRequest {
                user: user.to_owned(),
                page_size: 1,
                page_token,
            };
            let page = client.list_sessions(page).await.unwrap().into_inner();
            found.extend(page.sessions.into_iter().map(|session| session.session));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        found.sort();
        found.dedup();
        assert_eq!(found.len(), expected, "sessions of {user:?}");
    }

    let user = |user: &str| {
        Some(v1::Target {
            target: Some(v1::target::Target::User(user.to_owned())),
        })
    };
    let session = |id: &str| {
        Some(v1::Target {
            target: Some(v1::target::Target::Session(id.to_owned())),
        })
    };
    let send = |target| v1::SendRequest {
        target,
        payload: Some(v1::send_request::Payload::Json("1".into())),
    };
    assert_eq!(
        client
            .send(send(user("alice")))
            .await
            .unwrap()
            .into_inner()
            .delivered,
        3
    );
    assert_eq!(
        client
            .send(send(user("carol")))
            .await
            .unwrap()
            .into_inner()
            .delivered,
        0
    );
    assert_refused(
        client.send(send(session("0-0-0-0"))).await,
        Code::NotFound,
        "not_found",
    );
    assert_refused(
        client.send(send(session("me"))).await,
        Code::InvalidArgument,
        "bad_request",
    );
    assert_refused(
        client.send(send(None)).await,
        Code::InvalidArgument,
        "bad_request",
    );

    let channels = async |mut reader: PresenceServiceClient<_>| {
        let found = reader
            .lookup_user(v1::LookupUserRequest {
                user: "bob".to_owned(),
            })
            .await
            .unwrap();
        found.into_inner().sessions[0].channels.clone()
    };
    let subscribe = v1::SessionServiceSubscribeRequest {
        target: user("bob"),
        channel: "chat:9".to_owned(),
    };
    client.subscribe(subscribe).await.unwrap();
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(5));
    while channels(reader.clone()).await != ["chat:9"] {
        tick.tick().await;
    }
    let unsubscribe = v1::SessionServiceUnsubscribeRequest {
        target: user("bob"),
        channel: "chat:9".to_owned(),
        ..Default::default()
    };
    client.unsubscribe(unsubscribe).await.unwrap();
    while !channels(reader.clone()).await.is_empty() {
        tick.tick().await;
    }
    let disconnect = |target, reason: &str| v1::DisconnectRequest {
        target,
        reason: reason.to_owned(),
        ..Default::default()
    };
    let long = "x".repeat(124);
    assert_refused(
        client.disconnect(disconnect(user("bob"), &long)).await,
        Code::InvalidArgument,
        "bad_request",
    );
    client
        .disconnect(disconnect(session(&alice.sessions[0].session), "bye"))
        .await
        .unwrap();
    hub.stop().await;
}
