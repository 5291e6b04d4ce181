//! The command line of `switchboard-bench`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde_json::json;

use crate::bars::{self, Bar};
use crate::load::{self, Framing};
use crate::peers::{self, PeersArgs};
use crate::plot;
use crate::report;
use crate::scenario::Setting;
use crate::scenario::fan_out::FanOut;
use crate::scenario::run::{Crowd, Outcome, Pace};

/// Measures what a Switchboard hub costs: CPU, memory, latency, and whether anything is lost.
///
/// The hub must be built with the feature `bench`; `cargo xtask bench …` does that and passes everything on. All traffic
/// stays on the loopback. CPU is the hub's own; figures on a busy machine are compared in pairs.
#[derive(Parser)]
#[command(name = "switchboard-bench", max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    hub: HubArgs,
}

#[derive(Args)]
struct HubArgs {
    /// The hub's binary, built with the feature `bench` [default: `switchboard` beside this program]
    #[arg(long, global = true, value_name = "PROGRAM")]
    hub: Option<PathBuf>,
    /// The node's benchmark without sockets, for the bar `null-sink`
    #[arg(long, global = true, value_name = "PROGRAM")]
    null_sink: Option<PathBuf>,
    /// Fewer and shorter blocks: for a look, not for the record
    #[arg(long, global = true)]
    quick: bool,
    /// Print one JSON object instead of a table
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum What {
    /// Measure every bar of the project and say whether it holds; exit code 1 where one does not
    Bars {
        /// Only these
        #[arg(long, value_enum)]
        only: Vec<Bar>,
    },
    /// Run a scenario and tell everything of it
    Run(RunArgs),
    /// Measure a fan-out against the bare loop on the very same sockets
    Ratio {
        /// Sessions that each subscribe to all the channels
        #[arg(default_value_t = 1000)]
        subscribers: usize,
        /// Publications in one call
        #[arg(long, default_value_t = 1)]
        burst: usize,
        /// Channels that the publications go to in turn
        #[arg(long, default_value_t = 1)]
        channels: usize,
        #[arg(long, value_enum, default_value_t = Transport::Websocket)]
        transport: Transport,
    },
    /// Measure other servers side by side, whole processes in turn
    Peers(PeersArgs),
    /// A load process: thousands of clients, steered by its parent
    #[command(hide = true)]
    Load,
}

#[derive(Args)]
struct RunArgs {
    #[arg(value_enum)]
    scenario: Scenario,
    /// Sessions; several numbers make a run each
    #[arg(long, value_delimiter = ',', default_value = "1000")]
    sessions: Vec<usize>,
    /// Channels, where the scenario has several
    #[arg(long, default_value_t = 1000)]
    channels: usize,
    #[arg(long, value_enum, default_value_t = Pace::One)]
    pace: Pace,
    #[arg(long, value_enum, default_value_t = Transport::Websocket)]
    transport: Transport,
    /// Seconds of publishing a run
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Write latency and cost against sessions to this file as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Scenario {
    /// All sessions on one channel
    Fanout,
    /// Sessions dealt out over many channels, one each
    Spread,
    /// 70% WebSockets, 20% event streams, 10% polls on one channel
    Mixed,
    /// As fanout, and one client more that never reads
    Stalled,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Transport {
    Websocket,
    Sse,
    Poll,
}

impl Transport {
    fn framing(self) -> Framing {
        match self {
            Self::Websocket => Framing::WebSocket,
            Self::Sse => Framing::EventStream,
            Self::Poll => Framing::Poll,
        }
    }
}

impl Cli {
    /// Does what was asked; false where a bar is missed or something was lost.
    ///
    /// # Errors
    /// It could not be measured.
    pub(crate) fn run(self) -> Result<bool> {
        if matches!(self.what, What::Load) {
            return load::run().map(|()| true);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        // reqwest wants to know a provider of cryptography although nothing here uses TLS.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let json = self.hub.json;
        let setting = self.hub.setting()?;
        runtime.block_on(async move {
            match self.what {
                What::Bars { only } => bars::run(&setting, &only, json).await,
                What::Run(arguments) => arguments.run(&setting, json).await,
                What::Ratio {
                    subscribers,
                    burst,
                    channels,
                    transport,
                } => {
                    ensure!(
                        transport != Transport::Poll,
                        "polls have no socket to compare with"
                    );
                    let what = FanOut {
                        subscribers,
                        framing: transport.framing(),
                        channels,
                        burst,
                    };
                    let cost = what.measure(&setting).await?;
                    println!("{}", serde_json::to_string_pretty(&cost)?);
                    Ok(true)
                }
                What::Peers(arguments) => peers::run(&setting, &arguments, json).await,
                What::Load => Ok(true),
            }
        })
    }
}

impl HubArgs {
    fn setting(self) -> Result<Setting> {
        let hub = match self.hub {
            Some(hub) => hub,
            None => beside("switchboard")?,
        };
        ensure!(
            hub.is_file(),
            "{} is no program: build it, or use `cargo xtask bench`",
            hub.display()
        );
        Ok(Setting {
            hub: hub.canonicalize()?,
            null_sink: self.null_sink,
            quick: self.quick,
        })
    }
}

fn beside(name: &str) -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    Ok(program
        .parent()
        .map(Path::to_owned)
        .context("no folder")?
        .join(name))
}

impl RunArgs {
    async fn run(self, setting: &Setting, json: bool) -> Result<bool> {
        let mut outcomes = Vec::new();
        if !json {
            println!("{}", Outcome::head());
        }
        for &sessions in &self.sessions {
            let crowd = self.crowd(sessions)?;
            let time = Duration::from_secs(if setting.quick { 2 } else { self.seconds });
            let outcome = crowd.run(setting, self.pace, time).await?;
            if !json {
                println!("{outcome}");
            }
            outcomes.push(outcome);
        }
        if json {
            let object = json!({"run": report::run(setting), "outcomes": outcomes});
            println!("{}", serde_json::to_string_pretty(&object)?);
        }
        if let Some(path) = &self.plot {
            std::fs::write(path, plot::svg(&outcomes))
                .with_context(|| format!("could not write {}", path.display()))?;
        }
        Ok(outcomes.iter().all(|outcome| outcome.clean))
    }

    fn crowd(&self, sessions: usize) -> Result<Crowd> {
        match self.scenario {
            Scenario::Fanout => Crowd::on_one_channel(self.transport.framing(), sessions),
            Scenario::Spread => Crowd::spread(sessions, self.channels),
            Scenario::Mixed => Crowd::mixed(sessions),
            Scenario::Stalled => Crowd::with_stalled(self.transport.framing(), sessions),
        }
    }
}
