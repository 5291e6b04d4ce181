//! A client that does not read delays only itself: it is closed or loses publications by its channel's policy, and every
//! loss is announced.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use switchboard_tests::waiting::SOON;
use switchboard_tests::{Client, Hub, Transport, every_transport};

/// Together more than the kernel's buffers and a client library's take in.
const PUBLICATIONS: u64 = 600;
const PAD: usize = 32 * 1024;

every_transport!(
    a_slow_consumer_is_closed_and_recovers,
    a_slow_consumer_loses_the_oldest_and_is_told,
    a_slow_consumer_keeps_the_latest_and_is_told,
);

async fn start() -> Result<Hub> {
    Hub::start_with(|config| {
        config
            .set("limits.outbox_bytes_max", "262_144")
            .set("limits.poll_linger_s", "60")
            // Who polls comes for its close only when all has been published.
            .set("limits.close_timeout_s", "60");
    })
    .await
}

/// Publishes everything, each publication when somebody else on the same transport has read the one before, while
/// `slow` does not read.
async fn overflow(hub: &Hub, transport: Transport, channel: &str) -> Result<Client> {
    let services = hub.services().await?;
    let slow = hub.client(transport, "slow", &[channel]).await?;
    let mut quick = hub.client(transport, "quick", &[channel]).await?;
    let pad = "x".repeat(PAD);
    for n in 0..PUBLICATIONS {
        services
            .publish(channel, &json!({"n": n, "pad": pad}))
            .await?;
        let message = quick
            .await_kind("message")
            .await
            .context("the client that reads was harmed")?;
        ensure!(
            message.data()["n"] == n,
            "{n} was to come to the client that reads, not {message:?}"
        );
    }
    Ok(slow)
}

async fn a_slow_consumer_is_closed_and_recovers(transport: Transport) -> Result<()> {
    let hub = start().await?;
    let mut slow = overflow(&hub, transport, "close:1").await?;
    let closed = hub
        .metrics()
        .await?
        .labelled("session_closes_total", "code=\"4000\"");
    ensure!(
        (closed - 1.0).abs() < 0.1,
        "{closed} sessions were closed as slow, and one was to be"
    );

    // What the kernel had taken before is still readable, then the end comes.
    let (ended, frames) = slow.end(SOON * 2).await?;
    ensure!(ended.code.is_none_or(|code| code == 4000), "{ended:?}");
    ensure!(
        !frames.iter().any(|frame| frame.kind == "gap"),
        "nothing was lost that could not be recovered"
    );
    let seen = frames
        .iter()
        .filter(|frame| frame.kind == "message")
        .count() as u64;
    ensure!(seen < PUBLICATIONS, "it was not slow");
    let mut again = slow.drop_abruptly().resume(&hub, transport).await?;
    ensure!(again.recovered("close:1"), "{:?}", again.subscribed);
    let rest = usize::try_from(PUBLICATIONS - seen)?;
    let messages = again.messages("close:1", rest).await?;
    let numbers: Vec<u64> = messages
        .iter()
        .filter_map(|message| message.data()["n"].as_u64())
        .collect();
    ensure!(
        numbers.iter().copied().eq(seen..PUBLICATIONS),
        "{seen} were seen, then {numbers:?}"
    );
    Ok(())
}

/// Reads to the last publication: ascending, and a gap before the first one after each hole.
async fn read_with_gaps(slow: &mut Client) -> Result<(Vec<u64>, u64)> {
    let mut numbers: Vec<u64> = Vec::new();
    let (mut gaps, mut announced) = (0, None);
    while numbers.last() != Some(&(PUBLICATIONS - 1)) {
        let frame = slow
            .next_within(Duration::from_secs(20))
            .await?
            .context("the last publication never came")?;
        match frame.kind.as_str() {
            "gap" => {
                ensure!(frame.body["reason"] == "slow_consumer", "{frame:?}");
                announced = frame.body["position"]["offset"].as_u64();
                gaps += 1;
            }
            "message" => {
                let expected = numbers.len() as u64 + 1;
                let last = numbers.last().map_or(0, |n| n + 1);
                if frame.offset() != last + 1 {
                    let gap = announced.with_context(|| {
                        format!("{} follows {last} and no gap was announced", frame.offset())
                    })?;
                    ensure!(
                        frame.offset() > last && gap > last && gap <= frame.offset(),
                        "{frame:?} after {last}, gap {gap}"
                    );
                    ensure!(
                        frame.offset() > expected,
                        "{frame:?} came after a gap and closes none"
                    );
                }
                announced = None;
                ensure!(
                    frame.data()["n"] == frame.offset() - 1,
                    "offset {} is of another",
                    frame.offset()
                );
                numbers.push(frame.offset() - 1);
            }
            other => bail!("{other} while catching up: {frame:?}"),
        }
    }
    Ok((numbers, gaps))
}

async fn a_slow_consumer_loses_the_oldest_and_is_told(transport: Transport) -> Result<()> {
    let hub = start().await?;
    let mut slow = overflow(&hub, transport, "drop:1").await?;
    let (numbers, gaps) = read_with_gaps(&mut slow).await?;
    ensure!(
        gaps >= 1 && numbers.len() < PUBLICATIONS as usize,
        "{} came, with {gaps} gaps",
        numbers.len()
    );
    let dropped = hub.metrics().await?.sum("drops_total");
    let lost = (PUBLICATIONS - numbers.len() as u64) as f64;
    ensure!(
        (dropped - lost).abs() < 0.1,
        "{dropped} are counted as dropped, and {lost} did not come"
    );
    goes_on(&hub, &mut slow, "drop:1").await
}

async fn a_slow_consumer_keeps_the_latest_and_is_told(transport: Transport) -> Result<()> {
    let hub = start().await?;
    let mut slow = overflow(&hub, transport, "keep:1").await?;
    let (numbers, gaps) = read_with_gaps(&mut slow).await?;
    ensure!(
        gaps >= 1 && numbers.len() < PUBLICATIONS as usize,
        "{} came, with {gaps} gaps",
        numbers.len()
    );
    goes_on(&hub, &mut slow, "keep:1").await
}

/// Having caught up, it hears everything again.
async fn goes_on(hub: &Hub, slow: &mut Client, channel: &str) -> Result<()> {
    let services = hub.services().await?;
    for n in PUBLICATIONS..PUBLICATIONS + 20 {
        services.publish(channel, &json!({"n": n})).await?;
    }
    slow.numbers(channel, PUBLICATIONS..PUBLICATIONS + 20)
        .await?;
    hub.await_metric("outbox_bytes", |bytes| {
        bytes.abs() < 0.5 || slow.transport == Transport::Poll
    })
    .await?;
    Ok(())
}
