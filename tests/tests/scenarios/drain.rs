//! SIGTERM: readiness goes first, then everybody is asked to leave, spread out; a second signal ends it at once.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use switchboard_tests::client::Refused;
use switchboard_tests::waiting::{SOON, until};
use switchboard_tests::{Hub, Transport, every_transport};

every_transport!(
    a_drain_tells_everybody_and_ends_with_1001,
    nobody_new_is_let_in_during_a_drain
);

async fn not_ready(hub: &Hub) -> Result<()> {
    until("readiness to fail", SOON, || async {
        Ok((hub.readyz().await? == 503).then_some(()))
    })
    .await
}

async fn a_drain_tells_everybody_and_ends_with_1001(transport: Transport) -> Result<()> {
    let mut hub = Hub::start_with(|config| {
        config
            .set("drain.ready_delay_s", "1.5")
            .set("drain.deadline_s", "20");
    })
    .await?;
    let services = hub.services().await?;
    let mut client = hub.client(transport, "alice", &["chat:1"]).await?;
    hub.signal("TERM")?;
    not_ready(&hub).await?;
    // Not ready, and serving everybody as before.
    services.publish_numbers("chat:1", 0..3).await?;
    client.numbers("chat:1", 0..3).await?;
    client.command("ping", json!({})).await?;

    let draining = client.await_kind("draining").await?;
    ensure!(
        draining.body["reconnect_after"].as_u64().is_some(),
        "{draining:?}"
    );
    let close = client.closed(1001).await?;
    ensure!(close["reconnect"] == true, "{close}");
    drop(client);
    drop(services);
    let status = hub.ended(SOON * 2).await?;
    ensure!(status.success(), "it ended with {status}");
    Ok(())
}

async fn nobody_new_is_let_in_during_a_drain(transport: Transport) -> Result<()> {
    let hub = Hub::start_with(|config| {
        config
            .set("drain.ready_delay_s", "30")
            .set("drain.window_s", "30")
            .set("drain.deadline_s", "60");
    })
    .await?;
    hub.signal("TERM")?;
    not_ready(&hub).await?;
    if transport == Transport::Sse {
        let error = hub
            .client(transport, "late", &[])
            .await
            .err()
            .context("somebody new was let in")?;
        ensure!(format!("{error:#}").contains("1013"), "{error:#}");
    } else {
        let refused = Refused::of(hub.client(transport, "late", &[]).await)?;
        ensure!(
            refused.status == 503 && refused.code == "unavailable",
            "{refused:?}"
        );
        ensure!(refused.retry_after.is_some(), "{refused:?}");
    }
    Ok(())
}

#[tokio::test]
async fn clients_are_sent_away_spread_out() -> Result<()> {
    let mut hub = Hub::start_with(|config| {
        config
            .set("drain.ready_delay_s", "0")
            .set("drain.window_s", "2")
            .set("drain.deadline_s", "20");
    })
    .await?;
    let mut clients = Vec::new();
    for n in 0..24 {
        clients.push(
            hub.client(Transport::ALL[n % 3], &format!("user-{n}"), &["chat:1"])
                .await?,
        );
    }
    hub.signal("TERM")?;
    let start = Instant::now();
    let away = clients.iter_mut().map(|client| async move {
        let draining = client.await_kind("draining").await?;
        let (ended, _) = client.end(SOON).await?;
        ensure!(ended.code == Some(1001), "{ended:?}");
        Ok((
            draining.body["reconnect_after"]
                .as_u64()
                .unwrap_or_default(),
            start.elapsed(),
        ))
    });
    let away = futures_util::future::try_join_all(away).await?;
    let hints: BTreeSet<u64> = away.iter().map(|(hint, _)| *hint).collect();
    ensure!(
        hints.len() > 8,
        "24 clients are told to come back at {hints:?} ms"
    );
    let (first, last) = (
        away.iter().map(|(_, at)| at).min(),
        away.iter().map(|(_, at)| at).max(),
    );
    let spread = last
        .zip(first)
        .map(|(last, first)| (*last).checked_sub(*first).unwrap())
        .unwrap_or_default();
    ensure!(
        spread > Duration::from_millis(700),
        "all left within {spread:?} of a window of 2 s"
    );
    drop(clients);
    ensure!(hub.ended(SOON * 2).await?.success(), "the process failed");
    Ok(())
}

#[tokio::test]
async fn a_drain_does_not_wait_for_polls_that_may_come() -> Result<()> {
    let mut hub = Hub::start_with(|config| {
        config
            .set("drain.ready_delay_s", "0")
            .set("drain.window_s", "1")
            .set("drain.deadline_s", "60")
            .set("limits.close_timeout_s", "60");
    })
    .await?;
    // It has polled, and does not now.
    let _between_polls = hub.client(Transport::Poll, "alice", &["chat:1"]).await?;
    hub.signal("TERM")?;
    let status = hub.ended(SOON).await?;
    ensure!(status.success(), "it ended with {status}");
    Ok(())
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() -> Result<()> {
    let mut hub = Hub::start_with(|config| {
        config
            .set("drain.ready_delay_s", "30")
            .set("drain.window_s", "30")
            .set("drain.deadline_s", "60");
    })
    .await?;
    let _client = hub
        .client(Transport::WebSocket, "alice", &["chat:1"])
        .await?;
    hub.signal("TERM")?;
    not_ready(&hub).await?;
    hub.signal("TERM")?;
    let status = hub.ended(Duration::from_secs(5)).await?;
    ensure!(!status.success(), "a stop at once is no success: {status}");
    Ok(())
}

#[tokio::test]
async fn the_deadline_cuts_what_is_left() -> Result<()> {
    let mut hub = Hub::start_with(|config| {
        config
            .set("drain.ready_delay_s", "0")
            .set("drain.window_s", "1")
            .set("drain.deadline_s", "2");
    })
    .await?;
    // Neither of them reads, so neither goes when asked to.
    let _websocket = hub
        .client(Transport::WebSocket, "alice", &["chat:1"])
        .await?;
    let _stream = hub.client(Transport::Sse, "bob", &["chat:1"]).await?;
    hub.signal("TERM")?;
    hub.ended(Duration::from_secs(8)).await?;
    Ok(())
}
