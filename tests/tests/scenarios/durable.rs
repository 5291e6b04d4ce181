//! Durable subscriptions: what a user has not acknowledged comes first when it subscribes again, whichever way it comes.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use switchboard_proto::api::v1 as api;
use switchboard_tests::tokens::Claims;
use switchboard_tests::waiting::until;
use switchboard_tests::{Client, Hub, Opening, Transport, every_transport};

every_transport!(
    what_is_not_acknowledged_comes_first_on_every_transport,
    a_first_subscription_is_remembered_without_any_ack,
    the_sessions_of_a_user_share_its_mark_and_users_do_not,
    a_cursor_or_a_position_counts_for_more_than_the_mark,
    an_ack_without_an_id_is_kept_as_well,
    senseless_acks_are_refused_by_name,
    where_history_does_not_reach_a_gap_says_so_until_it_is_acknowledged,
    channels_of_the_token_and_of_a_service_are_durable_too,
);

async fn ack(client: &mut Client, offset: u64) -> Result<()> {
    let fields = json!({"channel": "inbox:1", "offset": offset});
    let result = client.command("ack", fields).await?;
    ensure!(result == json!({}), "{result}");
    Ok(())
}

async fn what_is_not_acknowledged_comes_first_on_every_transport(
    transport: Transport,
) -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    let mut client = hub.client(transport, "alice", &["inbox:1"]).await?;
    let first = &client.subscribed["inbox:1"];
    ensure!(
        first["policy"]["durable"] == true && first["recovered"] != true,
        "{first}"
    );
    services.publish_numbers("inbox:1", 0..10).await?;
    client.numbers("inbox:1", 0..10).await?;
    ack(&mut client, 6).await?;
    drop(client.drop_abruptly());
    services.publish_numbers("inbox:1", 10..15).await?;
    for to in Transport::ALL {
        let mut client = hub.client(to, "alice", &["inbox:1"]).await?;
        ensure!(client.recovered("inbox:1"), "{:?}", client.subscribed);
        client.numbers("inbox:1", 6..15).await?;
    }
    let mut client = hub.client(transport, "alice", &["inbox:1"]).await?;
    client.numbers("inbox:1", 6..15).await?;
    services.publish_numbers("inbox:1", 15..17).await?;
    client.numbers("inbox:1", 15..17).await?;
    ack(&mut client, 17).await?;
    client.leave().await?;
    let mut client = hub.client(transport, "alice", &["inbox:1"]).await?;
    services.publish_numbers("inbox:1", 17..18).await?;
    client.numbers("inbox:1", 17..18).await
}

async fn a_first_subscription_is_remembered_without_any_ack(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    services.publish_numbers("inbox:1", 0..3).await?;
    let mut client = hub.client(transport, "alice", &[]).await?;
    let result = client
        .command("subscribe", json!({"channel": "inbox:1"}))
        .await?;
    ensure!(
        result["recovered"] != true && result["position"]["offset"] == 3,
        "{result}"
    );
    drop(client.drop_abruptly());
    services.publish_numbers("inbox:1", 3..6).await?;
    // A token whose user never subscribed begins where the channel stands.
    let late = hub.client(transport, "bob", &["inbox:1"]).await?;
    ensure!(
        late.subscribed["inbox:1"]["position"]["offset"] == 6,
        "{:?}",
        late.subscribed
    );
    let mut client = hub.client(transport, "alice", &[]).await?;
    let result = client
        .command("subscribe", json!({"channel": "inbox:1"}))
        .await?;
    ensure!(result["recovered"] == true, "{result}");
    client.numbers("inbox:1", 3..6).await
}

async fn the_sessions_of_a_user_share_its_mark_and_users_do_not(
    transport: Transport,
) -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    let mut one = hub.client(transport, "alice", &["inbox:1"]).await?;
    let mut two = hub.client(transport, "alice", &["inbox:1"]).await?;
    let mut bob = hub.client(transport, "bob", &["inbox:1"]).await?;
    services.publish_numbers("inbox:1", 0..10).await?;
    for client in [&mut one, &mut two, &mut bob] {
        client.numbers("inbox:1", 0..10).await?;
    }
    ack(&mut one, 7).await?;
    // Late, doubled: no errors, and no way back.
    for offset in [3, 3, 0, 5] {
        ack(&mut two, offset).await?;
    }
    ack(&mut bob, 2).await?;
    let mut alice = hub.client(transport, "alice", &["inbox:1"]).await?;
    alice.numbers("inbox:1", 7..10).await?;
    let mut bob = hub.client(transport, "bob", &["inbox:1"]).await?;
    bob.numbers("inbox:1", 2..10).await
}

async fn a_cursor_or_a_position_counts_for_more_than_the_mark(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    let mut client = hub.client(transport, "alice", &["inbox:1"]).await?;
    services.publish_numbers("inbox:1", 0..10).await?;
    client.numbers("inbox:1", 0..10).await?;
    ack(&mut client, 2).await?;
    let place = client.drop_abruptly();
    services.publish_numbers("inbox:1", 10..12).await?;
    let mut client = place.resume(&hub, transport).await?;
    ensure!(client.recovered("inbox:1"), "{:?}", client.subscribed);
    client.numbers("inbox:1", 10..12).await?;
    // Resuming is no acknowledgement.
    let mut fresh = hub.client(transport, "alice", &["inbox:1"]).await?;
    fresh.numbers("inbox:1", 2..12).await?;
    ack(&mut client, 11).await?;
    let mut fresh = hub.client(transport, "alice", &["inbox:1"]).await?;
    fresh.numbers("inbox:1", 11..12).await
}

