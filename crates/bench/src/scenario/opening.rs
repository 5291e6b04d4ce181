//! Opening: how many sessions a second, what each costs and holds, and how soon a hub that starts serves.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::fleet::{Fleet, switchboard};
use crate::hub::{Hub, token};
use crate::load::{Framing, Group, percentile};
use crate::paired::Spread;
use crate::publisher::{By, Publisher};
use crate::scenario::stage::Faults;
use crate::scenario::{Setting, channels};

/// Connections under way at a time where it is not the question.
pub(crate) const AT_ONCE: usize = 256;

/// What opening sessions cost: each verifies a token and subscribes.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Opening {
    pub(crate) sessions: usize,
    /// Wall time, with the clients on the same cores.
    pub(crate) per_s: f64,
    /// The hub's CPU.
    pub(crate) cpu_us_per_session: f64,
    /// From a client's connect to its last subscription.
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    /// Anonymous memory and descriptors of the hub once all are open.
    pub(crate) bytes_per_session: f64,
    pub(crate) descriptors_per_session: f64,
}

/// Opens the groups' clients and lets things settle before memory is read.
pub(crate) async fn open(
    hub: &Hub,
    groups: Vec<Group>,
    at_once: usize,
    settle: Duration,
) -> Result<(Fleet, Opening)> {
    let hub_is = hub.process();
    let (memory, descriptors) = (hub_is.anonymous_bytes()?, hub_is.descriptors()?);
    let before = hub_is.cpu_s()?;
    let fleet = Fleet::open_at_once(hub.clients, groups, at_once).await?;
    let cpu_s = hub_is.cpu_s()? - before;
    tokio::time::sleep(settle).await;
    let grown = hub_is.anonymous_bytes()?.saturating_sub(memory);
    let opened = hub_is.descriptors()?.saturating_sub(descriptors);
    let sessions = fleet.clients as f64;
    let opening = Opening {
        sessions: fleet.clients,
        per_s: sessions / fleet.opened_in_s,
        cpu_us_per_session: cpu_s * 1e6 / sessions,
        p50_us: percentile(&fleet.opening_latency, 0.5),
        p99_us: percentile(&fleet.opening_latency, 0.99),
        bytes_per_session: grown as f64 / sessions,
        descriptors_per_session: opened as f64 / sessions,
    };
    Ok((fleet, opening))
}

/// Storms: the same clients connect again and again, so many connections under way at a time.
pub(crate) struct Storms {
    hub: Hub,
    publisher: Publisher,
    group: Group,
    at_once: usize,
}

impl Storms {
    pub(crate) async fn start(
        setting: &Setting,
        framing: Framing,
        sessions: usize,
        at_once: usize,
    ) -> Result<Self> {
        let hub = Hub::start(&setting.hub).await?;
        let names = channels(1);
        Ok(Self {
            group: switchboard(framing, sessions, &names, &token("bench")?),
            publisher: Publisher::new(hub.api, names, 128).await?,
            hub,
            at_once,
        })
    }

    /// One storm: all connect, one publication shows that all are live, and all go.
    pub(crate) async fn storm(&mut self) -> Result<(Opening, Faults)> {
        let groups = vec![self.group.clone()];
        let (mut fleet, opening) = open(&self.hub, groups, self.at_once, Duration::ZERO).await?;
        fleet.reset(true).await?;
        self.publisher.publish(By::Unary, 0, 1).await?;
        let missing = fleet.missing_in_turn(1, 1).await?;
        let faults = Faults::of(&fleet.report().await?, missing);
        fleet.close().await?;
        while self.hub.metric("switchboard_subscriptions").await? > 0.0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok((opening, faults))
    }
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
