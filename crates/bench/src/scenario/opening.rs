//! Opening: how many sessions a second, and how soon a hub that starts serves.

use anyhow::Result;

use crate::fleet::{Fleet, switchboard};
use crate::hub::{Hub, token};
use crate::load::Framing;
use crate::paired::Spread;
use crate::scenario::Setting;

/// New sessions per second of the hub's CPU: an HS256 token is verified and one channel subscribed to for each.
pub(crate) async fn sessions_per_cpu_s(
    setting: &Setting,
    sessions: usize,
    rounds: usize,
) -> Result<Spread> {
    let hub = Hub::start(&setting.hub).await?;
    let names = ["b:all".to_owned()];
    let mut rates = Vec::new();
    for _ in 0..rounds {
        let group = switchboard(Framing::WebSocket, sessions, &names, &token("bench")?);
        let before = hub.process().cpu_s()?;
        let fleet = Fleet::open(hub.clients, vec![group]).await?;
        rates.push(sessions as f64 / (hub.process().cpu_s()? - before));
        fleet.close().await?;
        while hub.metric("switchboard_subscriptions").await? > 0.0 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
    Ok(Spread::of(rates.into_iter()))
}

/// What a start costs.
pub(crate) struct Start {
    /// Milliseconds from the start of the process to the first answer.
    pub(crate) ms: Spread,
    /// MiB resident then: anonymous, and of files (its own text above all).
    pub(crate) anonymous_mib: Spread,
    pub(crate) file_mib: Spread,
}

/// Starts hubs one after the other.
pub(crate) async fn start(setting: &Setting, rounds: usize) -> Result<Start> {
    let (mut ms, mut anonymous, mut file) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let hub = Hub::start(&setting.hub).await?;
        ms.push(hub.started_in.as_secs_f64() * 1e3);
        anonymous.push(hub.process().anonymous_bytes()? as f64 / f64::from(1 << 20));
        file.push(hub.process().file_bytes()? as f64 / f64::from(1 << 20));
    }
    Ok(Start {
        ms: Spread::of(ms.into_iter()),
        anonymous_mib: Spread::of(anonymous.into_iter()),
        file_mib: Spread::of(file.into_iter()),
    })
}
