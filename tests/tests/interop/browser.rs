//! The development page in a real browser, over all three transports, and while its hub is restarted.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use switchboard_tests::script::Script;
use switchboard_tests::{Hub, tools};
use tokio::process::Command;

use crate::grpc::python;

const PATIENCE: Duration = Duration::from_secs(90);
const PUBLICATIONS: u64 = 30;

/// A script that drives the page; pictures are its last argument.
fn drive(script: &str, arguments: &[&str]) -> Result<Command> {
    let chromium = tools::program(
        "SWITCHBOARD_CHROMIUM",
        &["chromium", "chromium-browser", "google-chrome"],
    )?;
    let mut command = Command::new(tools::node()?);
    command
        .arg(tools::file(script))
        .args(arguments)
        .arg(tools::output_directory("browser")?)
        .env("SWITCHBOARD_CHROMIUM", chromium)
        .env("SWITCHBOARD_NODE_MODULES", tools::node_modules()?);
    Ok(command)
}

async fn page_over(transport: &str) -> Result<()> {
    let hub = Hub::start_development().await?;
    let count = PUBLICATIONS.to_string();
    let mut command = drive(
        "node/browser.mjs",
        &[&hub.url(""), transport, "demo:lobby", &count],
    )?;
    let mut page = Script::start(&mut command, hub.directory())?;
    let connected = page.say("connected", PATIENCE).await?;
    ensure!(
        connected["chosen"] == "true"
            && connected["channel"] == "demo:lobby"
            && connected["transport"] == transport,
        "{connected}"
    );

    let mut publish = python(&hub, "python/publish.py")?;
    publish.args(["demo:lobby", "0", &PUBLICATIONS.to_string()]);
    let mut publish = Script::start(&mut publish, hub.directory())?;
    let offsets = publish.say("offsets", PATIENCE).await?;
    publish.done(PATIENCE).await?;
    let offsets: Vec<u64> = offsets
        .as_array()
        .context("no offsets")?
        .iter()
        .filter_map(serde_json::Value::as_u64)
        .collect();

    let rows = page.say("rows", PATIENCE).await?;
    let rows = rows.as_array().context("no rows")?;
    let seen: Vec<u64> = rows
        .iter()
        .filter_map(|row| row["offset"].as_u64())
        .collect();
    let own = offsets.last().map_or(1, |last| last + 1);
    let expected: Vec<u64> = offsets.iter().copied().chain([own]).collect();
    ensure!(
        seen == expected,
        "{offsets:?} were published and one by hand, {seen:?} are shown"
    );
    for (n, row) in rows.iter().take(offsets.len()).enumerate() {
        ensure!(
            row["payload"]
                .as_str()
                .is_some_and(|text| text.contains(&format!("number {n}"))),
            "{n}: {row}"
        );
    }
    let last = rows.last().context("no rows")?;
    ensure!(
        last["payload"]
            .as_str()
            .is_some_and(|text| text.contains("typed by a person")),
        "{last}"
    );

    let measured = page.say("measured", PATIENCE).await?;
    let figure = |name: &str| {
        measured[name]
            .as_str()
            .and_then(|text| text.parse::<f64>().ok())
            .unwrap_or(f64::NAN)
    };
    ensure!(
        measured["count"] == "200" && measured["transport"] == transport,
        "{measured}"
    );
    ensure!(
        figure("min") <= figure("p50")
            && figure("p50") <= figure("p99")
            && figure("p99") <= figure("max"),
        "{measured}"
    );

    let disconnected = page.say("disconnected", PATIENCE).await?;
    ensure!(
        disconnected["errors"] == serde_json::json!([]) && disconnected["alert"] == "",
        "{disconnected}"
    );
    page.done(PATIENCE).await?;
    hub.await_metric_within("sessions", Duration::from_secs(40), |count| count < 0.5)
        .await?;
    Ok(())
}

#[tokio::test]
async fn the_page_works_over_websocket() -> Result<()> {
    page_over("websocket").await
}

#[tokio::test]
async fn the_page_works_over_sse() -> Result<()> {
    page_over("sse").await
}

#[tokio::test]
async fn the_page_works_over_long_poll() -> Result<()> {
    page_over("poll").await
}

#[tokio::test]
async fn the_page_survives_a_restart_of_the_hub() -> Result<()> {
    let hub = Hub::start_development().await?;
    let address = hub.clients.to_string();
    let directory = tempfile::tempdir()?;
    let mut command = drive("node/restart.mjs", &[&hub.url(""), "demo:lobby"])?;
    let mut page = Script::start(&mut command, directory.path())?;
    let before = page.say("connected", PATIENCE).await?;
    // With its secrets and its history.
    drop(hub);
    page.say("lost", PATIENCE).await?;
    let _hub = Hub::start_development_at(&address).await?;
    let back = page.say("back", PATIENCE).await?;
    page.done(PATIENCE).await?;
    ensure!(
        back["node"] != before && back["state"] == "connected",
        "{back}"
    );
    // Offsets count anew, and the page says that something may be missing.
    let rows: Vec<_> = back["rows"].as_array().context("no rows")?.iter().collect();
    ensure!(
        rows.len() == 2
            && rows[0]["payload"] == "before"
            && rows[1]["payload"] == "meanwhile"
            && rows[1]["offset"] == 1,
        "{back}"
    );
    ensure!(
        back["gaps"].as_array().is_some_and(|gaps| gaps.len() == 1),
        "{back}"
    );
    Ok(())
}
