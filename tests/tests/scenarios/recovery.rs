//! Coming back: nothing is lost or doubled, on the same transport or another; where history does not reach, a gap says so.

use anyhow::{Result, ensure};
use serde_json::json;
use switchboard_tests::{Hub, Transport, every_transport};

/// A test of each way from one transport to another.
macro_rules! every_move {
    ($($name:ident: $from:ident => $to:ident),+ $(,)?) => {
        mod missed_publications_follow_a_resume {
            use super::*;
            $(
                #[tokio::test]
                async fn $name() -> Result<()> {
                    missed_publications_follow(Transport::$from, Transport::$to).await
                }
            )+
        }
    };
}

every_move!(
    websocket_to_websocket: WebSocket => WebSocket,
    websocket_to_sse: WebSocket => Sse,
    websocket_to_poll: WebSocket => Poll,
    sse_to_websocket: Sse => WebSocket,
    sse_to_sse: Sse => Sse,
    sse_to_poll: Sse => Poll,
    poll_to_websocket: Poll => WebSocket,
    poll_to_sse: Poll => Sse,
    poll_to_poll: Poll => Poll,
);

async fn missed_publications_follow(from: Transport, to: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    let mut client = hub.client(from, "alice", &["chat:1", "chat:2"]).await?;
    services.publish_numbers("chat:1", 0..10).await?;
    client.numbers("chat:1", 0..10).await?;
    services.publish_numbers("chat:2", 0..1).await?;
    client.numbers("chat:2", 0..1).await?;
    let place = client.drop_abruptly();

    services.publish_numbers("chat:1", 10..40).await?;
    let mut client = place.resume(&hub, to).await?;
    ensure!(
        client.recovered("chat:1") && client.recovered("chat:2"),
        "{:?}",
        client.subscribed
    );
    client.numbers("chat:1", 10..40).await?;

    services.publish_numbers("chat:1", 40..50).await?;
    client.numbers("chat:1", 40..50).await?;
    services.publish_numbers("chat:2", 1..2).await?;
    client.numbers("chat:2", 1..2).await
}

every_transport!(
    a_resume_amid_publishing_loses_and_doubles_nothing,
    rewind_begins_with_the_last_publications,
    a_gap_is_announced_when_history_is_trimmed,
    a_late_subscriber_without_rewind_starts_live,
    history_is_read_forwards_and_backwards,
);

async fn a_resume_amid_publishing_loses_and_doubles_nothing(transport: Transport) -> Result<()> {
    const ALL: u64 = 3000;
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    let mut client = hub.client(transport, "alice", &["chat:1"]).await?;
    let publish = services.publish_numbers("chat:1", 0..ALL);
    let follow = async {
        let mut next = 0;
        while next < ALL {
            let until = (next + 250).min(ALL);
            client.numbers("chat:1", next..until).await?;
            next = until;
            client = client.drop_abruptly().resume(&hub, transport).await?;
        }
        Ok(())
    };
    tokio::try_join!(publish, follow)?;
    Ok(())
}

async fn rewind_begins_with_the_last_publications(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    services.publish_numbers("chat:1", 0..10).await?;
    let opening = hub.opening("alice").channel("chat:1").rewind(3);
    let mut client = hub.open(transport, opening).await?;
    client.numbers("chat:1", 7..10).await?;
    services.publish_numbers("chat:1", 10..12).await?;
    client.numbers("chat:1", 10..12).await?;

    services.publish_numbers("chat:2", 0..10).await?;
    let result = client
        .command("subscribe", json!({"channel": "chat:2", "rewind": 2}))
        .await?;
    // What is replayed follows the position, so a client that drops now misses nothing of it.
    ensure!(result["position"]["offset"] == 8, "{result}");
    client.numbers("chat:2", 8..10).await
}

async fn a_gap_is_announced_when_history_is_trimmed(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    let mut client = hub.client(transport, "alice", &["tiny:1"]).await?;
    services.publish_numbers("tiny:1", 0..2).await?;
    client.numbers("tiny:1", 0..2).await?;
    let place = client.drop_abruptly();

    services.publish_numbers("tiny:1", 2..10).await?;
    let mut client = place.resume(&hub, transport).await?;
    ensure!(!client.recovered("tiny:1"), "{:?}", client.subscribed);
    let gap = client.expect("gap").await?;
    ensure!(
        gap.channel() == "tiny:1" && gap.body["reason"] == "trimmed",
        "{gap:?}"
    );
    ensure!(
        gap.body["position"]["offset"]
            .as_u64()
            .is_some_and(|offset| offset >= 7),
        "{gap:?}"
    );

    let place = client.drop_abruptly();
    services.publish_numbers("tiny:1", 10..12).await?;
    let mut client = place.resume(&hub, transport).await?;
    ensure!(
        client.recovered("tiny:1"),
        "after the gap there is a place to resume from: {:?}",
        client.subscribed
    );
    client.numbers("tiny:1", 10..12).await
}

async fn a_late_subscriber_without_rewind_starts_live(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    services.publish_numbers("chat:1", 0..5).await?;
    let mut client = hub.client(transport, "alice", &["chat:1"]).await?;
    ensure!(
        client.subscribed["chat:1"]["position"]["offset"] == 5,
        "{:?}",
        client.subscribed
    );
    services.publish_numbers("chat:1", 5..6).await?;
    client.numbers("chat:1", 5..6).await
}

async fn history_is_read_forwards_and_backwards(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    hub.services()
        .await?
        .publish_numbers("chat:1", 0..10)
        .await?;
    let mut client = hub.client(transport, "alice", &[]).await?;
    let numbers = |result: &serde_json::Value| -> Vec<u64> {
        let publications = result["publications"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        publications
            .iter()
            .filter_map(|publication| publication["data"]["n"].as_u64())
            .collect()
    };
    let oldest = client
        .command("history", json!({"channel": "chat:1", "limit": 3}))
        .await?;
    ensure!(
        numbers(&oldest) == [0, 1, 2] && oldest["position"]["offset"] == 10,
        "{oldest}"
    );
    let latest = client
        .command(
            "history",
            json!({"channel": "chat:1", "limit": 3, "reverse": true}),
        )
        .await?;
    ensure!(numbers(&latest) == [9, 8, 7], "{latest}");
    let mut position = oldest["position"].clone();
    position["offset"] = json!(4);
    let after = client
        .command(
            "history",
            json!({"channel": "chat:1", "position": position, "limit": 2}),
        )
        .await?;
    ensure!(numbers(&after) == [4, 5], "{after}");
    let fields = json!({"channel": "chat:1", "position": position, "limit": 2, "reverse": true});
    let before = client.command("history", fields).await?;
    ensure!(numbers(&before) == [2, 1], "{before}");
    let none = client
        .command("history", json!({"channel": "chat:1", "limit": 0}))
        .await?;
    ensure!(
        numbers(&none).is_empty() && none["position"]["offset"] == 10,
        "{none}"
    );
    Ok(())
}
