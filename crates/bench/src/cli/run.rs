//! `switchboard-bench run`: a scenario, the options it takes, and what it makes of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use serde_json::json;

use super::Transport;
use crate::fleet::with_heartbeat;
use crate::hub::Hub;
use crate::plot;
use crate::publisher::By;
use crate::report;
use crate::scenario::Setting;
use crate::scenario::crowd::{Crowd, check_share};
use crate::scenario::interference::{STALLING_PAYLOAD_LEN, stalled_readers};
use crate::scenario::memory::{Idle, quiet};
use crate::scenario::opening::Storms;
use crate::scenario::outcome::{Outcome, table};
use crate::scenario::publishing::ToNobody;
use crate::scenario::stage::{Length, Pace, Stage};

/// As much as a namespace takes by default, with room for the frame.
const PAYLOAD_MAX: i64 = 60_000;

const EXAMPLES: &str = "\
Examples:
  run fanout --sessions 10,100,1000,10000,15000 --plot fanout.svg
  run fanout --pace one,burst,saturated
  run fanout --pace saturated --by unary,batch,stream
  run channels --pace one,saturated
  run idle --sessions 17000 --transport sse --heartbeat 0

crates/bench/README.md says what each column is and how it is measured.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RunArgs {
    #[arg(value_enum)]
    scenario: Scenario,
    /// Sessions; several numbers make a run each [default: 10000 for spread, channels, storm and idle, else 1000]
    #[arg(long, value_delimiter = ',', value_name = "N,…")]
    sessions: Vec<usize>,
    /// spread, channels: how many [default: 1000, and 1000000]
    #[arg(long, value_name = "N")]
    channels: Option<usize>,
    /// fanout, spread, channels, mixed: publications under way before everybody has had them; several make a run each
    /// [default: one]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PACE,…")]
    pace: Vec<Pace>,
    /// The same and publish: the call they are handed over by; several make a run each [default: what fits the pace: unary
    /// for one, batch for burst, stream for saturated; for publish all three]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "BY,…")]
    by: Vec<By>,
    /// fanout, spread, stalled, storm, idle: how the clients listen [default: websocket]
    #[arg(long, value_enum)]
    transport: Option<Transport>,
    /// Bytes of a publication, for all that publish [default: 128; 16384 for stalled, so that it fills what stands still]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(i64).range(64..=PAYLOAD_MAX))]
    payload: Option<i64>,
    /// Seconds of publishing, or of silence for idle [default: 10, and 65: two pings of every session]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: Option<u64>,
    /// storm: how often all connect [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    rounds: Option<u64>,
    /// storm: connections under way at a time [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    at_once: Option<u64>,
    /// idle: seconds between the application heartbeats that every session asks for; 0 for none [default: 25]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=86400))]
    heartbeat: Option<u64>,
    /// fanout, spread, channels, mixed: draw latency and cost against sessions into this file, as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// All sessions on one channel
    Fanout,
    /// Sessions dealt out over many channels, one each
    Spread,
    /// A million channels: each session has some of its own, and each channel is published to
    Channels,
    /// 70% WebSockets, 20% event streams, 10% polls on one channel
    Mixed,
    /// One publication at a time, first without and then with one client that never reads
    Stalled,
    /// Publications to nobody: 64 callers of unary calls, batches of 64, a stream
    Publish,
    /// All sessions connect at once, again and again
    Storm,
    /// Sessions that are silent: memory, descriptors, and CPU with pings and heartbeats on
    Idle,
}

impl Scenario {
    /// The options it takes, beside `--json` and `--quick`.
    fn takes(self) -> &'static [&'static str] {
        match self {
            Self::Fanout => &[
                "sessions",
                "pace",
                "by",
                "transport",
                "payload",
                "seconds",
                "plot",
            ],
            Self::Spread => &[
                "sessions",
                "channels",
                "pace",
                "by",
                "transport",
                "payload",
                "seconds",
                "plot",
            ],
            Self::Channels => &[
                "sessions", "channels", "pace", "by", "payload", "seconds", "plot",
            ],
            Self::Mixed => &["sessions", "pace", "by", "payload", "seconds", "plot"],
            Self::Stalled => &["sessions", "transport", "payload", "seconds"],
            Self::Publish => &["by", "payload"],
            Self::Storm => &["sessions", "transport", "rounds", "at-once"],
            Self::Idle => &["sessions", "transport", "seconds", "heartbeat"],
        }
    }

    fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

impl RunArgs {
    pub(super) async fn run(self, setting: &Setting, json: bool) -> Result<bool> {
        self.check()?;
        self.check_room(setting).await?;
        let outcomes = match self.scenario {
            Scenario::Publish => self.publish(setting).await?,
            Scenario::Storm => self.storm(setting).await?,
            Scenario::Idle => self.idle(setting).await?,
            Scenario::Stalled => self.stalled(setting).await?,
            Scenario::Fanout | Scenario::Spread | Scenario::Channels | Scenario::Mixed => {
                self.deliver(setting).await?
            }
        };
        if json {
            let scenario = self.scenario.name();
            let object =
                json!({"run": report::run(setting), "scenario": scenario, "outcomes": outcomes});
            println!("{}", serde_json::to_string_pretty(&object)?);
        } else {
            println!("{}", table(&outcomes));
        }
        if let Some(path) = &self.plot {
            write_plot(path, &outcomes)?;
        }
        Ok(outcomes.iter().all(|outcome| outcome.faults.is_none()))
    }

