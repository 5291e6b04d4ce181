//! What is published reaches every subscriber once, in order.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use serde_json::json;
use switchboard_tests::{Hub, Transport, every_transport};

every_transport!(
    publications_reach_everyone_once_and_in_order,
    several_channels_each_keep_their_order,
    a_clients_publication_names_its_sender,
    an_unsubscribed_channel_is_heard_no_more,
);

async fn publications_reach_everyone_once_and_in_order(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let opened = (0..30).map(|n| {
        let hub = &hub;
        async move {
            hub.client(transport, &format!("user-{n}"), &["chat:all"])
                .await
        }
    });
    let mut clients = try_join_all(opened).await?;
    let services = hub.services().await?;
    let publish = services.publish_numbers("chat:all", 0..500);
    let read = try_join_all(
        clients
            .iter_mut()
            .map(|client| client.numbers("chat:all", 0..500)),
    );
    tokio::try_join!(publish, read)?;
    Ok(())
}

#[tokio::test]
async fn all_transports_hear_the_same_of_a_burst() -> Result<()> {
    let hub = Hub::start().await?;
    let mut clients = Vec::new();
    for n in 0..21 {
        clients.push(
            hub.client(Transport::ALL[n % 3], &format!("user-{n}"), &["chat:all"])
                .await?,
        );
    }
    let services = hub.services().await?;
    services.publish_numbers("chat:all", 0..1000).await?;
    let heard = try_join_all(
        clients
            .iter_mut()
            .map(|client| client.messages("chat:all", 1000)),
    )
    .await?;
    for messages in &heard {
        ensure!(messages == &heard[0], "two clients heard different things");
    }
    ensure!(
        heard[0][999].data()["n"] == 999,
        "the last is {:?}",
        heard[0][999]
    );
    Ok(())
}

async fn several_channels_each_keep_their_order(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let channels: Vec<String> = (0..8).map(|n| format!("chat:{n}")).collect();
    let names: Vec<&str> = channels.iter().map(String::as_str).collect();
    let mut client = hub.client(transport, "alice", &names).await?;
    let services = hub.services().await?;
    try_join_all(
        channels
            .iter()
            .map(|channel| services.publish_numbers(channel, 0..50)),
    )
    .await?;
    let mut heard: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for _ in 0..8 * 50 {
        let message = client.await_kind("message").await?;
        let channel = heard.entry(message.channel().to_owned()).or_default();
        channel.push(message.data()["n"].as_u64().unwrap_or(u64::MAX));
        ensure!(
            message.offset() == channel.len() as u64,
            "{message:?} is number {} of its channel",
            channel.len()
        );
    }
    ensure!(
        heard.len() == 8
            && heard
                .values()
                .all(|numbers| numbers.iter().copied().eq(0..50)),
        "{heard:?}"
    );
    Ok(())
}

async fn a_clients_publication_names_its_sender(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let mut alice = hub.client(transport, "alice", &["chat:1"]).await?;
    let mut bob = hub.client(Transport::WebSocket, "bob", &["chat:1"]).await?;
    let data = json!({"text": "hello", "nested": [1, 2.5, null, "ü"]});
    let reply = alice
        .command(
            "publish",
            json!({"channel": "chat:1", "data": data, "id": "m-1"}),
        )
        .await?;
    for client in [&mut alice, &mut bob] {
        let message = client.await_kind("message").await?;
        ensure!(
            message.data() == &data && message.body["id"] == "m-1",
            "{message:?}"
        );
        ensure!(message.body["from"]["user"] == "alice", "{message:?}");
        ensure!(
            reply["position"]["offset"] == message.offset(),
            "{reply} for {message:?}"
        );
        ensure!(
            message.body["time"]
                .as_u64()
                .is_some_and(|time| time > 1_700_000_000_000),
            "{message:?}"
        );
    }
    Ok(())
}

async fn an_unsubscribed_channel_is_heard_no_more(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    let mut client = hub
        .client(transport, "alice", &["chat:1", "chat:2"])
        .await?;
    services.publish_numbers("chat:1", 0..1).await?;
    client.numbers("chat:1", 0..1).await?;
    client
        .command("unsubscribe", json!({"channel": "chat:1"}))
        .await?;
    services.publish_numbers("chat:1", 1..2).await?;
    services.publish_numbers("chat:2", 0..1).await?;
    let message = client.await_kind("message").await?;
    ensure!(message.channel() == "chat:2", "{message:?}");
    client
        .refused(
            "unsubscribe",
            json!({"channel": "chat:1"}),
            "not_subscribed",
        )
        .await?;
    hub.await_metric("subscriptions", |count| (count - 1.0).abs() < 0.1)
        .await?;
    Ok(())
}
