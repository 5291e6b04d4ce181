//! Interference: what stalled readers do to the others, and what a large fan-out does to a small channel.

use std::time::Duration;

use anyhow::Result;

use crate::fleet::{Fleet, switchboard};
use crate::hub::{Hub, token};
use crate::load::{Framing, percentile};
use crate::publisher::{By, Publisher};
use crate::scenario::Setting;
use crate::scenario::crowd::Crowd;
use crate::scenario::opening::Opening;
use crate::scenario::stage::{Delivering, Length, Pace, Stage};

/// What stalled readers cost.
#[derive(Clone, Debug)]
pub(crate) struct Stalled {
    pub(crate) opening: Opening,
    /// What those that read got, without and with stalled readers.
    pub(crate) without: Delivering,
    pub(crate) with: Delivering,
    /// What was left of the hub's growth once the stalled had been closed, bytes.
    pub(crate) left_bytes: u64,
    /// Bytes that the stalled sessions may be owed at most.
    pub(crate) budget_bytes: u64,
}

/// Publications large enough to fill the kernel's buffers of who does not read.
pub(crate) const STALLING_PAYLOAD_LEN: usize = 16 * 1024;

/// `readers` read and `stalled` do not; one publication at a time.
pub(crate) async fn stalled_readers(
    setting: &Setting,
    framing: Framing,
    (readers, stalled): (usize, usize),
    payload_len: usize,
    length: Length,
) -> Result<Stalled> {
    let crowd = Crowd::on_one_channel(framing, readers)?;
    let quiet = crowd.stalled(stalled);
    let mut stage = Stage::open(setting, crowd, payload_len).await?;
    let without = stage.publish(Pace::One, By::Unary, length).await?;
    let base = stage.hub.process().anonymous_bytes()?;
    eprintln!("  the same beside {stalled} that never read");
    let idle = stage.open_beside(quiet).await?;
    let with = stage.publish(Pace::One, By::Unary, length).await?;
    idle.close().await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let left_bytes = stage.hub.process().anonymous_bytes()?.saturating_sub(base);
    let opening = stage.opening;
    stage.close().await?;
    Ok(Stalled {
        opening,
        without,
        with,
        left_bytes,
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
        Ok(percentile(&few.report().await?.latency, 0.99))
    };
    let p99 = tokio::select! {
        ended = noise => { ended?; anyhow::bail!("the large fan-out has ended") }
        p99 = measured => p99,
    };
    p99
}
