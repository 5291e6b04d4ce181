//! Well-known clients of Python and Node.js, each over its transport.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use switchboard_proto::api::v1 as api;
use switchboard_tests::script::Script;
use switchboard_tests::{Hub, services, tools};
use tokio::process::Command;

/// An interpreter may take its time to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Large enough to be compressed where that was agreed.
fn payload(n: u64) -> serde_json::Value {
    json!({"n": n, "text": "the same again, ".repeat(60)})
}

fn command(
    hub: &Hub,
    program: &std::path::Path,
    script: &str,
    transport: &str,
    count: u64,
) -> Result<Command> {
    let mut command = Command::new(program);
    command
        .arg(tools::file(script))
        .args([transport, "chat:1", &count.to_string()]);
    command
        .env("SWITCHBOARD_HUB", hub.url(""))
        .env("SWITCHBOARD_TOKEN", hub.token("alice"));
    if script.starts_with("node/") {
        command.env("SWITCHBOARD_NODE_MODULES", tools::node_modules()?);
    }
    Ok(command)
}

/// The script hears 20 publications, then its own.
async fn listens(hub: &Hub, mut script: Script, transport: &str) -> Result<()> {
    if transport == "websocket" {
        let negotiated = script.say("negotiated", PATIENCE).await?;
        ensure!(
            negotiated.to_string().contains("permessage-deflate"),
            "{negotiated}"
        );
        ensure!(
            negotiated["subprotocol"] == "switchboard.v1.json",
            "{negotiated}"
        );
    }
    let open = script.say("open", PATIENCE).await?;
    ensure!(open["channel"] == "chat:1", "{open}");
    let services = hub.services().await?;
    for n in 0..20 {
        services.publish("chat:1", &payload(n)).await?;
    }
    for n in 0..20 {
        let message = script.say("message", PATIENCE).await?;
        ensure!(
            message["data"] == payload(n) && message["offset"] == n + 1,
            "{n} was to come, not {message}"
        );
    }
    let own = script.say("message", PATIENCE).await?;
    ensure!(
        own["data"]["from"] == transport && own["from"]["user"] == "alice",
        "{own}"
    );
    script.done(PATIENCE).await
}

async fn python_listens(transport: &str) -> Result<()> {
    let hub = Hub::start().await?;
    let mut command = command(&hub, &tools::python()?, "python/listen.py", transport, 20)?;
    listens(
        &hub,
        Script::start(&mut command, hub.directory())?,
        transport,
    )
    .await
}

async fn node_listens(transport: &str) -> Result<()> {
    let hub = Hub::start().await?;
    let mut command = command(&hub, &tools::node()?, "node/listen.mjs", transport, 20)?;
    listens(
        &hub,
        Script::start(&mut command, hub.directory())?,
        transport,
    )
    .await
}

#[tokio::test]
async fn python_websockets_listens_and_publishes() -> Result<()> {
    python_listens("websocket").await
}

#[tokio::test]
async fn python_httpx_sse_listens_and_publishes() -> Result<()> {
    python_listens("sse").await
}

#[tokio::test]
async fn python_httpx_polls_and_publishes() -> Result<()> {
    python_listens("poll").await
}

#[tokio::test]
async fn node_ws_listens_and_publishes() -> Result<()> {
    node_listens("websocket").await
}

#[tokio::test]
async fn node_eventsource_listens_and_publishes() -> Result<()> {
    node_listens("sse").await
}

#[tokio::test]
async fn an_eventsource_resumes_by_itself_without_loss() -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    let mut command = command(&hub, &tools::node()?, "node/listen.mjs", "sse", 30)?;
    let mut script = Script::start(&mut command, hub.directory())?;
    script.say("open", PATIENCE).await?;
    services.publish_numbers("chat:1", 0..10).await?;
    for n in 0..10 {
        let message = script.say("message", PATIENCE).await?;
        ensure!(message["data"]["n"] == n, "{n} was to come, not {message}");
    }
    let request = api::DisconnectRequest {
        target: Some(services::user("alice")),
        code: Some(4050),
        reason: "the stream breaks".into(),
        reconnect: true,
    };
    services.sessions().disconnect(request).await?;
    services.publish_numbers("chat:1", 10..30).await?;
    let again = script.say("open", PATIENCE).await?;
    ensure!(again["recovered"] == true, "{again}");
    for n in 10..30 {
        let message = script.say("message", PATIENCE).await?;
        ensure!(message["data"]["n"] == n, "{n} was to come, not {message}");
    }
    let own = script.say("message", PATIENCE).await?;
    ensure!(own["data"]["from"] == "sse", "{own}");
    script.done(PATIENCE).await
}
