//! A stage: a hub, a crowd, a publisher, and publications in some way for some time. What an operator would want to know
//! of it is counted: deliveries, CPU, latency, memory, and whatever went wrong.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::ValueEnum;
use serde::Serialize;

use crate::fleet::Fleet;
use crate::hub::Hub;
use crate::load::{Group, Report, percentile};
use crate::publisher::{By, Publisher};
use crate::scenario::Setting;
use crate::scenario::crowd::Crowd;
use crate::scenario::opening::{AT_ONCE, Opening, open};

/// What is still under way after the last client was opened gets this long before memory is read.
const SETTLE: Duration = Duration::from_secs(1);
/// How often progress is told.
const TELL: Duration = Duration::from_secs(2);
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Publications of a call while channels are woken.
const WAKING: u64 = 50_000;

/// How many publications are under way before everybody has had them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Pace {
    /// The next when everybody has the last
    One,
    /// Eight at a time
    Burst,
    /// Sixty-four at a time: more would measure how the clients read
    Saturated,
}

impl Pace {
    /// Publications in one go.
    fn together(self) -> u64 {
        match self {
            Self::One => 1,
            Self::Burst => 8,
            Self::Saturated => 64,
        }
    }

    /// The call that fits it.
    pub(crate) fn by(self) -> By {
        match self {
            Self::One => By::Unary,
            Self::Burst => By::Batch,
            Self::Saturated => By::Stream,
        }
    }
}

/// For how long it is published.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Length {
    Time(Duration),
    Rounds(u64),
}

impl Length {
    fn is_over(self, start: Instant, rounds: u64) -> bool {
        match self {
            Self::Time(time) => start.elapsed() >= time,
            Self::Rounds(enough) => rounds >= enough,
        }
    }
}

/// A hub with a crowd before it.
pub(crate) struct Stage {
    pub(crate) hub: Hub,
    fleet: Fleet,
    publisher: Publisher,
    turns: u64,
    /// Publications so far: whose turn it is.
    published: u64,
    pub(crate) opening: Opening,
}

/// What came of publishing.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Delivering {
    pub(crate) seconds: f64,
    pub(crate) publications: u64,
    pub(crate) deliveries: u64,
    pub(crate) deliveries_per_s: f64,
    /// The hub's CPU.
    pub(crate) cpu_s_per_million: f64,
    /// From before the publishing call to the read by the client.
    pub(crate) p50_us: u64,
    pub(crate) p90_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) p999_us: u64,
    /// The most that the hub's anonymous memory grew meanwhile.
    pub(crate) grown_bytes: u64,
    pub(crate) faults: Faults,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Faults {
    pub(crate) lost: u64,
    pub(crate) duplicates: u64,
    pub(crate) disordered: u64,
    pub(crate) gaps: u64,
    pub(crate) closed: u64,
}

impl Faults {
    /// Those of a report, where so many deliveries have not come.
    pub(crate) fn of(report: &Report, missing: u64) -> Self {
        Self {
            // A hole that a later number shows is missing as well.
            lost: report.lost.max(missing),
            duplicates: report.duplicates,
            disordered: report.disordered,
            gaps: report.gaps,
            closed: report.closed,
        }
    }

    /// Whether nothing did.
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} lost, {} doubled, {} out of order, {} gaps, {} closed",
            self.lost, self.duplicates, self.disordered, self.gaps, self.closed
        )
    }
}

impl Stage {
    /// Starts a hub and opens the crowd.
    pub(crate) async fn open(setting: &Setting, crowd: Crowd, payload_len: usize) -> Result<Self> {
        let hub = Hub::start(&setting.hub).await?;
        let (fleet, opening) = open(&hub, crowd.groups, AT_ONCE, SETTLE).await?;
        let channels = crowd.channels.len() as u64;
        let mut stage = Self {
            publisher: Publisher::new(hub.api, crowd.channels, payload_len).await?,
            hub,
            fleet,
            turns: crowd.turns,
            published: 0,
            opening,
        };
        if crowd.is_woken {
            stage.wake(channels).await?;
        }
        Ok(stage)
    }

    /// Opens further clients, which nobody waits for.
    pub(crate) async fn open_beside(&self, group: Group) -> Result<Fleet> {
        Fleet::open(self.hub.clients, vec![group]).await
    }

    /// Publishes once to each of the channels.
    async fn wake(&mut self, channels: u64) -> Result<()> {
        self.fleet.reset(true).await?;
        let mut told = Instant::now();
        while self.published < channels {
            let count = WAKING.min(channels - self.published);
            self.publisher
                .publish(By::Stream, self.published, count)
                .await?;
            self.published += count;
            let missing = self
                .fleet
                .missing_in_turn(self.published, self.turns)
                .await?;
            ensure!(missing == 0, "{missing} deliveries were lost");
            if told.elapsed() > TELL {
                told = Instant::now();
                eprintln!(
                    "  {} of {channels} channels published to once",
                    self.published
                );
            }
        }
        Ok(())
    }

    /// Publishes, and tells what came of it; with what is lost it ends.
    pub(crate) async fn publish(
        &mut self,
        pace: Pace,
        by: By,
        length: Length,
    ) -> Result<Delivering> {
        self.fleet.reset(true).await?;
        // Turns are counted from a reset on, so it begins with the first client.
        self.published = 0;
        let (start, mut told, mut looked) = (Instant::now(), Instant::now(), Instant::now());
        let (before, memory) = (
            self.hub.process().cpu_s()?,
            self.hub.process().anonymous_bytes()?,
        );
        let (mut missing, mut grown) = (0, 0);
        while missing == 0 && !length.is_over(start, self.published / pace.together()) {
            self.publisher
                .publish(by, self.published, pace.together())
                .await?;
            self.published += pace.together();
            missing = self
                .fleet
                .missing_in_turn(self.published, self.turns)
                .await?;
            if looked.elapsed() > LOOK {
                looked = Instant::now();
                let now = self.hub.process().anonymous_bytes()?;
                grown = grown.max(now.saturating_sub(memory));
            }
            if told.elapsed() > TELL {
                told = Instant::now();
                let seconds = start.elapsed().as_secs_f64();
                eprintln!("  {} publications in {seconds:.0} s", self.published);
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        let cpu_s = self.hub.process().cpu_s()? - before;
        let report = self.fleet.report().await?;
        Ok(Delivering {
            seconds,
            publications: self.published,
            deliveries: report.deliveries,
            deliveries_per_s: report.deliveries as f64 / seconds,
            cpu_s_per_million: cpu_s * 1e6 / report.deliveries as f64,
            p50_us: percentile(&report.latency, 0.5),
            p90_us: percentile(&report.latency, 0.9),
            p99_us: percentile(&report.latency, 0.99),
            p999_us: percentile(&report.latency, 0.999),
            grown_bytes: grown,
            faults: Faults::of(&report, missing),
        })
    }

    pub(crate) async fn close(self) -> Result<()> {
        self.fleet.close().await
    }
}
