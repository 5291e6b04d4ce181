//! Publishing over gRPC, in all its variants.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use switchboard_proto::api::v1 as api;
use switchboard_tests::services::{Services, item, reason};
use switchboard_tests::{Hub, Transport, every_transport};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

every_transport!(
    the_excluded_session_does_not_hear_it,
    what_skips_history_is_heard_and_not_kept,
    the_same_id_publishes_once,
);

async fn refused(services: &Services, item: api::PublishItem) -> Result<(Code, String)> {
    let request = api::PublishRequest { item: Some(item) };
    let status = services
        .publishing()
        .publish(request)
        .await
        .err()
        .context("it was to be refused")?;
    let reason = reason(&status).with_context(|| format!("no ErrorInfo in {status:?}"))?;
    Ok((status.code(), reason))
}

async fn the_excluded_session_does_not_hear_it(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    let mut alice = hub.client(transport, "alice", &["chat:1"]).await?;
    let mut bob = hub.client(transport, "bob", &["chat:1"]).await?;
    let mut hidden = item("chat:1", &json!({"n": 0}));
    alice.session().clone_into(&mut hidden.exclude_session);
    services.publish_item(hidden).await?;
    services.publish("chat:1", &json!({"n": 1})).await?;
    bob.numbers("chat:1", 0..2).await?;
    alice.numbers("chat:1", 1..2).await
}

async fn what_skips_history_is_heard_and_not_kept(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    let mut client = hub.client(transport, "alice", &["chat:1"]).await?;
    let mut fleeting = item("chat:1", &json!("typing"));
    fleeting.skip_history = true;
    services
        .publishing()
        .publish(api::PublishRequest {
            item: Some(fleeting),
        })
        .await?;
    let message = client.await_kind("message").await?;
    ensure!(
        message.data() == "typing" && message.body.get("offset").is_none(),
        "{message:?}"
    );
    let history = client
        .command("history", json!({"channel": "chat:1"}))
        .await?;
    ensure!(
        history
            .get("publications")
            .is_none_or(|kept| kept == &json!([])),
        "{history}"
    );
    services.publish_numbers("chat:1", 0..1).await?;
    let message = client.await_kind("message").await?;
    ensure!(
        message.offset() == 1,
        "what skips history takes no offset: {message:?}"
    );
    Ok(())
}

async fn the_same_id_publishes_once(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    let mut client = hub.client(transport, "alice", &["chat:1"]).await?;
    let mut once = item("chat:1", &json!({"n": 0}));
    once.id = "once".into();
    let request = api::PublishRequest { item: Some(once) };
    let first = services
        .publishing()
        .publish(request.clone())
        .await?
        .into_inner();
    let second = services.publishing().publish(request).await?.into_inner();
    ensure!(
        !first.duplicate && second.duplicate && first.position == second.position,
        "{first:?} {second:?}"
    );
    services.publish("chat:1", &json!({"n": 1})).await?;
    client.numbers("chat:1", 0..2).await
}

#[tokio::test]
async fn compare_and_set_publishes_only_at_the_expected_position() -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    let first = services.publish("chat:1", &json!(1)).await?;
    let mut next = item("chat:1", &json!(2));
    next.expected_position = Some(first.clone());
    let second = services.publish_item(next.clone()).await?;
    ensure!(
        second.offset == first.offset + 1 && second.epoch == first.epoch,
        "{second:?}"
    );
    let (code, reason) = refused(&services, next).await?;
    ensure!(
        code == Code::FailedPrecondition && reason == "position_unavailable",
        "{code:?} {reason}"
    );
    Ok(())
}

