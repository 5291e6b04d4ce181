//! Channels as services see them: subscribed to, read, emptied, listed.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use switchboard_proto::api::v1 as api;
use switchboard_proto::api::v1::subscribe_request::Start;
use switchboard_proto::api::v1::subscribe_response::Push;
use switchboard_tests::services::Services;
use switchboard_tests::waiting::SOON;
use switchboard_tests::{Hub, Transport};
use tonic::Streaming;

async fn subscribe(
    services: &Services,
    channel: &str,
    start: Option<Start>,
) -> Result<Streaming<api::SubscribeResponse>> {
    let request = api::SubscribeRequest {
        channel: channel.into(),
        start,
    };
    Ok(services.channels().subscribe(request).await?.into_inner())
}

async fn push(stream: &mut Streaming<api::SubscribeResponse>) -> Result<Push> {
    let response = tokio::time::timeout(SOON, stream.message())
        .await
        .context("nothing came")??;
    response
        .context("the stream ended")?
        .push
        .context("an empty response")
}

async fn numbers(
    stream: &mut Streaming<api::SubscribeResponse>,
    numbers: std::ops::Range<u64>,
) -> Result<api::Position> {
    let mut last = None;
    for n in numbers {
        let Push::Message(message) = push(stream).await? else {
            anyhow::bail!("message {n} was to come")
        };
        let Some(api::publication::Payload::Json(data)) = message.payload else {
            anyhow::bail!("no JSON in {n}")
        };
        ensure!(
            data == json!({"n": n}).to_string(),
            "{n} was to come, not {data:?}"
        );
        last = message.position;
    }
    last.context("no position")
}

#[tokio::test]
async fn a_service_subscribes_and_resumes_without_loss() -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    let mut stream = subscribe(&services, "chat:1", None).await?;
    let Push::Subscribed(subscribed) = push(&mut stream).await? else {
        anyhow::bail!("`subscribed` comes first")
    };
    ensure!(
        subscribed
            .position
            .is_some_and(|position| position.offset == 0),
        "nothing was published yet"
    );
    services.publish_numbers("chat:1", 0..10).await?;
    let position = numbers(&mut stream, 0..10).await?;
    drop(stream);

    services.publish_numbers("chat:1", 10..20).await?;
    let mut stream = subscribe(&services, "chat:1", Some(Start::Position(position))).await?;
    let Push::Subscribed(subscribed) = push(&mut stream).await? else {
        anyhow::bail!("`subscribed` comes first")
    };
    ensure!(subscribed.recovered, "{subscribed:?}");
    numbers(&mut stream, 10..20).await?;
    services.publish_numbers("chat:1", 20..25).await?;
    numbers(&mut stream, 20..25).await?;

    let mut stream = subscribe(&services, "chat:1", Some(Start::Rewind(2))).await?;
    let Push::Subscribed(_) = push(&mut stream).await? else {
        anyhow::bail!("`subscribed` comes first")
    };
    numbers(&mut stream, 23..25).await?;
    Ok(())
}

#[tokio::test]
async fn a_service_is_told_of_a_gap() -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    let first = services.publish("tiny:1", &json!({"n": 0})).await?;
    services.publish_numbers("tiny:1", 1..10).await?;
    let mut stream = subscribe(&services, "tiny:1", Some(Start::Position(first))).await?;
    let Push::Subscribed(subscribed) = push(&mut stream).await? else {
        anyhow::bail!("`subscribed` comes first")
    };
    ensure!(!subscribed.recovered, "{subscribed:?}");
    let Push::Gap(gap) = push(&mut stream).await? else {
        anyhow::bail!("a gap was to come")
    };
    ensure!(gap.reason() == api::GapReason::Trimmed, "{gap:?}");
    Ok(())
}

#[tokio::test]
async fn history_is_read_and_removed() -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    services.publish_numbers("chat:1", 0..10).await?;
    let read = async |limit: Option<u32>, reverse: bool| -> Result<(Vec<u64>, u64)> {
        let request = api::ReadHistoryRequest {
            channel: "chat:1".into(),
            position: None,
            limit,
            reverse,
        };
        let response = services
            .channels()
            .read_history(request)
            .await?
            .into_inner();
        let offsets = response
            .publications
            .iter()
            .filter_map(|p| p.position.as_ref())
            .map(|at| at.offset)
            .collect();
        Ok((
            offsets,
            response.position.map_or(0, |position| position.offset),
        ))
    };
    ensure!(
        read(Some(3), false).await? == (vec![1, 2, 3], 10),
        "forwards"
    );
    ensure!(
        read(Some(3), true).await? == (vec![10, 9, 8], 10),
        "backwards"
    );
    ensure!(
        read(Some(0), false).await? == (vec![], 10),
        "only the position"
    );
    ensure!(read(None, false).await?.0.len() == 10, "the default");

    let mut client = hub
        .client(Transport::WebSocket, "alice", &["chat:1"])
        .await?;
    services
        .channels()
        .remove_history(api::RemoveHistoryRequest {
            channel: "chat:1".into(),
        })
        .await?;
    ensure!(
        read(None, false).await?.0.is_empty(),
        "nothing is retained any more"
    );
    services.publish("chat:1", &json!("after")).await?;
    let message = client.await_kind("message").await?;
    ensure!(message.data() == "after", "subscriptions stay: {message:?}");
    Ok(())
}

#[tokio::test]
async fn channels_are_listed_by_pattern_and_page() -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    let _first = hub
        .client(
            Transport::WebSocket,
            "alice",
            &["room:1", "room:2", "chat:1"],
        )
        .await?;
    let _second = hub.client(Transport::Sse, "bob", &["room:1"]).await?;
    services.publish_numbers("room:1", 0..3).await?;
    let mut request = api::ListChannelsRequest {
        pattern: "room:*".into(),
        page_size: 1,
        page_token: String::new(),
    };
    let mut channels = Vec::new();
    loop {
        let page = services
            .channels()
            .list_channels(request.clone())
            .await?
            .into_inner();
        ensure!(page.channels.len() <= 1, "{page:?}");
        channels.extend(page.channels);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    channels.sort_by(|a, b| a.name.cmp(&b.name));
    let told: Vec<_> = channels
        .iter()
        .map(|channel| {
            (
                channel.name.as_str(),
                channel.subscriptions,
                channel.members,
            )
        })
        .collect();
    ensure!(told == [("room:1", 2, 2), ("room:2", 1, 1)], "{told:?}");
    ensure!(
        channels[0]
            .position
            .as_ref()
            .is_some_and(|position| position.offset == 3),
        "{channels:?}"
    );
    Ok(())
}