    /// Refuses what could not be done, or would be passed over.
    fn check(&self) -> Result<()> {
        let given = [
            ("sessions", !self.sessions.is_empty()),
            ("channels", self.channels.is_some()),
            ("pace", !self.pace.is_empty()),
            ("by", !self.by.is_empty()),
            ("transport", self.transport.is_some()),
            ("payload", self.payload.is_some()),
            ("seconds", self.seconds.is_some()),
            ("rounds", self.rounds.is_some()),
            ("at-once", self.at_once.is_some()),
            ("heartbeat", self.heartbeat.is_some()),
            ("plot", self.plot.is_some()),
        ];
        let takes = self.scenario.takes();
        for (option, _) in given.iter().filter(|(_, given)| *given) {
            ensure!(
                takes.contains(option),
                "`{}` does not take --{option}: leave it out, or choose a scenario that does (it takes --{})",
                self.scenario.name(),
                takes.join(", --")
            );
        }
        ensure!(
            self.sessions.iter().all(|&sessions| sessions > 0),
            "--sessions 0 is nobody: take 1 or more, or `publish` for publications to nobody"
        );
        for &sessions in &self.sessions() {
            match self.scenario {
                Scenario::Spread => ensure!(
                    (1..=sessions).contains(&self.channels()),
                    "--channels {} is not possible with {sessions} sessions, one channel each: take 1 to {sessions}",
                    self.channels()
                ),
                Scenario::Channels => {
                    ensure!(
                        self.channels() > 0 && self.channels().is_multiple_of(sessions),
                        "--channels {} cannot be dealt out evenly to {sessions} sessions: take a multiple of {sessions}",
                        self.channels()
                    );
                    check_share(sessions, self.channels() / sessions)?;
                }
                Scenario::Mixed => ensure!(
                    sessions.is_multiple_of(10),
                    "--sessions {sessions} has no 70%, 20% and 10%: take a multiple of ten"
                ),
                Scenario::Idle => ensure!(
                    sessions > 1,
                    "--sessions 1 leaves nobody to be measured beside the first: take 2 or more"
                ),
                _ => {}
            }
        }
        // Better now than after the measurement.
        if let Some(path) = &self.plot {
            write_plot(path, &[])?;
        }
        Ok(())
    }

    /// Asks a hub for its bound before the first run, rather than lose the table to the last.
    async fn check_room(&self, setting: &Setting) -> Result<()> {
        if self.scenario == Scenario::Publish {
            return Ok(());
        }
        let most = self.sessions().into_iter().max().unwrap_or(0);
        Hub::start(&setting.hub).await?.check_room(most).await
    }

    fn sessions(&self) -> Vec<usize> {
        let default = match self.scenario {
            Scenario::Spread | Scenario::Channels | Scenario::Storm | Scenario::Idle => 10_000,
            _ => 1000,
        };
        match &self.sessions[..] {
            [] => vec![default],
            given => given.to_vec(),
        }
    }

    fn channels(&self) -> usize {
        let default = if self.scenario == Scenario::Channels {
            1_000_000
        } else {
            1000
        };
        self.channels.unwrap_or(default)
    }

    fn transport(&self) -> Transport {
        self.transport.unwrap_or(Transport::Websocket)
    }

    fn payload(&self, default: usize) -> usize {
        let given = self.payload.and_then(|bytes| usize::try_from(bytes).ok());
        given.unwrap_or(default)
    }

    /// How long it is published, or silent.
    fn time(&self, setting: &Setting, default_s: u64) -> Duration {
        let quick_s = setting.quick.then_some(2);
        Duration::from_secs(self.seconds.or(quick_s).unwrap_or(default_s))
    }

    /// Every pace with every call.
    fn ways(&self) -> Vec<(Pace, By)> {
        let paces = match &self.pace[..] {
            [] => &[Pace::One],
            given => given,
        };
        let of = |pace: Pace| match &self.by[..] {
            [] => vec![(pace, pace.by())],
            given => given.iter().map(|&by| (pace, by)).collect(),
        };
        paces.iter().copied().flat_map(of).collect()
    }

