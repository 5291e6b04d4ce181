//! A person with curl.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use switchboard_tests::script::Script;
use switchboard_tests::{Hub, tools};
use tokio::process::Command;

const PATIENCE: Duration = Duration::from_secs(20);

fn curl(hub: &Hub) -> Result<Command> {
    let mut command = Command::new(tools::program("SWITCHBOARD_CURL", &["curl"])?);
    command.args(["--no-buffer", "--silent", "--show-error", "--noproxy", "*"]);
    command
        .arg("--header")
        .arg(format!("Authorization: Bearer {}", hub.token("alice")));
    Ok(command)
}

#[tokio::test]
async fn curl_reads_an_event_stream_as_it_comes() -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    services.publish_numbers("chat:1", 0..1).await?;
    let mut command = curl(&hub)?;
    command.arg(hub.url("/v1/sse?channel=chat:1&rewind=1"));
    let mut script = Script::start(&mut command, hub.directory())?;
    let mut next = 0;
    let mut event = String::new();
    while next < 5 {
        let line = script.line(PATIENCE).await?.context("the stream ended")?;
        if let Some(kind) = line.strip_prefix("event: ") {
            kind.clone_into(&mut event);
        } else if let Some(data) = line.strip_prefix("data: ")
            && event.is_empty()
        {
            let message: Value = serde_json::from_str(data)?;
            ensure!(
                message["data"]["n"] == next && message["offset"] == next + 1,
                "{message}"
            );
            next += 1;
            // Only now: what was published before must have come by itself.
            services.publish_numbers("chat:1", next..next + 1).await?;
        } else if let Some(data) = line.strip_prefix("data: ")
            && event == "open"
        {
            let open: Value = serde_json::from_str(data)?;
            hub.secrets.add(open["key"].as_str().unwrap_or_default());
        } else if line.is_empty() {
            event.clear();
        }
    }
    Ok(())
}

#[tokio::test]
async fn curl_polls_and_posts_commands() -> Result<()> {
    let hub = Hub::start().await?;
    let run = async |arguments: &[String]| -> Result<String> {
        let output = curl(&hub)?.args(arguments).output().await?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    };
    let first: Value = serde_json::from_str(&run(&[hub.url("/v1/poll?channel=chat:1")]).await?)?;
    let key = first["key"].as_str().context("no key")?;
    hub.secrets.add(key);
    let lines = "{\"id\":1,\"publish\":{\"channel\":\"chat:1\",\"data\":{\"text\":\"hello\"},\"id\":\"m-1\"}}\n{\"id\":2,\"ping\":{}}\n";
    let commands = hub.url(&format!("/v1/commands?key={key}"));
    let replies = run(&[commands, "--data-binary".into(), lines.into()]).await?;
    ensure!(
        replies.lines().count() == 2 && replies.contains("\"offset\":1"),
        "{replies}"
    );

    let cursor = first["cursor"].as_str().context("no cursor")?;
    let next = run(&[hub.url(&format!("/v1/poll?key={key}&cursor={cursor}&wait=10"))]).await?;
    let next: Value = serde_json::from_str(&next)?;
    ensure!(
        next["frames"][0]["message"]["data"]["text"] == "hello",
        "{next}"
    );
    Ok(())
}
