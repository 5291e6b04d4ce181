//! `switchboard-faults`: breaks nodes and their Redis under load, and prints what that cost. `cargo xtask faults` builds and runs it.

#![allow(clippy::print_stdout, reason = "a command line tool talks on stdout")]

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use switchboard_tests::faults::{Plan, Row, report};
use tokio::signal::unix::{SignalKind, signal};

/// Break nodes and their Redis under load, and count what became of every publication
///
/// Each row starts real nodes and a real Redis of its own, publishes at a steady pace, and has clients on every node over
/// WebSocket, event stream and poll, all in all channels. When a session ends, or a node asks, a client comes back to
/// another node with its position or cursor. Then something breaks.
///
/// A row holds when every acknowledged publication reached every client, or a `gap` told the client that it had not; when
/// none came twice; when all came in order, at the position that the publisher was told; and when the nodes said within 3 s that they
/// were not ready. Rows in which no data is lost must do without a gap, too.
#[derive(Parser)]
#[command(name = "cargo xtask faults", max_term_width = 100, after_help = COLUMNS)]
struct Cli {
    /// Only these faults
    #[arg(long, value_name = "ROW", num_args = 1.., value_delimiter = ',')]
    only: Vec<Row>,

    /// One fault a row and little load: a few seconds each, as `cargo xtask test` does it
    #[arg(long)]
    short: bool,

    /// How long each row goes on: its fault strikes again and again
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 30,
        conflicts_with = "short"
    )]
    seconds: u64,

    /// The seed of how long clients wait before they come back; chosen and told when there is none
    #[arg(long)]
    seed: Option<u64>,

    /// One JSON object a row on stdout, instead of the table
    #[arg(long)]
    json: bool,
}

const COLUMNS: &str = "\
Rows:
  node-killed         a node ends by SIGKILL, another is started
  redis-restarted     Redis ends by SIGKILL, and is started with its data
  redis-emptied       Redis ends by SIGKILL, and is started without its data
  redis-stalled       Redis is stopped by SIGSTOP for some seconds
  subscription-cut    the connections that nodes subscribe by are cut
  sentinel-failover   the primary under three Sentinels ends by SIGKILL
  cluster-failover    a primary of a Redis Cluster ends by SIGKILL
  cluster-resharding  the channels' slots move to other primaries
  rolling-restart     three nodes are drained by SIGTERM and replaced in turn

Columns:
  sent          publications that were acknowledged
  unknown       publications whose answer was that they may have happened, or that found no node
  received      messages, all clients together
  lost          acknowledged, neither received nor told by a gap; and holes between messages
  duplicated    received again
  gaps          losses that were told
  out of order  received before an earlier one, or elsewhere than the publisher was told
  came back     how often clients opened a new session
  recovered     the longest that any client received nothing in a channel, from the first fault on

The exit code is 0 when all rows hold, and 1 when one does not. Needs redis-server and redis-cli.";

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(async {
            tokio::select! {
                code = run(&cli) => code,
                // What was started is ended as the row is dropped.
                () = asked_to_end() => ExitCode::FAILURE,
            }
        }),
        Err(error) => {
            eprintln!("error: no runtime: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn asked_to_end() {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => terminate.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated => {}
    }
}

async fn run(cli: &Cli) -> ExitCode {
    let seed = cli.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let mut plan = if cli.short {
        Plan::short(seed)
    } else {
        Plan::long(seed, Duration::from_secs(cli.seconds))
    };
    plan.tell = |what| eprintln!("  {what}");
    plan.quiet = true;
    eprintln!("seed {seed}");
    if !cli.json {
        println!("{}", report::head());
    }
    let rows = if cli.only.is_empty() {
        Row::ALL.to_vec()
    } else {
        cli.only.clone()
    };
    let mut all_hold = true;
    for (turn, row) in rows.iter().enumerate() {
        eprintln!("{row} ({} of {})", turn + 1, rows.len());
        let outcome = row.run(&plan).await.map_err(|error| format!("{error:#}"));
        all_hold &= (outcome.as_ref()).is_ok_and(|figures| row.judge(figures).is_ok());
        if cli.json {
            println!("{}", report::json(*row, &outcome));
        } else {
            println!("{}", report::line(*row, &outcome));
        }
        let _ = std::io::stdout().flush();
    }
    if all_hold {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
