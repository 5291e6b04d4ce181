//! What clients may ask, and how it is refused.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use switchboard_tests::tokens::Claims;
use switchboard_tests::{Hub, Opening, Transport, every_transport};

every_transport!(
    a_ping_tells_the_time,
    what_a_token_does_not_grant_is_refused,
    a_grant_for_one_channel_opens_that_channel,
    subscribing_twice_is_refused,
    a_call_without_a_service_is_refused,
    senseless_commands_are_refused_by_name,
    a_repeated_publish_with_an_id_happens_once,
    channels_of_the_token_are_subscribed_at_once,
);

async fn a_ping_tells_the_time(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let mut client = hub.client(transport, "alice", &[]).await?;
    let before = client.open["time"]
        .as_u64()
        .context("open tells the time")?;
    let result = client.command("ping", json!({})).await?;
    ensure!(
        result["time"]
            .as_u64()
            .is_some_and(|time| time >= before && time < before + 60_000),
        "{result}"
    );
    ensure!(
        client.open["user"] == "alice" && client.open["node"].is_string(),
        "{}",
        client.open
    );
    Ok(())
}

async fn what_a_token_does_not_grant_is_refused(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let grants = json!({"subscribe": ["chat:mine:*"], "publish": ["chat:mine:1"]});
    let token = hub.minter.mint(&Claims::of("alice").grants(grants));
    let mut client = hub.open(transport, Opening::new(token.clone())).await?;
    client
        .command("subscribe", json!({"channel": "chat:mine:2"}))
        .await?;
    client
        .command("publish", json!({"channel": "chat:mine:1", "data": 1}))
        .await?;
    client
        .refused(
            "subscribe",
            json!({"channel": "chat:yours"}),
            "permission_denied",
        )
        .await?;
    client
        .refused(
            "publish",
            json!({"channel": "chat:mine:2", "data": 1}),
            "permission_denied",
        )
        .await?;
    client
        .refused(
            "history",
            json!({"channel": "chat:mine:2"}),
            "permission_denied",
        )
        .await?;
    client
        .refused(
            "presence",
            json!({"channel": "chat:mine:2"}),
            "permission_denied",
        )
        .await?;
    let refused = switchboard_tests::client::Refused::of(
        hub.open(transport, Opening::new(token).channel("chat:yours"))
            .await,
    )?;
    ensure!(
        refused.status == 403 && refused.code == "permission_denied",
        "{refused:?}"
    );
    Ok(())
}

async fn a_grant_for_one_channel_opens_that_channel(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let none = hub.minter.mint(&Claims::of("alice").grants(json!({})));
    let mut client = hub.open(transport, Opening::new(none)).await?;
    let grant = hub
        .minter
        .mint(&Claims::of("alice").grants(json!({"subscribe": ["chat:1"]})));
    client
        .refused(
            "subscribe",
            json!({"channel": "chat:2", "token": grant}),
            "permission_denied",
        )
        .await?;
    client
        .command("subscribe", json!({"channel": "chat:1", "token": grant}))
        .await?;
    hub.services()
        .await?
        .publish_numbers("chat:1", 0..1)
        .await?;
    client.numbers("chat:1", 0..1).await
}

async fn subscribing_twice_is_refused(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let mut client = hub.client(transport, "alice", &["chat:1"]).await?;
    client
        .refused(
            "subscribe",
            json!({"channel": "chat:1"}),
            "already_subscribed",
        )
        .await?;
    client
        .refused(
            "subscribe",
            json!({"channel": "nowhere:1"}),
            "unknown_namespace",
        )
        .await?;
    hub.services()
        .await?
        .publish_numbers("chat:1", 0..1)
        .await?;
    client.numbers("chat:1", 0..1).await
}

async fn a_call_without_a_service_is_refused(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let mut client = hub.client(transport, "alice", &[]).await?;
    let error = client
        .refused(
            "call",
            json!({"method": "sum", "data": [1, 2]}),
            "no_service",
        )
        .await?;
    ensure!(error["retryable"] == true, "{error}");
    Ok(())
}

