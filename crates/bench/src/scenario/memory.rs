//! Memory: what quiet sessions, subscriptions and channels hold on to, as the growth of the hub's anonymous memory.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::fleet::{Fleet, switchboard};
use crate::hub::{Hub, token};
use crate::load::{Framing, Group};
use crate::publisher::Publisher;
use crate::scenario::Setting;
use crate::scenario::opening::{AT_ONCE, Opening, open};

/// How long memory is given to settle: handshakes end, the allocator tidies up.
const SETTLE: Duration = Duration::from_secs(3);
/// How often progress is told.
const TELL: Duration = Duration::from_secs(5);

/// Sessions that do nothing: a hub, its clients, and what they hold.
pub(crate) struct Idle {
    hub: Hub,
    /// The first tenth pays for what all share, so it is opened before anything is read.
    fleets: [Fleet; 2],
    pub(crate) opening: Opening,
}

impl Idle {
    /// Opens `sessions`, of which `group` makes any number.
    pub(crate) async fn open(
        setting: &Setting,
        sessions: usize,
        group: impl Fn(usize) -> Result<Group>,
    ) -> Result<Self> {
        ensure!(
            sessions > 1,
            "one session has nobody to be compared with: take 2 or more"
        );
        let hub = Hub::start(&setting.hub).await?;
        let first = sessions.div_ceil(10);
        let (warm, _) = open(&hub, vec![group(first)?], AT_ONCE, SETTLE).await?;
        let (rest, opening) = open(&hub, vec![group(sessions - first)?], AT_ONCE, SETTLE).await?;
        Ok(Self {
            hub,
            fleets: [warm, rest],
            opening,
        })
    }

    /// Share of a core that they cost, in percent, and how many were closed meanwhile.
    pub(crate) async fn cpu(&mut self, time: Duration) -> Result<(f64, u64)> {
        for fleet in &mut self.fleets {
            fleet.reset(false).await?;
        }
        let (before, start) = (self.hub.process().cpu_s()?, Instant::now());
        while let Some(left) = time.checked_sub(start.elapsed()) {
            if time > TELL {
                eprintln!("  silent for another {:.0} s", left.as_secs_f64());
            }
            tokio::time::sleep(left.min(TELL)).await;
        }
        let share = (self.hub.process().cpu_s()? - before) / start.elapsed().as_secs_f64();
        let mut closed = 0;
        for fleet in &mut self.fleets {
            closed += fleet.report().await?.closed;
        }
        Ok((share * 100.0, closed))
    }

    pub(crate) async fn close(self) -> Result<()> {
        for fleet in self.fleets {
            fleet.close().await?;
        }
        Ok(())
    }
}

/// Bytes of anonymous memory for each quiet session with one subscription.
pub(crate) async fn idle_session(
    setting: &Setting,
    framing: Framing,
    sessions: usize,
) -> Result<f64> {
    let group = |clients| quiet(framing, clients);
    grown(setting, sessions, group).await
}

/// So many clients of one channel.
pub(crate) fn quiet(framing: Framing, clients: usize) -> Result<Group> {
    let names = ["b:all".to_owned()];
    Ok(switchboard(framing, clients, &names, &token("bench")?))
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

/// Share of a core that so many silent WebSockets cost, pings on, in percent.
pub(crate) async fn idle_cpu(setting: &Setting, sessions: usize, time: Duration) -> Result<f64> {
    let group = |clients| quiet(Framing::WebSocket, clients);
    let mut idle = Idle::open(setting, sessions, group).await?;
    let (share, closed) = idle.cpu(time).await?;
    ensure!(closed == 0, "{closed} sessions were closed meanwhile");
    idle.close().await?;
    Ok(share)
}

async fn grown(
    setting: &Setting,
    sessions: usize,
    group: impl Fn(usize) -> Result<Group>,
) -> Result<f64> {
    let idle = Idle::open(setting, sessions, group).await?;
    let bytes = idle.opening.bytes_per_session;
    idle.close().await?;
    Ok(bytes)
}
