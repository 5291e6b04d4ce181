//! The examples run as they are. `cargo test` builds them; with `--test client` alone, add `--examples` to a build before.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::process::Command;
use tokio::time::timeout;

use crate::stage::{PATIENCE, channel, shared};

/// Beside this program's directory.
fn program(name: &str) -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let profile = this.parent().and_then(|deps| deps.parent());
    let program = profile
        .context("this program is in a target directory")?
        .join("examples")
        .join(name);
    ensure!(
        program.is_file(),
        "build the examples first: there is no {}",
        program.display()
    );
    Ok(program)
}

async fn says(name: &str, namespace: &str, wanted: &str) -> Result<()> {
    let stage = shared()?;
    let token = stage.token(json!({ "user": "ann" })).await?;
    let running = Command::new(program(name)?)
        .env("SWITCHBOARD_URL", &stage.ports.proxy)
        .env("SWITCHBOARD_GRPC", stage.grpc())
        .env("SWITCHBOARD_API_KEY", &stage.ports.api_key)
        .env("SWITCHBOARD_TOKEN", token)
        .env("SWITCHBOARD_CHANNEL", channel(namespace))
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, running)
        .await
        .context("it goes on for ever")??;
    let (said, wrong) = (
        String::from_utf8(output.stdout)?,
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(said, wanted, "{wrong}");
    ensure!(output.status.success(), "{wrong}");
    Ok(())
}

#[tokio::test]
async fn chat() -> Result<()> {
    says("chat", "chat", "ann: hello\nann: goodbye\n").await
}

#[tokio::test]
async fn inbox() -> Result<()> {
    says("inbox", "inbox", "handled 0\nhandled 1\nhandled 2\n").await
}

#[tokio::test]
async fn publish() -> Result<()> {
    says("publish", "chat", "published at offset 1\n0 members\n").await
}
