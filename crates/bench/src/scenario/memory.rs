//! Memory: what quiet sessions, subscriptions and channels hold on to, as the growth of the hub's anonymous memory.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::fleet::{Fleet, switchboard};
use crate::hub::{Hub, token};
use crate::load::{Framing, Group};
use crate::publisher::Publisher;
use crate::scenario::Setting;

/// How long memory is given to settle: handshakes end, the allocator tidies up.
const SETTLE: Duration = Duration::from_secs(3);

/// Bytes of anonymous memory for each quiet session with one subscription.
pub(crate) async fn idle_session(
    setting: &Setting,
    framing: Framing,
    sessions: usize,
) -> Result<f64> {
    let names = ["b:all".to_owned()];
    let group = |clients| Ok(switchboard(framing, clients, &names, &token("bench")?));
    grown(setting, sessions, group).await
}

/// Bytes for each further subscription of a session, to channels that others have as well.
pub(crate) async fn further_subscription(setting: &Setting, sessions: usize) -> Result<f64> {
    const FURTHER: usize = 50;
    let one = vec!["b:0".to_owned()];
    let many: Vec<String> = (0..=FURTHER).map(|n| format!("b:{n}")).collect();
    let mut bytes = [0.0; 2];
    for (bytes, names) in bytes.iter_mut().zip([one, many]) {
        let group = |n| Ok(switchboard(Framing::WebSocket, n, &names, &token("bench")?));
        *bytes = grown(setting, sessions, group).await?;
    }
    Ok((bytes[1] - bytes[0]) / FURTHER as f64)
}

/// Bytes for each channel that was published to once and keeps no history.
pub(crate) async fn empty_channel(setting: &Setting, channels: usize) -> Result<f64> {
    let hub = Hub::start(&setting.hub).await?;
    let mut publisher = Publisher::new(hub.api, vec!["quiet:warm".to_owned()], 64).await?;
    publisher.stream(1000).await?;
    tokio::time::sleep(SETTLE).await;
    let before = hub.process().anonymous_bytes()?;
    let names = (0..channels).map(|n| format!("quiet:{n}")).collect();
    let mut publisher = Publisher::new(hub.api, names, 64).await?;
    publisher.stream(channels as u64).await?;
    drop(publisher);
    tokio::time::sleep(SETTLE).await;
    let after = hub.process().anonymous_bytes()?;
    Ok(after.saturating_sub(before) as f64 / channels as f64)
}

/// Share of a core that so many silent sessions cost, heartbeats on, in percent.
pub(crate) async fn idle_cpu(setting: &Setting, sessions: usize, time: Duration) -> Result<f64> {
    let hub = Hub::start(&setting.hub).await?;
    let names = ["b:all".to_owned()];
    let group = switchboard(Framing::WebSocket, sessions, &names, &token("bench")?);
    let mut fleet = Fleet::open(hub.clients, vec![group]).await?;
    tokio::time::sleep(SETTLE).await;
    fleet.reset(false).await?;
    let (before, start) = (hub.process().cpu_s()?, Instant::now());
    tokio::time::sleep(time).await;
    let share = (hub.process().cpu_s()? - before) / start.elapsed().as_secs_f64();
    let report = fleet.report().await?;
    ensure!(
        report.closed == 0,
        "{} sessions were closed meanwhile",
        report.closed
    );
    fleet.close().await?;
    Ok(share * 100.0)
}

async fn grown(
    setting: &Setting,
    sessions: usize,
    group: impl Fn(usize) -> Result<Group>,
) -> Result<f64> {
    let hub = Hub::start(&setting.hub).await?;
    // The first sessions pay for what all share.
    let warm = Fleet::open(hub.clients, vec![group(sessions / 10)?]).await?;
    tokio::time::sleep(SETTLE).await;
    let before = hub.process().anonymous_bytes()?;
    let fleet = Fleet::open(hub.clients, vec![group(sessions)?]).await?;
    tokio::time::sleep(SETTLE).await;
    let after = hub.process().anonymous_bytes()?;
    fleet.close().await?;
    warm.close().await?;
    Ok(after.saturating_sub(before) as f64 / sessions as f64)
}
