//! Deadlines, bounds, health, reflection, and the end.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use switchboard_api::{Api, ApiBounds, ApiConfig};
use switchboard_proto::api::v1;
use switchboard_proto::api::v1::channel_service_client::ChannelServiceClient;
use switchboard_proto::api::v1::publish_service_client::PublishServiceClient;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use crate::fixture::{
    ALL, Hub, PATIENCE, Plan, assert_refused, item, keys, limits, memory, next, node, request,
};
use crate::stalling::Stalling;

async fn stalled(bounds: ApiBounds) -> (Hub, Arc<Stalling>) {
    let made = OnceLock::new();
    let plan = Plan {
        bounds,
        ..Plan::default()
    };
    let hub = Hub::with(plan, |sink| {
        made.get_or_init(|| Stalling::new(memory(sink))).clone()
    })
    .await;
    (
        hub,
        made.into_inner().expect("the node has made its engine"),
    )
}

/// The routes without a connection: tonic's own client would end the call by its own clock.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_a_call_and_a_stream_with_deadline_exceeded() {
    let made = OnceLock::new();
    let node = node(|sink| made.get_or_init(|| Stalling::new(memory(sink))).clone());
    let engine: Arc<Stalling> = made.into_inner().unwrap();
    let api = Api::new(
        node.clone(),
        ApiConfig {
            keys: keys(),
            issuer: None,
            bounds: ApiBounds::new(&limits()),
        },
    );
    fn with_deadline<T>(message: T, timeout: &str) -> Request<T> {
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert("authorization", format!("Bearer {ALL}").parse().unwrap());
        request
            .metadata_mut()
            .insert("grpc-timeout", timeout.parse().unwrap());
        request
    }
    let mut client = PublishServiceClient::new(api.routes());
    let started = Instant::now();
    let answer = client
        .publish(with_deadline(request(item("doc:1", "1")), "50m"))
        .await;
    assert_refused(answer, Code::DeadlineExceeded, "timeout");
    assert!(started.elapsed() >= Duration::from_millis(50));
    engine.until_waiting(0).await; // The publication was let go of with the call.
    client
        .publish(with_deadline(request(item("chat:1", "1")), "20S"))
        .await
        .unwrap();
    let answer = client
        .publish(with_deadline(request(item("chat:1", "1")), "soon"))
        .await;
    assert_refused(answer, Code::InvalidArgument, "bad_request");

    let mut client = ChannelServiceClient::new(api.routes());
    let subscribe = v1::SubscribeRequest {
        channel: "chat:1".to_owned(),
        start: None,
    };
    let mut stream = client
        .subscribe(with_deadline(subscribe, "100m"))
        .await
        .unwrap()
        .into_inner();
    assert!(next(&mut stream).await.unwrap().is_some());
    assert_refused(next(&mut stream).await, Code::DeadlineExceeded, "timeout");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_a_deadline_has_the_hubs() {
    let bounds = ApiBounds {
        call_timeout: Duration::from_millis(50),
        ..ApiBounds::new(&limits())
    };
    let (hub, _engine) = stalled(bounds).await;
    let mut client = PublishServiceClient::new(hub.client(ALL).await);
    assert_refused(
        client.publish(request(item("doc:1", "1"))).await,
        Code::DeadlineExceeded,
        "timeout",
    );
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_calls_at_a_time_are_refused_until_one_ends() {
    let (hub, engine) = stalled(ApiBounds {
        calls_max: 1,
        ..ApiBounds::new(&limits())
    })
    .await;
    let mut client = PublishServiceClient::new(hub.client(ALL).await);
    let waiting = {
        let mut client = client.clone();
        tokio::spawn(async move { client.publish(request(item("doc:1", "1"))).await })
    };
    engine.until_waiting(1).await;
    let status = client
        .publish(request(item("chat:1", "1")))
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), crate::fixture::reason(&status).as_str()),
        (Code::Unavailable, "unavailable")
    );
    assert!(
        status
            .get_details_retry_info()
            .is_some_and(|retry| retry.retry_delay.is_some())
    );
    engine.gate.add_permits(1);
    waiting.await.unwrap().unwrap();
    client.publish(request(item("chat:1", "1"))).await.unwrap();
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_follows_the_node() {
    let hub = Hub::start().await;
    let mut client = HealthClient::new(hub.channel().await);
    let service = v1::publish_service_server::SERVICE_NAME.to_owned();
    let mut watch = client
        .watch(HealthCheckRequest { service })
        .await
        .unwrap()
        .into_inner();
    let until = async |watch: &mut tonic::Streaming<_>, wanted: ServingStatus| loop {
        let answer: tonic_health::pb::HealthCheckResponse =
            next(watch).await.unwrap().expect("a status");
        if answer.status() == wanted {
            return;
        }
    };
    until(&mut watch, ServingStatus::Serving).await;
    assert!(!hub.health.is_draining());
    hub.node.refuse_sessions();
    until(&mut watch, ServingStatus::NotServing).await;
    assert!(hub.health.is_draining());
    let overall = client
        .check(HealthCheckRequest {
            service: String::new(),
        })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(overall.status(), ServingStatus::NotServing);
    // A node that drains still publishes.
    let mut publish = PublishServiceClient::new(hub.client(ALL).await);
    publish.publish(request(item("chat:1", "1"))).await.unwrap();
    // The watch outlives the drain, but must not hold up the end.
    hub.shutdown.cancel();
    let end = loop {
        match next(&mut watch).await {
            Ok(Some(again)) => assert_eq!(again.status(), ServingStatus::NotServing),
            Ok(None) => panic!("the watch ended without a status"),
            Err(status) => break status,
        }
    };
    assert_eq!(end.code(), Code::Unavailable);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_tells_the_services() {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

    let hub = Hub::start().await;
    let mut client = ServerReflectionClient::new(hub.channel().await);
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = client
        .server_reflection_info(tokio_stream::once(ask))
        .await
        .unwrap()
        .into_inner();
    let answer: ServerReflectionResponse = next(&mut answers).await.unwrap().expect("an answer");
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("a list")
    };
    let names: Vec<_> = list
        .service
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    for service in ["Publish", "Presence", "Channel", "Session", "Token", "Node"] {
        let name = format!("switchboard.api.v1.{service}Service");
        assert!(names.contains(&name.as_str()), "{name} in {names:?}");
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_method_is_refused_with_details() {
    let hub = Hub::start().await;
    let mut grpc = tonic::client::Grpc::new(hub.client(ALL).await);
    grpc.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/switchboard.api.v1.PublishService/Unpublish");
    let codec = tonic_prost::ProstCodec::<v1::PublishRequest, v1::PublishResponse>::default();
    let answer = grpc
        .unary(Request::new(request(item("chat:1", "1"))), path, codec)
        .await;
    assert_refused(answer, Code::Unimplemented, "not_found");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_ends_streams_and_breaks_off_what_hangs() {
    let bounds = ApiBounds {
        shutdown_grace: Duration::from_millis(200),
        ..ApiBounds::new(&limits())
    };
    let (hub, engine) = stalled(bounds).await;
    let mut client = PublishServiceClient::new(hub.client(ALL).await);
    let mut answers = client
        .publish_stream(tokio_stream::pending())
        .await
        .unwrap()
        .into_inner();
    let hanging = {
        let mut client = PublishServiceClient::new(hub.client(ALL).await);
        tokio::spawn(async move { client.publish(request(item("doc:1", "1"))).await })
    };
    engine.until_waiting(1).await;
    hub.shutdown.cancel();
    assert_refused(next(&mut answers).await, Code::Unavailable, "unavailable");
    let served = tokio::time::timeout(PATIENCE, hub.served)
        .await
        .expect("serve returns")
        .unwrap();
    served.unwrap();
    assert!(
        hanging.await.unwrap().is_err(),
        "its connection was broken off"
    );
    engine.until_waiting(0).await;
    assert!(
        tokio::net::TcpStream::connect(&hub.address).await.is_err(),
        "nobody listens any more"
    );
    hub.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_goes_takes_its_stream_along() {
    let (hub, engine) = stalled(ApiBounds {
        calls_max: 1,
        ..ApiBounds::new(&limits())
    })
    .await;
    let mut client = PublishServiceClient::new(hub.client(ALL).await);
    let (items, queue) = tokio::sync::mpsc::channel(1);
    let item_sent = v1::PublishStreamRequest {
        sequence: 1,
        item: Some(item("doc:1", "1")),
    };
    items.send(item_sent).await.unwrap();
    let queue = tokio_stream::wrappers::ReceiverStream::new(queue);
    let answers = client.publish_stream(queue).await.unwrap();
    engine.until_waiting(1).await;
    // A client resets a call once both of its directions are let go of.
    drop((items, answers));
    engine.until_waiting(0).await;
    // Its place is free again: at the latest when the reset has been worked off.
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    while client.publish(request(item("chat:1", "1"))).await.is_err() {
        tick.tick().await;
    }
    hub.stop().await;
}
