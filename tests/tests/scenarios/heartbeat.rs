//! Signs of life, both ways: pings, pongs, and what becomes of those that give none.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use switchboard_tests::raw::{Raw, opcode};
use switchboard_tests::{Hub, Transport, every_transport};

every_transport!(a_heartbeat_comes_when_nothing_else_does);

async fn a_heartbeat_comes_when_nothing_else_does(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let opening = hub.opening("alice").channel("chat:1").heartbeat(1);
    let mut client = hub.open(transport, opening).await?;
    for _ in 0..2 {
        let heartbeat = client.expect("heartbeat").await?;
        ensure!(
            heartbeat.body["time"]
                .as_u64()
                .is_some_and(|time| time > 1_700_000_000_000),
            "{heartbeat:?}"
        );
    }
    Ok(())
}

async fn quick() -> Result<Hub> {
    Hub::start_with(|config| {
        config
            .set("limits.ping_interval_s", "0.4")
            .set("limits.pong_timeout_s", "0.4");
    })
    .await
}

#[tokio::test]
async fn a_client_that_answers_pings_stays() -> Result<()> {
    let hub = quick().await?;
    let mut client = hub
        .client(Transport::WebSocket, "alice", &["chat:1"])
        .await?;
    let frame = client.next_within(Duration::from_millis(2500)).await?;
    ensure!(frame.is_none(), "{frame:?}");
    ensure!(
        client.ws_mut().pings >= 3,
        "{} pings in 2.5 s",
        client.ws_mut().pings
    );
    ensure!(
        hub.metrics().await?.sum("heartbeats_missed_total") < 0.5,
        "it was taken for dead"
    );
    hub.services()
        .await?
        .publish_numbers("chat:1", 0..1)
        .await?;
    client.numbers("chat:1", 0..1).await
}

#[tokio::test]
async fn those_that_answer_no_ping_are_closed_in_time() -> Result<()> {
    let hub = quick().await?;
    let mut silent = Vec::new();
    for n in 0..20 {
        let path = format!(
            "/v1/ws?channel=chat:1&token={}",
            hub.token(&format!("user-{n}"))
        );
        silent.push(Raw::websocket(hub.clients, &path, "").await?.0);
    }
    hub.await_metric("sessions", |count| count > 19.5).await?;
    let start = Instant::now();
    hub.await_metric("sessions", |count| count < 0.5).await?;
    // Interval and timeout, and room for a busy machine.
    ensure!(
        start.elapsed() < Duration::from_secs(4),
        "it took {:?}",
        start.elapsed()
    );
    for raw in &mut silent {
        let close = raw.control().await?;
        ensure!(
            close.opcode() == opcode::CLOSE && close.close_code() == Some(1001),
            "{close:?}"
        );
    }
    let metrics = hub.metrics().await?;
    ensure!(
        (metrics.sum("heartbeats_missed_total") - 20.0).abs() < 0.5,
        "{}",
        metrics.sum("heartbeats_missed_total")
    );
    ensure!(
        metrics.sum("subscriptions").abs() < 0.5,
        "subscriptions are left behind"
    );
    drop(silent);
    let before = hub.descriptors()?;
    hub.await_metric("descriptors_open", |count| count <= before as f64)
        .await?;
    Ok(())
}
