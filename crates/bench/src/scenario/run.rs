//! A run as an operator would look at it: clients of any kind, publications one at a time or without a pause, and
//! everything that is worth knowing of it in one line.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;

use crate::bars::short;
use crate::fleet::{Fleet, percentile, switchboard};
use crate::hub::{Hub, token};
use crate::load::{Framing, Group};
use crate::publisher::Publisher;
use crate::scenario::{Setting, channels};

/// How it is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Pace {
    /// The next publication once everybody has the last one
    One,
    /// Calls of eight publications, each once everybody has the last
    Burst,
    /// A stream, 64 publications at a time
    Saturated,
}

impl Pace {
    /// Publications in one go.
    fn together(self) -> usize {
        match self {
            Self::One => 1,
            Self::Burst => 8,
            Self::Saturated => 64,
        }
    }
}

/// Who listens to what.
#[derive(Clone, Debug)]
pub(crate) struct Crowd {
    pub(crate) name: String,
    pub(crate) groups: Vec<Group>,
    pub(crate) channels: Vec<String>,
    /// Deliveries that one publication to each of the channels makes.
    pub(crate) deliveries_per_round: u64,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) name: String,
    pub(crate) pace: Pace,
    pub(crate) sessions: usize,
    pub(crate) deliveries: u64,
    pub(crate) deliveries_per_s: f64,
    /// The hub's CPU.
    pub(crate) cpu_s_per_million: f64,
    pub(crate) p50_us: u64,
    pub(crate) p90_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) p999_us: u64,
    /// Anonymous memory and descriptors of the hub for each session, once all are open.
    pub(crate) bytes_per_session: f64,
    pub(crate) descriptors_per_session: f64,
    /// Sessions opened a second, wall time.
    pub(crate) opened_per_s: f64,
    pub(crate) lost: u64,
    pub(crate) duplicates: u64,
    pub(crate) gaps: u64,
    pub(crate) closed: u64,
    /// Nothing was lost, doubled, out of order or closed.
    pub(crate) clean: bool,
}

impl Crowd {
    /// So many WebSockets (or others) on one channel.
    pub(crate) fn on_one_channel(framing: Framing, clients: usize) -> Result<Self> {
        let names = channels(1);
        Ok(Self {
            name: format!("{clients} on one channel"),
            groups: vec![switchboard(framing, clients, &names, &token("bench")?)],
            channels: names,
            deliveries_per_round: clients as u64,
        })
    }

    /// Clients dealt out over many channels, one each.
    pub(crate) fn spread(clients: usize, channel_count: usize) -> Result<Self> {
        let mut group = switchboard(
            Framing::WebSocket,
            clients,
            &["b:{m}".to_owned()],
            &token("bench")?,
        );
        group.modulus = channel_count;
        Ok(Self {
            name: format!("{clients} over {channel_count} channels"),
            groups: vec![group],
            channels: channels(channel_count),
            deliveries_per_round: clients as u64,
        })
    }

    /// 70% WebSockets, 20% event streams, 10% polls on one channel.
    pub(crate) fn mixed(clients: usize) -> Result<Self> {
        let (names, token) = (channels(1), token("bench")?);
        let (streams, polls) = (clients / 5, clients / 10);
        let group = |framing, count| switchboard(framing, count, &names, &token);
        Ok(Self {
            name: format!("{clients} mixed 70/20/10"),
            groups: vec![
                group(Framing::WebSocket, clients - streams - polls),
                group(Framing::EventStream, streams),
                group(Framing::Poll, polls),
            ],
            channels: names.clone(),
            deliveries_per_round: clients as u64,
        })
    }

    /// So many on one channel, and one client more that never reads.
    pub(crate) fn with_stalled(framing: Framing, clients: usize) -> Result<Self> {
        let mut crowd = Self::on_one_channel(framing, clients)?;
        let mut stalled = crowd.groups[0].clone();
        stalled.clients = 1;
        stalled.stalled = true;
        crowd.groups.push(stalled);
        crowd.name = format!("{clients} and a stalled one");
        Ok(crowd)
    }