async fn senseless_commands_are_refused_by_name(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let mut client = hub.client(transport, "alice", &["chat:1"]).await?;
    for (command, fields) in [
        ("fly", json!({})),
        ("subscribe", json!({})),
        ("subscribe", json!({"channel": "a::b"})),
        ("subscribe", json!({"channel": "chat:*"})),
        ("publish", json!({"channel": "chat:1"})),
        ("history", json!({"channel": "chat:1", "limit": -1})),
    ] {
        let error = client.refused(command, fields, "bad_request").await?;
        ensure!(
            error["message"]
                .as_str()
                .is_some_and(|message| !message.is_empty()),
            "{error}"
        );
        ensure!(
            error
                .get("retryable")
                .is_none_or(|retryable| retryable == false),
            "{error}"
        );
    }
    client.command("ping", json!({})).await?;
    Ok(())
}

async fn a_repeated_publish_with_an_id_happens_once(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let mut client = hub.client(transport, "alice", &["chat:1"]).await?;
    let fields = json!({"channel": "chat:1", "data": {"n": 0}, "id": "once"});
    let first = client.command("publish", fields.clone()).await?;
    let second = client.command("publish", fields).await?;
    ensure!(first == second, "{first} and {second}");
    client
        .command("publish", json!({"channel": "chat:1", "data": {"n": 1}}))
        .await?;
    client.numbers("chat:1", 0..2).await
}

async fn channels_of_the_token_are_subscribed_at_once(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let token = hub
        .minter
        .mint(&Claims::of("alice").grants(json!({"channels": ["chat:inbox"]})));
    let mut client = hub.open(transport, Opening::new(token)).await?;
    let subscribed = client.expect("subscribed").await?;
    ensure!(subscribed.channel() == "chat:inbox", "{subscribed:?}");
    hub.services()
        .await?
        .publish_numbers("chat:inbox", 0..1)
        .await?;
    client.numbers("chat:inbox", 0..1).await
}

#[tokio::test]
async fn a_post_carries_many_commands_and_answers_those_with_an_id() -> Result<()> {
    let hub = Hub::start().await?;
    for transport in [Transport::Sse, Transport::Poll] {
        let mut client = hub.client(transport, "alice", &["chat:1"]).await?;
        let lines = [
            json!({"id": 0, "publish": {"channel": "chat:1", "data": {"n": 0}}}),
            json!({"publish": {"channel": "chat:1", "data": {"n": 1}}}),
            json!({"id": 7, "ping": {}}),
            json!({"id": 8, "unsubscribe": {"channel": "chat:none"}}),
        ];
        let body = lines.map(|line| line.to_string()).join("\n");
        let (status, body) = client.send_raw(body).await?.context("a POST is answered")?;
        ensure!(status == 200, "{status} {body}");
        let replies: Vec<Value> = body
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()?;
        let ids: Vec<Option<u64>> = replies
            .iter()
            .map(|reply| reply["reply"]["id"].as_u64())
            .collect();
        ensure!(
            replies.len() == 3 && [0, 7, 8].iter().all(|id| ids.contains(&Some(*id))),
            "{body}"
        );
        client.numbers("chat:1", 0..2).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_command_without_an_id_is_done_and_not_answered() -> Result<()> {
    let hub = Hub::start().await?;
    let mut client = hub.client(Transport::WebSocket, "alice", &[]).await?;
    client
        .send_raw(json!({"subscribe": {"channel": "chat:1"}}).to_string())
        .await?;
    client.command("ping", json!({})).await?;
    hub.await_metric("subscriptions", |count| count > 0.5)
        .await?;
    hub.services()
        .await?
        .publish_numbers("chat:1", 0..1)
        .await?;
    client.numbers("chat:1", 0..1).await
}
