//! What is special about an event stream: headers, the cursor in `id:`, comments, and refusals that an `EventSource`
//! survives.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use switchboard_tests::client::read_all;
use switchboard_tests::{Hub, Transport};

#[tokio::test]
async fn a_stream_is_not_stored_nor_buffered_and_says_when_to_come_back() -> Result<()> {
    let hub = Hub::start().await?;
    let mut retries = Vec::new();
    for n in 0..8 {
        let mut client = hub
            .client(Transport::Sse, &format!("user-{n}"), &["chat:1"])
            .await?;
        let sse = client.sse_mut();
        let header = |name: &str| {
            sse.response
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        ensure!(header("cache-control") == "no-store", "{:?}", sse.response);
        ensure!(header("x-accel-buffering") == "no", "{:?}", sse.response);
        retries.push(sse.parser.retry.context("no `retry`")?);
    }
    retries.sort_unstable();
    retries.dedup();
    ensure!(
        retries.len() > 1,
        "every client is told the same `retry`: {retries:?}"
    );
    Ok(())
}

#[tokio::test]
async fn last_event_id_resumes_several_channels() -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    let channels = ["chat:1", "chat:2", "chat:3"];
    let mut client = hub.client(Transport::Sse, "alice", &channels).await?;
    for channel in channels {
        services.publish_numbers(channel, 0..4).await?;
        client.numbers(channel, 0..4).await?;
    }
    let place = client.drop_abruptly();
    for channel in channels {
        services.publish_numbers(channel, 4..6).await?;
    }
    let mut client = place.resume(&hub, Transport::Sse).await?;
    let mut heard = Vec::new();
    for _ in 0..6 {
        let message = client.await_kind("message").await?;
        heard.push((
            message.channel().to_owned(),
            message.data()["n"].as_u64().unwrap_or_default(),
        ));
    }
    heard.sort();
    let expected: Vec<_> = channels
        .iter()
        .flat_map(|channel| [4, 5].map(|n| ((*channel).to_owned(), n)))
        .collect();
    ensure!(heard == expected, "{heard:?}");
    Ok(())
}

#[tokio::test]
async fn last_event_id_counts_more_than_the_cursor_in_the_url() -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    let mut client = hub.client(Transport::Sse, "alice", &["chat:1"]).await?;
    services.publish_numbers("chat:1", 0..1).await?;
    client.numbers("chat:1", 0..1).await?;
    let old = client.cursor().context("no cursor")?;
    services.publish_numbers("chat:1", 1..3).await?;
    client.numbers("chat:1", 1..3).await?;
    let new = client.cursor().context("no cursor")?;
    ensure!(old != new, "the cursor did not move");
    services.publish_numbers("chat:1", 3..4).await?;
    let opening = hub
        .opening("alice")
        .channel("chat:1")
        .cursor(&old)
        .header("last-event-id", &new);
    let mut client = hub.open(Transport::Sse, opening).await?;
    client.numbers("chat:1", 3..4).await
}

#[tokio::test]
async fn a_quiet_stream_shows_signs_of_life() -> Result<()> {
    let hub = Hub::start_with(|config| {
        config.set("limits.ping_interval_s", "0.2");
    })
    .await?;
    let mut client = hub.client(Transport::Sse, "alice", &["chat:1"]).await?;
    ensure!(client.open["ping_interval"] == 200, "{}", client.open);
    let before = client.sse_mut().parser.comments + client.sse_mut().parser.id_only;
    let frame = client.next_within(Duration::from_millis(1500)).await?;
    ensure!(frame.is_none(), "{frame:?}");
    let signs = client.sse_mut().parser.comments + client.sse_mut().parser.id_only - before;
    ensure!(
        signs >= 3,
        "{signs} signs of life in 1.5 s at an interval of 0.2 s"
    );
    Ok(())
}

#[tokio::test]
async fn a_temporary_refusal_is_a_stream_that_ends() -> Result<()> {
    let hub = Hub::start_with(|config| {
        config.set("limits.sessions_max", "1");
    })
    .await?;
    let _first = hub.client(Transport::WebSocket, "alice", &[]).await?;
    let token = hub.token("bob");
    let request = || {
        hub.http
            .get(hub.url("/v1/sse?channel=chat:1"))
            .bearer_auth(&token)
    };
    let response = request()
        .header("accept", "text/event-stream")
        .send()
        .await?;
    ensure!(response.status() == 200, "{response:?}");
    let (events, retry) = read_all(&response.bytes().await?)?;
    ensure!(retry > 0, "retry: {retry}");
    let event = events.last().context("no event")?;
    ensure!(event.kind.as_deref() == Some("close"), "{events:?}");
    let close: serde_json::Value = serde_json::from_str(event.data.as_deref().unwrap_or_default())?;
    ensure!(
        close["code"] == 1013 && close["reconnect"] == true,
        "{close}"
    );

    let plain = request()
        .header("accept", "application/json")
        .send()
        .await?;
    ensure!(
        plain.status() == 503 && plain.headers().contains_key("retry-after"),
        "{plain:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_lasting_refusal_stays_a_status() -> Result<()> {
    let hub = Hub::start().await?;
    let request = hub
        .http
        .get(hub.url("/v1/sse?channel=chat:1"))
        .header("accept", "text/event-stream");
    let response = request.send().await?;
    ensure!(response.status() == 401, "{response:?}");
    ensure!(
        response.headers()["content-type"] == "application/problem+json",
        "{response:?}"
    );
    Ok(())
}
