//! Publish and PublishBatch.

use switchboard_proto::api::v1;
use switchboard_proto::api::v1::publish_result::Result as Fate;
use switchboard_proto::api::v1::publish_service_client::PublishServiceClient;
use tonic::Code;

use crate::fixture::{ALL, Hub, assert_refused, item, request};

async fn client(hub: &Hub) -> PublishServiceClient<crate::fixture::Client> {
    PublishServiceClient::new(hub.client(ALL).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_is_told_its_position_and_compare_and_set_holds() {
    let hub = Hub::start().await;
    let mut client = client(&hub).await;
    let first = client
        .publish(request(item("chat:1", "1")))
        .await
        .unwrap()
        .into_inner();
    let first = first.position.unwrap();
    assert_eq!(first.offset, 1);

    let expecting = |position: &v1::Position| v1::PublishItem {
        expected_position: Some(position.clone()),
        ..item("chat:1", "2")
    };
    let second = client
        .publish(request(expecting(&first)))
        .await
        .unwrap()
        .into_inner()
        .position
        .unwrap();
    assert_eq!((second.offset, &second.epoch), (2, &first.epoch));
    let late = client.publish(request(expecting(&first))).await;
    assert_refused(late, Code::FailedPrecondition, "position_unavailable");
    let third = client
        .publish(request(item("chat:1", "3")))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        third.position.unwrap().offset,
        3,
        "what was refused took no place"
    );
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_publishes_once() {
    let hub = Hub::start().await;
    let mut client = client(&hub).await;
    let with_id = || {
        request(v1::PublishItem {
            id: "order-7".to_owned(),
            ..item("chat:1", "{}")
        })
    };
    let first = client.publish(with_id()).await.unwrap().into_inner();
    let again = client.publish(with_id()).await.unwrap().into_inner();
    assert_eq!((first.duplicate, again.duplicate), (false, true));
    assert_eq!(first.position, again.position);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_published_is_refused_with_its_reason() {
    let hub = Hub::start().await;
    let mut client = client(&hub).await;
    for bad in ["", "chat:", "chat:a b", "chat:*"] {
        assert_refused(
            client.publish(request(item(bad, "1"))).await,
            Code::InvalidArgument,
            "bad_request",
        );
    }
    assert_refused(
        client.publish(request(item("chat:1", "{"))).await,
        Code::InvalidArgument,
        "bad_request",
    );
    assert_refused(
        client.publish(v1::PublishRequest { item: None }).await,
        Code::InvalidArgument,
        "bad_request",
    );
    assert_refused(
        client.publish(request(item("other:1", "1"))).await,
        Code::NotFound,
        "unknown_namespace",
    );
    let large = |bytes: usize| v1::PublishItem {
        payload: Some(v1::publish_item::Payload::Binary(vec![0; bytes].into())),
        ..item("chat:1", "")
    };
    client.publish(request(large(1024))).await.unwrap();
    assert_refused(
        client.publish(request(large(1025))).await,
        Code::InvalidArgument,
        "payload_too_large",
    );
    // Larger than a message may be at all.
    assert_refused(
        client.publish(request(large(5 << 20))).await,
        Code::InvalidArgument,
        "payload_too_large",
    );
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_has_a_fate_for_every_item() {
    let hub = Hub::start().await;
    let mut client = client(&hub).await;
    let items = vec![
        item("chat:1", "1"),
        item("chat:1", "nonsense"),
        item("other:1", "1"),
        item("chat:1", "2"),
    ];
    let answer = client
        .publish_batch(v1::PublishBatchRequest { items })
        .await
        .unwrap()
        .into_inner();
    let fates: Vec<_> = answer
        .results
        .into_iter()
        .map(|result| match result.result.unwrap() {
            Fate::Published(published) => Ok(published.position.unwrap().offset),
            Fate::Error(error) => Err((error.code, error.retryable)),
        })
        .collect();
    let refused = |code: &str| Err((code.to_owned(), false));
    assert_eq!(
        fates,
        [
            Ok(1),
            refused("bad_request"),
            refused("unknown_namespace"),
            Ok(2)
        ]
    );

    let many = |count| v1::PublishBatchRequest {
        items: vec![item("chat:2", "1"); count],
    };
    let thousand = client
        .publish_batch(many(1000))
        .await
        .unwrap()
        .into_inner()
        .results;
    for (offset, result) in (1..).zip(thousand) {
        let Some(Fate::Published(published)) = result.result else {
            panic!("{result:?}")
        };
        assert_eq!(published.position.unwrap().offset, offset);
    }
    assert_refused(
        client.publish_batch(many(1001)).await,
        Code::InvalidArgument,
        "bad_request",
    );
    hub.stop().await;
}