    async fn deliver(&self, setting: &Setting) -> Result<Vec<Outcome>> {
        let mut outcomes = Vec::new();
        for sessions in self.sessions() {
            let framing = self.transport().framing();
            let crowd = match self.scenario {
                Scenario::Spread => Crowd::spread(framing, sessions, self.channels()),
                Scenario::Channels => Crowd::of_own_channels(sessions, self.channels() / sessions),
                Scenario::Mixed => Crowd::mixed(sessions),
                _ => Crowd::on_one_channel(framing, sessions),
            };
            let crowd = crowd?;
            let name = crowd.name.clone();
            eprintln!("{name}");
            let mut stage = Stage::open(setting, crowd, self.payload(128)).await?;
            for (pace, by) in self.ways() {
                eprintln!("  {pace:?} by {by:?}");
                let length = Length::Time(self.time(setting, 10));
                let delivering = stage.publish(pace, by, length).await?;
                let is_clean = delivering.faults.is_none();
                outcomes.push(Outcome {
                    name: name.clone(),
                    pace: Some(pace),
                    by: Some(by),
                    opening: Some(stage.opening),
                    faults: delivering.faults,
                    delivering: Some(delivering),
                    ..Outcome::default()
                });
                if !is_clean {
                    // What is lost may still come and would be counted as the next run's.
                    break;
                }
            }
            stage.close().await?;
        }
        Ok(outcomes)
    }

    async fn stalled(&self, setting: &Setting) -> Result<Vec<Outcome>> {
        let mut outcomes = Vec::new();
        for readers in self.sessions() {
            eprintln!("{readers} on one channel");
            let length = Length::Time(self.time(setting, 10));
            let (framing, payload) = (
                self.transport().framing(),
                self.payload(STALLING_PAYLOAD_LEN),
            );
            let it = stalled_readers(setting, framing, (readers, 1), payload, length).await?;
            let note = format!(
                "memory grew by {} KiB at most; {} KiB of it were left 3 s after the stalled one was closed",
                it.with.grown_bytes / 1024,
                it.left_bytes / 1024
            );
            let rows = [
                (format!("{readers}, all read"), it.without, String::new()),
                (format!("{readers} and a stalled one"), it.with, note),
            ];
            for (name, delivering, note) in rows {
                outcomes.push(Outcome {
                    name,
                    pace: Some(Pace::One),
                    by: Some(By::Unary),
                    opening: Some(it.opening),
                    faults: delivering.faults,
                    delivering: Some(delivering),
                    note,
                    ..Outcome::default()
                });
            }
        }
        Ok(outcomes)
    }

    async fn publish(&self, setting: &Setting) -> Result<Vec<Outcome>> {
        let ways = match &self.by[..] {
            [] => By::value_variants(),
            given => given,
        };
        let mut outcomes = Vec::new();
        for &by in ways {
            eprintln!("{by:?}");
            let count = match (by, setting.quick) {
                (By::Unary, false) => 100_000,
                (By::Unary, true) => 10_000,
                (_, false) => 1_000_000,
                (_, true) => 100_000,
            };
            let mut hub = ToNobody::start(setting, self.payload(128)).await?;
            hub.publish(by, count / 10).await?;
            eprintln!("  warm; {count} publications to come");
            outcomes.push(Outcome {
                name: "to nobody".to_owned(),
                by: Some(by),
                publishing: Some(hub.publish(by, count).await?),
                ..Outcome::default()
            });
        }
        Ok(outcomes)
    }

    async fn storm(&self, setting: &Setting) -> Result<Vec<Outcome>> {
        let mut outcomes = Vec::new();
        for sessions in self.sessions() {
            let given = self.at_once.and_then(|n| usize::try_from(n).ok());
            let at_once = given.unwrap_or(sessions).min(sessions);
            let framing = self.transport().framing();
            let mut storms = Storms::start(setting, framing, sessions, at_once).await?;
            for round in 1..=self.rounds.unwrap_or(3) {
                eprintln!("{sessions} connect, {at_once} at once, round {round}");
                let (opening, faults) = storms.storm().await?;
                outcomes.push(Outcome {
                    name: format!("{sessions}, {at_once} at once, {round}"),
                    opening: Some(opening),
                    faults,
                    ..Outcome::default()
                });
            }
        }
        Ok(outcomes)
    }

    async fn idle(&self, setting: &Setting) -> Result<Vec<Outcome>> {
        let heartbeat = self.heartbeat.unwrap_or(25);
        let mut outcomes = Vec::new();
        for sessions in self.sessions() {
            eprintln!("{sessions} silent sessions");
            let group = |clients| {
                let group = quiet(self.transport().framing(), clients)?;
                Ok(match heartbeat {
                    0 => group,
                    seconds => with_heartbeat(group, seconds),
                })
            };
            let mut idle = Idle::open(setting, sessions, group).await?;
            let (percent, closed) = idle.cpu(self.time(setting, 65)).await?;
            let opening = idle.opening;
            idle.close().await?;
            let mut outcome = Outcome {
                name: format!("{sessions} silent"),
                opening: Some(opening),
                idle_core_percent: Some(percent),
                ..Outcome::default()
            };
            outcome.faults.closed = closed;
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }
}

fn write_plot(path: &Path, outcomes: &[Outcome]) -> Result<()> {
    std::fs::write(path, plot::svg(outcomes)).with_context(|| {
        format!(
            "{} cannot be written: give --plot a file in a folder that exists",
            path.display()
        )
    })
}
