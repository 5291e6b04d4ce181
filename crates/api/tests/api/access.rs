//! Who may do what.

use switchboard_proto::api::v1;
use switchboard_proto::api::v1::channel_service_client::ChannelServiceClient;
use switchboard_proto::api::v1::node_service_client::NodeServiceClient;
use switchboard_proto::api::v1::presence_service_client::PresenceServiceClient;
use switchboard_proto::api::v1::publish_service_client::PublishServiceClient;
use switchboard_proto::api::v1::session_service_client::SessionServiceClient;
use switchboard_proto::api::v1::token_service_client::TokenServiceClient;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::fixture::{ALL, DEPLOY, Hub, PUBLISHER, READER, assert_refused, item, request};

#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_key_nobody_is_let_in() {
    let hub = Hub::start().await;
    let mut client = PublishServiceClient::new(hub.channel().await);
    let mut publish = async |headers: &[&str]| {
        let mut request = Request::new(request(item("chat:1", "1")));
        for header in headers {
            request
                .metadata_mut()
                .append("authorization", header.parse().unwrap());
        }
        client.publish(request).await
    };
    let good = format!("Bearer {ALL}");
    for bad in [
        &[][..],
        &["Bearer sk_wrong_0123456789abc"],
        &[ALL],
        &["Basic YTpi"],
        &["Bearer "],
        &[good.as_str(), good.as_str()],
    ] {
        assert_refused(publish(bad).await, Code::Unauthenticated, "unauthenticated");
    }
    publish(&[&good]).await.unwrap();
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_needs_no_key() {
    let hub = Hub::start().await;
    let mut client = HealthClient::new(hub.channel().await);
    let answer = client
        .check(HealthCheckRequest {
            service: String::new(),
        })
        .await
        .unwrap();
    assert_ne!(answer.into_inner().status, 0);
    hub.stop().await;
}

/// Every method against the keys that must not use it.
#[tokio::test(flavor = "multi_thread")]
async fn scopes_and_patterns_are_checked_for_every_method() {
    let hub = Hub::start().await;
    let denied = |answer: Result<(), tonic::Status>| {
        assert_refused(answer, Code::PermissionDenied, "permission_denied");
    };
    macro_rules! call {
        ($client:ident, $key:expr, $method:ident, $request:expr) => {
            $client::new(hub.client($key).await)
                .$method($request)
                .await
                .map(drop)
        };
    }
    let channel = |name: &str| name.to_owned();
    for (key, name) in [(READER, "chat:1"), (DEPLOY, "chat:1"), (PUBLISHER, "doc:1")] {
        denied(call!(
            PublishServiceClient,
            key,
            publish,
            request(item(name, "1"))
        ));
    }
    denied(call!(
        PublishServiceClient,
        READER,
        publish_batch,
        v1::PublishBatchRequest::default()
    ));
    let nothing = tokio_stream::empty::<v1::PublishStreamRequest>();
    denied(call!(PublishServiceClient, READER, publish_stream, nothing));
    for (key, name) in [(PUBLISHER, "chat:1"), (DEPLOY, "chat:1"), (READER, "doc:1")] {
        let list = v1::ListMembersRequest {
            channel: channel(name),
            ..Default::default()
        };
        denied(call!(PresenceServiceClient, key, list_members, list));
        let count = v1::CountMembersRequest {
            channels: vec![channel(name)],
        };
        denied(call!(PresenceServiceClient, key, count_members, count));
        let watch = v1::WatchPresenceRequest {
            channel: channel(name),
            resume: None,
        };
        denied(call!(PresenceServiceClient, key, watch_presence, watch));
        let subscribe = v1::SubscribeRequest {
            channel: channel(name),
            start: None,
        };
        denied(call!(ChannelServiceClient, key, subscribe, subscribe));
        let history = v1::ReadHistoryRequest {
            channel: channel(name),
            ..Default::default()
        };
        denied(call!(ChannelServiceClient, key, read_history, history));
    }
    denied(call!(
        PresenceServiceClient,
        PUBLISHER,
        lookup_user,
        v1::LookupUserRequest {
            user: "a".to_owned()
        }
    ));
    denied(call!(
        ChannelServiceClient,
        PUBLISHER,
        list_channels,
        v1::ListChannelsRequest::default()
    ));
    let remove = v1::RemoveHistoryRequest {
        channel: channel("chat:1"),
    };
    denied(call!(ChannelServiceClient, READER, remove_history, remove));
    denied(call!(
        SessionServiceClient,
        READER,
        list_sessions,
        v1::ListSessionsRequest::default()
    ));
    denied(call!(
        SessionServiceClient,
        READER,
        send,
        v1::SendRequest::default()
    ));
    denied(call!(
        SessionServiceClient,
        READER,
        subscribe,
        v1::SessionServiceSubscribeRequest::default()
    ));
    denied(call!(
        SessionServiceClient,
        READER,
        unsubscribe,
        v1::SessionServiceUnsubscribeRequest::default()
    ));
    denied(call!(
        SessionServiceClient,
        READER,
        disconnect,
        v1::DisconnectRequest::default()
    ));
    denied(call!(
        TokenServiceClient,
        READER,
        issue_token,
        v1::IssueTokenRequest::default()
    ));
    denied(call!(
        NodeServiceClient,
        READER,
        list_nodes,
        v1::ListNodesRequest {}
    ));

    let nodes = NodeServiceClient::new(hub.client(DEPLOY).await)
        .list_nodes(v1::ListNodesRequest {})
        .await
        .unwrap();
    let nodes = nodes.into_inner().nodes;
    assert_eq!(nodes.len(), 1);
    assert_eq!(
        (nodes[0].id.clone(), nodes[0].version.as_str()),
        (hub.node.id().to_string(), "0.0.0-test")
    );
    hub.stop().await;
}