async fn an_ack_without_an_id_is_kept_as_well(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    let mut client = hub.client(transport, "alice", &["inbox:1"]).await?;
    services.publish_numbers("inbox:1", 0..10).await?;
    client.numbers("inbox:1", 0..10).await?;
    for offset in 1..=9 {
        let line = json!({"ack": {"channel": "inbox:1", "offset": offset}});
        client.send_raw(line.to_string()).await?;
    }
    // What comes after them on the same way is answered after they were taken; their writing ends by itself.
    client.command("ping", json!({})).await?;
    drop(client.drop_abruptly());
    let soon = Duration::from_secs(5);
    until("the last ack", soon, || async {
        let client = hub.client(transport, "alice", &["inbox:1"]).await?;
        let stands = client.subscribed["inbox:1"]["position"]["offset"].as_u64();
        Ok((stands == Some(9)).then_some(()))
    })
    .await?;
    let written = hub.metrics().await?.sum("acks_written_total");
    ensure!(
        (1.0..=9.0).contains(&written),
        "{written} writes of nine acks"
    );
    Ok(())
}

async fn senseless_acks_are_refused_by_name(transport: Transport) -> Result<()> {
    let hub = Hub::start_with(|config| {
        config.set("clients.anonymous.subscribe", "[\"inbox:*\"]");
    })
    .await?;
    let mut client = hub
        .client(transport, "alice", &["inbox:1", "chat:1"])
        .await?;
    for (channel, offset, code, word) in [
        ("inbox:1", 1, "bad_request", "never sent"),
        ("inbox:2", 0, "not_subscribed", "inbox:2"),
        ("chat:1", 0, "bad_request", "not durable"),
        ("nowhere:1", 0, "unknown_namespace", "nowhere"),
    ] {
        let fields = json!({"channel": channel, "offset": offset});
        let error = client.refused("ack", fields, code).await?;
        let message = error["message"].as_str().context("no message")?;
        ensure!(message.contains(word), "{error}");
    }
    ack(&mut client, 0).await?;
    let opening = Opening::new("").channel("inbox:1");
    let mut anonymous = hub.open(transport, opening).await?;
    ensure!(
        anonymous.subscribed["inbox:1"]["policy"]["durable"] != true,
        "{:?}",
        anonymous.subscribed
    );
    let fields = json!({"channel": "inbox:1", "offset": 0});
    let error = anonymous.refused("ack", fields, "bad_request").await?;
    ensure!(error.to_string().contains("anonymous"), "{error}");
    hub.services()
        .await?
        .publish_numbers("inbox:1", 0..1)
        .await?;
    anonymous.numbers("inbox:1", 0..1).await
}

async fn where_history_does_not_reach_a_gap_says_so_until_it_is_acknowledged(
    transport: Transport,
) -> Result<()> {
    let hub = Hub::start_with(|config| {
        config.set("namespaces.inbox.history_count", "3");
    })
    .await?;
    let services = hub.services().await?;
    drop(hub.client(transport, "alice", &["inbox:1"]).await?);
    services.publish_numbers("inbox:1", 0..10).await?;
    // Whether a gap has arrived only its acknowledgement tells.
    for acknowledges in [false, true] {
        let mut client = hub.client(transport, "alice", &["inbox:1"]).await?;
        ensure!(!client.recovered("inbox:1"), "{:?}", client.subscribed);
        let gap = client.await_kind("gap").await?;
        ensure!(
            gap.body["reason"] == "trimmed" && gap.body["position"]["offset"] == 10,
            "{gap:?}"
        );
        if acknowledges {
            ack(&mut client, 10).await?;
        }
        drop(client.drop_abruptly());
    }
    services.publish_numbers("inbox:1", 10..12).await?;
    let mut client = hub.client(transport, "alice", &["inbox:1"]).await?;
    ensure!(client.recovered("inbox:1"), "{:?}", client.subscribed);
    client.numbers("inbox:1", 10..12).await
}

async fn channels_of_the_token_and_of_a_service_are_durable_too(
    transport: Transport,
) -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    let granted = || {
        let claims = Claims::of("alice").grants(json!({"channels": ["inbox:1"]}));
        Opening::new(hub.minter.mint(&claims))
    };
    let mut client = hub.open(transport, granted()).await?;
    client.await_kind("subscribed").await?;
    services.publish_numbers("inbox:1", 0..4).await?;
    client.numbers("inbox:1", 0..4).await?;
    ack(&mut client, 1).await?;
    drop(client.drop_abruptly());
    let mut client = hub.open(transport, granted()).await?;
    client.numbers("inbox:1", 1..4).await?;
    ack(&mut client, 2).await?;
    drop(client.drop_abruptly());

    let mut client = hub.client(transport, "alice", &[]).await?;
    let request = api::SessionServiceSubscribeRequest {
        target: Some(switchboard_tests::services::session(client.session())),
        channel: "inbox:1".into(),
    };
    services.sessions().subscribe(request).await?;
    client.numbers("inbox:1", 2..4).await?;
    ack(&mut client, 3).await?;
    let mut client = hub.open(transport, granted()).await?;
    client.numbers("inbox:1", 3..4).await
}
