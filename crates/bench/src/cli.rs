//! The command line of `switchboard-bench`.

mod run;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::bars::{self, Bar};
use crate::load::{self, Framing};
use crate::nodes;
use crate::peers::{self, PeersArgs};
use crate::publisher::By;
use crate::scenario::Setting;
use crate::scenario::fan_out::FanOut;
use run::RunArgs;

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
    ///
    /// Progress goes to stderr, the table (or with --json one object) to stdout. Exit code 1 where anything was lost, came
    /// twice, out of order, or was closed. Each run starts a hub of its own with history, tokens and metrics on.
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
    /// Measure two nodes over one Redis against bare calls to it, over a Cluster, and what presence costs it; needs redis-server
    ///
    /// Exit code 1 where a bar is missed.
    Nodes {
        /// Only these
        #[arg(long, value_enum)]
        only: Vec<nodes::Question>,
    },
    /// Measure other servers side by side, whole processes in turn
    Peers(PeersArgs),
    /// A load process: thousands of clients, steered by its parent
    #[command(hide = true)]
    Load,
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
                        by: if burst == 1 { By::Unary } else { By::Batch },
                    };
                    let cost = what.measure(&setting).await?;
                    println!("{}", serde_json::to_string_pretty(&cost)?);
                    Ok(true)
                }
                What::Nodes { only } => nodes::run(&setting, &only, json).await,
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
