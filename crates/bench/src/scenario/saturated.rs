//! Saturation: publications as fast as they are taken, and what a delivery costs then.

use anyhow::Result;

use crate::fleet::{Fleet, switchboard};
use crate::hub::{Hub, token};
use crate::load::Framing;
use crate::paired::Pairs;
use crate::publisher::Publisher;
use crate::scenario::{Setting, channels};

/// Publications that are under way together: more than that, and slow readers would be what is measured.
const WINDOW: usize = 32;

/// CPU microseconds per delivery of polls (first) and of event streams (second), in turns.
pub(crate) async fn polls_and_streams(setting: &Setting, subscribers: usize) -> Result<Pairs> {
    let mut polls = Saturated::start(setting, subscribers, Framing::Poll).await?;
    let mut streams = Saturated::start(setting, subscribers, Framing::EventStream).await?;
    let mut pairs = Pairs::default();
    polls.block().await?;
    streams.block().await?;
    for _ in 0..if setting.quick { 3 } else { 7 } {
        pairs.push(polls.block().await?, streams.block().await?);
    }
    polls.fleet.close().await?;
    streams.fleet.close().await?;
    Ok(pairs)
}

struct Saturated {
    hub: Hub,
    fleet: Fleet,
    publisher: Publisher,
}

impl Saturated {
    async fn start(setting: &Setting, subscribers: usize, framing: Framing) -> Result<Self> {
        let hub = Hub::start(&setting.hub).await?;
        let names = channels(1);
        let group = switchboard(framing, subscribers, &names, &token("bench")?);
        let fleet = Fleet::open(hub.clients, vec![group]).await?;
        let publisher = Publisher::new(hub.api, names, 128).await?;
        Ok(Self {
            hub,
            fleet,
            publisher,
        })
    }

    async fn block(&mut self) -> Result<f64> {
        const ROUNDS: usize = 8;
        self.fleet.reset(true).await?;
        let before = self.hub.process().cpu_s()?;
        for round in 1..=ROUNDS {
            self.publisher.stream(WINDOW as u64).await?;
            self.fleet.arrived((round * WINDOW) as u64).await?;
        }
        let spent = self.hub.process().cpu_s()? - before;
        let report = self.fleet.report().await?;
        report.check()?;
        Ok(spent * 1e6 / report.deliveries as f64)
    }
}
