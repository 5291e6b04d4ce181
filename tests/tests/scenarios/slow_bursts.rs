//! A client that does not read, while bursts over several channels come to it at once: each channel's policy holds for
//! what was written together as for single publications.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use switchboard_proto::api::v1 as api;
use switchboard_tests::services::item;
use switchboard_tests::{Hub, Transport, every_transport};

/// Together more than the kernel's buffers and a client library's take in.
const BURSTS: u64 = 150;
const A_BURST: u64 = 4;
const PAD: usize = 16 * 1024;
const CHANNELS: [&str; 3] = ["drop:1", "drop:2", "keep:1"];

every_transport!(a_burst_over_channels_is_dropped_by_their_policies_and_told);

async fn a_burst_over_channels_is_dropped_by_their_policies_and_told(
    transport: Transport,
) -> Result<()> {
    let hub = Hub::start_with(|config| {
        config
            .set("limits.outbox_bytes_max", "262_144")
            .set("limits.poll_linger_s", "60");
    })
    .await?;
    let services = hub.services().await?;
    let mut slow = hub.client(transport, "slow", &CHANNELS).await?;
    let pad = "x".repeat(PAD);
    for burst in 0..BURSTS {
        let numbers = burst * A_BURST..(burst + 1) * A_BURST;
        let items =
            numbers.flat_map(|n| CHANNELS.map(|name| item(name, &json!({"n": n, "pad": pad}))));
        let request = api::PublishBatchRequest {
            items: items.collect(),
        };
        services.publishing().publish_batch(request).await?;
    }
    ensure!(
        hub.metrics().await?.sum("session_closes_total") < 0.5,
        "a session was closed, and no channel's policy is that"
    );
    let last = BURSTS * A_BURST;
    let mut at: BTreeMap<String, u64> = CHANNELS.map(|name| (name.to_owned(), 0)).into();
    let mut came = 0;
    while at.values().any(|at| *at < last) {
        let frame = slow
            .next_within(Duration::from_secs(20))
            .await?
            .with_context(|| format!("the end never came: {at:?} of {last}"))?;
        let channel = frame.body["channel"].as_str().context("a channel")?;
        let at = at.get_mut(channel).context("a channel of this test")?;
        if frame.kind == "gap" {
            ensure!(frame.body["reason"] == "slow_consumer", "{frame:?}");
            let position = frame.body["position"]["offset"].as_u64();
            let position = position.context("a position")?;
            ensure!(position > *at, "{channel} at {at}: {frame:?}");
            *at = position;
        } else {
            ensure!(frame.offset() == *at + 1, "{channel} at {at}: {frame:?}");
            *at = frame.offset();
            came += 1;
        }
    }
    let owed = last * CHANNELS.len() as u64;
    let dropped = hub.metrics().await?.sum("drops_total");
    ensure!(came < owed, "it was not slow");
    let lost = (owed - came) as f64;
    // A poll's answer that has not been acknowledged may have come all the same, and be dropped here.
    let agrees = if transport == Transport::Poll {
        dropped >= lost
    } else {
        (dropped - lost).abs() < 0.1
    };
    ensure!(
        agrees,
        "{came} of {owed} came, and {dropped} are counted as dropped"
    );
    Ok(())
}
