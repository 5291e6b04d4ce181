//! The command line: what can be asked for, and how it is explained.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::bench;
use crate::faults;
use crate::instructions;
use crate::test::{self, TestOptions};
use crate::tidy;
use crate::workspace::Workspace;

/// The chores of the project: everything that CI does, for any machine.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Run every test: install what is missing, check, build, and test from outside
    ///
    /// On a Debian-like machine with a Rust toolchain this is the only command needed. What the tests use from outside
    /// (Redis, nginx, HAProxy, Chromium, valgrind, Node.js, Python and packages of theirs) is found or installed first, and said
    /// so. All stages run even if one fails; a stage is left out only if one that it needs has failed. The last line
    /// is `N passed, N failed`, counted from what the test programs said.
    Test(TestOptions),
    /// Check the rules of the design that the compiler can't: edges between crates, file lengths, links and so on
    ///
    /// Takes well under a second. Each finding is a line `path:line: message`.
    Tidy,
    /// Measure the hub: `bars` for the project's own demands, `run` for a scenario, `ratio` against a bare loop
    ///
    /// Builds the hub with its feature `bench`, the load generator and the node's benchmark, and passes everything on to
    /// `switchboard-bench`: `cargo xtask bench bars --quick`, `cargo xtask bench run fanout --sessions 100,1000,10000`,
    /// `cargo xtask bench --help`. What was measured last, and how, is in crates/bench/RESULTS.md.
    #[command(disable_help_flag = true)]
    Bench {
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "ARGUMENTS"
        )]
        arguments: Vec<String>,
    },
    /// Break nodes and their Redis under load, and count what became of every publication
    ///
    /// Builds the hub and `switchboard-faults`, both as the tests use them, and passes everything on: `cargo xtask faults`, `cargo xtask faults --short`,
    /// `cargo xtask faults --only node-killed,rolling-restart --seconds 120`, `cargo xtask faults --help`. Exits 1 when something was
    /// lost in silence, came twice, or came out of order. Needs redis-server and redis-cli.
    #[command(disable_help_flag = true)]
    Faults {
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "ARGUMENTS"
        )]
        arguments: Vec<String>,
    },
    /// Count the instructions of a delivery and compare them with crates/node/benches/instructions.toml
    Instructions {
        /// Write what was counted into that file instead: a change that costs is worth it, or one that saves is there
        #[arg(long)]
        update: bool,
    },
}

impl Cli {
    /// Does what was asked and says whether it went well.
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self.command {
            Chore::Test(options) => test::run(options),
            Chore::Tidy => {
                let clean = tidy::run(&Workspace::find()?)?;
                Ok(if clean {
                    ExitCode::SUCCESS
                } else {
                    ExitCode::FAILURE
                })
            }
            Chore::Bench { arguments } => bench::run(&arguments),
            Chore::Faults { arguments } => faults::run(&arguments),
            Chore::Instructions { update } => {
                instructions::check(&Workspace::find()?, update)?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}