#[tokio::test]
async fn one_bad_item_of_a_batch_keeps_no_other_back() -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    let items = vec![
        item("chat:1", &json!(1)),
        item("bad::name", &json!(2)),
        item("nowhere:1", &json!(3)),
        item("chat:1", &json!(4)),
    ];
    let results = services
        .publishing()
        .publish_batch(api::PublishBatchRequest { items })
        .await?
        .into_inner()
        .results;
    let outcomes: Vec<String> = results
        .into_iter()
        .map(|result| match result.result {
            Some(api::publish_result::Result::Published(at)) => {
                at.position.map_or(0, |at| at.offset).to_string()
            }
            Some(api::publish_result::Result::Error(error)) => error.code,
            None => "nothing".into(),
        })
        .collect();
    ensure!(
        outcomes == ["1", "bad_request", "unknown_namespace", "2"],
        "{outcomes:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_stream_is_acknowledged_in_order_and_published_in_order() -> Result<()> {
    const ITEMS: u64 = 2000;
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    let mut client = hub
        .client(Transport::WebSocket, "alice", &["chat:1"])
        .await?;
    let (sender, receiver) = tokio::sync::mpsc::channel(64);
    let send = async move {
        for n in 0..ITEMS {
            let item = if n % 100 == 99 {
                item("bad::name", &json!(n))
            } else {
                item("chat:1", &json!(n))
            };
            sender
                .send(api::PublishStreamRequest {
                    sequence: n,
                    item: Some(item),
                })
                .await?;
        }
        Ok(())
    };
    let read = async {
        let mut acks = services
            .publishing()
            .publish_stream(ReceiverStream::new(receiver))
            .await?
            .into_inner();
        let (mut next, mut offset) = (0, 0);
        while let Some(ack) = acks.message().await? {
            ensure!(
                ack.sequence == next,
                "{next} was to be acknowledged, not {}",
                ack.sequence
            );
            match ack.result.and_then(|result| result.result) {
                Some(api::publish_result::Result::Published(published)) => {
                    offset += 1;
                    ensure!(
                        published
                            .position
                            .is_some_and(|position| position.offset == offset),
                        "at {next}"
                    );
                }
                Some(api::publish_result::Result::Error(error)) => {
                    ensure!(next % 100 == 99 && error.code == "bad_request", "{error:?}");
                }
                None => anyhow::bail!("an acknowledgement of nothing"),
            }
            next += 1;
        }
        ensure!(next == ITEMS, "{next} were acknowledged");
        Ok(())
    };
    tokio::try_join!(send, read)?;
    let kept = usize::try_from(ITEMS - ITEMS / 100)?;
    let messages = client.messages("chat:1", kept).await?;
    let numbers: Vec<u64> = messages
        .iter()
        .filter_map(|message| message.data().as_u64())
        .collect();
    ensure!(
        numbers
            .iter()
            .copied()
            .eq((0..ITEMS).filter(|n| n % 100 != 99)),
        "not in order"
    );
    Ok(())
}

#[tokio::test]
async fn refusals_are_statuses_with_stable_reasons() -> Result<()> {
    let hub = Hub::start_with(|config| {
        config.set("limits.payload_bytes_max", "1000");
        config.push(
            "api.keys",
            r#"
            name = "reader"
            secret = "a-reader-may-not-publish"
            scopes = ["read"]
        "#,
        );
        config.push(
            "api.keys",
            r#"
            name = "narrow"
            secret = "only-for-the-channels-of-chat-mine"
            scopes = ["publish"]
            channels = ["chat:mine:*"]
        "#,
        );
    })
    .await?;
    let services = hub.services().await?;
    let check = |got: (Code, String), code: Code, reason: &str| {
        ensure!(
            got.0 == code && got.1 == reason,
            "{code:?} {reason} was expected, not {got:?}"
        );
        Ok(())
    };
    let good = || item("chat:1", &json!(1));
    check(
        refused(&services, item("bad::name", &json!(1))).await?,
        Code::InvalidArgument,
        "bad_request",
    )?;
    check(
        refused(&services, item("nowhere:1", &json!(1))).await?,
        Code::NotFound,
        "unknown_namespace",
    )?;
    let long = item("chat:1", &json!("x".repeat(1001)));
    let (_, reason) = refused(&services, long).await?;
    ensure!(reason == "payload_too_large", "{reason}");
    let mut no_json = good();
    no_json.payload = Some(api::publish_item::Payload::Json(b"{\"a\":".to_vec().into()));
    check(
        refused(&services, no_json).await?,
        Code::InvalidArgument,
        "bad_request",
    )?;
    let mut empty = good();
    empty.payload = None;
    check(
        refused(&services, empty).await?,
        Code::InvalidArgument,
        "bad_request",
    )?;

    let nobody = Services::connect(hub.api, "").await?;
    check(
        refused(&nobody, good()).await?,
        Code::Unauthenticated,
        "unauthenticated",
    )?;
    let stranger = Services::connect(hub.api, "not-a-key-of-this-hub").await?;
    check(
        refused(&stranger, good()).await?,
        Code::Unauthenticated,
        "unauthenticated",
    )?;
    let reader = Services::connect(hub.api, "a-reader-may-not-publish").await?;
    check(
        refused(&reader, good()).await?,
        Code::PermissionDenied,
        "permission_denied",
    )?;
    let narrow = Services::connect(hub.api, "only-for-the-channels-of-chat-mine").await?;
    check(
        refused(&narrow, good()).await?,
        Code::PermissionDenied,
        "permission_denied",
    )?;
    narrow.publish("chat:mine:1", &json!(1)).await?;
    Ok(())
}
