//! A gRPC client in another language, generated from the proto files as its users would.

use std::time::Duration;

use anyhow::{Result, ensure};
use switchboard_tests::script::Script;
use switchboard_tests::{Hub, Transport, tools};
use tokio::process::Command;

const PATIENCE: Duration = Duration::from_secs(40);

/// A Python script with all that `control.py` looks for in the environment.
pub(crate) fn python(hub: &Hub, script: &str) -> Result<Command> {
    let mut command = Command::new(tools::python()?);
    command
        .arg(tools::file(script))
        .env("SWITCHBOARD_PROTO", tools::file("../proto"))
        .env("SWITCHBOARD_GRPC", hub.api.to_string())
        .env("SWITCHBOARD_API_KEY", &hub.api_key)
        // The checkout is not ours to leave bytecode in.
        .env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(command)
}

#[tokio::test]
async fn a_generated_python_client_publishes_and_reads_refusals() -> Result<()> {
    let hub = Hub::start().await?;
    let mut client = hub
        .client(Transport::WebSocket, "alice", &["chat:1", "chat:2"])
        .await?;
    let mut script = Script::start(&mut python(&hub, "python/grpc_client.py")?, hub.directory())?;
    let offset = script.say("offset", PATIENCE).await?;
    ensure!(offset == 1, "{offset}");
    let refused = script.say("refused", PATIENCE).await?;
    ensure!(refused == "NOT_FOUND unknown_namespace", "{refused}");
    let acknowledged = script.say("acknowledged", PATIENCE).await?;
    ensure!(
        acknowledged == serde_json::json!((0..200).collect::<Vec<_>>()),
        "{acknowledged}"
    );
    script.done(PATIENCE).await?;
    client.numbers("chat:1", 0..1).await?;
    client.numbers("chat:2", 0..200).await
}
