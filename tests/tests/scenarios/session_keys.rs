//! Session keys: what proves the right to speak for a session, and what does not.

use anyhow::{Result, ensure};
use base64::Engine as _;
use switchboard_tests::{Hub, Transport, every_transport};

every_transport!(a_public_session_id_with_a_guessed_secret_commands_nothing);

/// Everybody who sees the presence of a channel knows the session ids in it.
async fn a_public_session_id_with_a_guessed_secret_commands_nothing(
    transport: Transport,
) -> Result<()> {
    let hub = Hub::start().await?;
    let victim = hub.client(transport, "alice", &["chat:1"]).await?;
    let mut watcher = hub.client(Transport::WebSocket, "bob", &["chat:1"]).await?;
    for digit in ["0", "f"] {
        let key = format!("{}.{}", victim.session(), digit.repeat(32));
        let answer = hub
            .http
            .post(hub.url(&format!("/v1/commands?key={key}")))
            .body(r#"{"id":1,"publish":{"channel":"chat:1","data":"forged"}}"#)
            .send()
            .await?;
        ensure!(answer.status() == 410, "{}", answer.status());
        let answer = hub
            .http
            .get(hub.url(&format!("/v1/poll?key={key}&wait=0")))
            .send()
            .await?;
        ensure!(answer.status() == 410, "{}", answer.status());
    }
    hub.services()
        .await?
        .publish_numbers("chat:1", 0..1)
        .await?;
    watcher.numbers("chat:1", 0..1).await
}

#[tokio::test]
async fn a_cursor_with_the_largest_sequence_harms_nobody() -> Result<()> {
    let hub = Hub::start().await?;
    let mut other = hub.client(Transport::WebSocket, "bob", &["chat:1"]).await?;
    // Version 1, the sequence as a varint, no positions.
    let cursor = [
        1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0,
    ];
    let cursor = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(cursor);
    // One for each shard at least.
    for _ in 0..4 {
        let token = hub.token("alice");
        let path = format!("/v1/poll?channel=chat:1&wait=0&cursor={cursor}&token={token}");
        let answer = hub.http.get(hub.url(&path)).send().await?;
        ensure!(answer.status() == 200, "{}", answer.status());
        ensure!(answer.text().await?.contains(r#""open""#), "no session");
    }
    hub.services()
        .await?
        .publish_numbers("chat:1", 0..3)
        .await?;
    other.numbers("chat:1", 0..3).await
}
