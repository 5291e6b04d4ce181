//! Interference: what stalled readers do to the others, and what a large fan-out does to a small channel.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::fleet::{Fleet, percentile, switchboard};
use crate::hub::{Hub, token};
use crate::load::Framing;
use crate::publisher::Publisher;
use crate::scenario::Setting;

/// What stalled readers cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stalled {
    /// The 99th percentile of those that read, microseconds, without and with stalled readers.
    pub(crate) p99_us: (u64, u64),
    /// The most that the hub grew, and what was left of it once the stalled had been closed, bytes.
    pub(crate) grown_bytes: u64,
    pub(crate) left_bytes: u64,
    /// Bytes that the stalled sessions may be owed at most.
    pub(crate) budget_bytes: u64,
}

/// `readers` read and `stalled` do not; publications are large enough to fill the kernel's buffers of the stalled.
pub(crate) async fn stalled_readers(
    setting: &Setting,
    readers: usize,
    stalled: usize,
) -> Result<Stalled> {
    const ROUNDS: u64 = 250;
    const PAYLOAD_LEN: usize = 16 * 1024;
    let names = vec!["b:all".to_owned()];
    let hub = Hub::start(&setting.hub).await?;
    let group = switchboard(Framing::WebSocket, readers, &names, &token("bench")?);
    let mut fleet = Fleet::open(hub.clients, vec![group.clone()]).await?;
    let mut publisher = Publisher::new(hub.api, names, PAYLOAD_LEN).await?;
    let mut p99 = [0; 2];
    let (mut grown, mut base) = (0, 0);
    let mut idle = None;
    for p99 in &mut p99 {
        fleet.reset(true).await?;
        for round in 1..=ROUNDS {
            publisher.one(0).await?;
            fleet.arrived(round).await?;
            if idle.is_some() {
                grown = grown.max(hub.process().anonymous_bytes()?.saturating_sub(base));
            }
        }
        *p99 = percentile(&fleet.report().await?, 0.99);
        if idle.is_none() {
            let mut quiet = group.clone();
            quiet.clients = stalled;
            quiet.stalled = true;
            base = hub.process().anonymous_bytes()?;
            idle = Some(Fleet::open(hub.clients, vec![quiet]).await?);
        }
    }
    let report = fleet.report().await?;
    ensure!(
        report.closed == 0,
        "{} of the others were closed",
        report.closed
    );
    if let Some(idle) = idle {
        idle.close().await?;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let left = hub.process().anonymous_bytes()?.saturating_sub(base);
    fleet.close().await?;
    Ok(Stalled {
        p99_us: (p99[0], p99[1]),
        grown_bytes: grown,
        left_bytes: left,
        budget_bytes: stalled as u64 * (1 << 20),
    })
}

/// The 99th percentile (microseconds) of a channel of 10 while fan-outs to `subscribers` run without a pause.
pub(crate) async fn beside_a_large_fan_out(
    setting: &Setting,
    subscribers: usize,
    publications: u64,
) -> Result<u64> {
    let hub = Hub::start(&setting.hub).await?;
    let (large, small) = (vec!["b:large".to_owned()], vec!["b:small".to_owned()]);
    let group = switchboard(Framing::WebSocket, subscribers, &large, &token("bench")?);
    let mut crowd = Fleet::open(hub.clients, vec![group]).await?;
    let group = switchboard(Framing::WebSocket, 10, &small, &token("bench")?);
    let mut few = Fleet::open(hub.clients, vec![group]).await?;
    let mut loud = Publisher::new(hub.api, large, 128).await?;
    let mut quiet = Publisher::new(hub.api, small, 128).await?;
    crowd.reset(false).await?;
    few.reset(true).await?;
    let noise = async {
        for n in 1u64.. {
            loud.one(0).await?;
            crowd.arrived(n.saturating_sub(1)).await?;
        }
        anyhow::Ok(())
    };
    let measured = async {
        for n in 1..=publications {
            quiet.one(0).await?;
            few.arrived(n).await?;
            tokio::time::sleep(Duration::from_millis(7)).await;
        }
        Ok(percentile(&few.report().await?, 0.99))
    };
    let p99 = tokio::select! {
        ended = noise => { ended?; anyhow::bail!("the large fan-out has ended") }
        p99 = measured => p99,
    };
    p99
}