    /// Publishes for so long, round by round over all channels, and tells what came of it.
    pub(crate) async fn run(
        self,
        setting: &Setting,
        pace: Pace,
        time: Duration,
    ) -> Result<Outcome> {
        let hub = Hub::start(&setting.hub).await?;
        let (memory, descriptors) = (
            hub.process().anonymous_bytes()?,
            hub.process().descriptors()?,
        );
        let mut fleet = Fleet::open(hub.clients, self.groups).await?;
        let (clients, sessions) = (fleet.clients, fleet.clients as f64);
        let grown = hub.process().anonymous_bytes()?.saturating_sub(memory);
        let opened = hub.process().descriptors()?.saturating_sub(descriptors);
        let mut publisher = Publisher::new(hub.api, self.channels.clone(), 128).await?;
        fleet.reset(true).await?;
        let (start, before) = (Instant::now(), hub.process().cpu_s()?);
        let (mut publications, mut told) = (0u64, Instant::now());
        let channels = self.channels.len() as u64;
        while start.elapsed() < time {
            match pace {
                Pace::One => publisher.one((publications % channels) as usize).await?,
                Pace::Burst => publisher.burst_from(publications, 8).await?,
                Pace::Saturated => publisher.stream_from(publications, 64).await?,
            }
            publications += pace.together() as u64;
            fleet
                .arrived_in_all(publications * self.deliveries_per_round / channels)
                .await?;
            if told.elapsed() > Duration::from_secs(5) {
                told = Instant::now();
                eprintln!(
                    "  {publications} publications in {:.0} s",
                    start.elapsed().as_secs_f64()
                );
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        let cpu_s = hub.process().cpu_s()? - before;
        let report = fleet.report().await?;
        let opened_in_s = fleet.opened_in_s;
        fleet.close().await?;
        Ok(Outcome {
            name: self.name,
            pace,
            sessions: clients,
            deliveries: report.deliveries,
            deliveries_per_s: report.deliveries as f64 / seconds,
            cpu_s_per_million: cpu_s * 1e6 / report.deliveries as f64,
            p50_us: percentile(&report, 0.5),
            p90_us: percentile(&report, 0.9),
            p99_us: percentile(&report, 0.99),
            p999_us: percentile(&report, 0.999),
            bytes_per_session: grown as f64 / sessions,
            descriptors_per_session: opened as f64 / sessions,
            opened_per_s: sessions / opened_in_s,
            lost: report.lost,
            duplicates: report.duplicates,
            gaps: report.gaps,
            closed: report.closed,
            clean: report.is_clean(),
        })
    }
}

impl Outcome {
    /// The head of the table.
    pub(crate) fn head() -> String {
        format!(
            "{:<26} {:<9} {:>11} {:>9} {:>8} {:>8} {:>8} {:>8} {:>9} {:>5} {:>8}  {}",
            "who",
            "pace",
            "deliv./s",
            "CPU s/M",
            "p50 µs",
            "p90",
            "p99",
            "p99.9",
            "B/sess.",
            "fd/s.",
            "opened/s",
            "lost/doubled/gaps/closed"
        )
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pace = self.pace.to_possible_value();
        let pace = pace.as_ref().map_or("", |value| value.get_name());
        write!(
            f,
            "{:<26} {pace:<9} {:>11} {:>9} {:>8} {:>8} {:>8} {:>8} {:>9} {:>5} {:>8}  {}/{}/{}/{}",
            self.name,
            short(self.deliveries_per_s),
            short(self.cpu_s_per_million),
            self.p50_us,
            self.p90_us,
            self.p99_us,
            self.p999_us,
            short(self.bytes_per_session),
            short(self.descriptors_per_session),
            short(self.opened_per_s),
            self.lost,
            self.duplicates,
            self.gaps,
            self.closed
        )
    }
}
