//! `cargo xtask test`: the stages, one after the other, and the account of them at the end.

mod account;
mod clients;
mod stage;
mod tally;

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use self::account::{Account, Outcome};
use self::stage::Stage;
use self::tally::Tally;
use crate::tools::Tools;
use crate::workspace::Workspace;
use crate::{instructions, process, proto, tidy};

/// The crate with the black-box tests, which need a built server and tools from outside.
const BLACKBOX_CRATE: &str = "switchboard-tests";

/// The client, whose integration tests need a built server too.
const CLIENT_CRATE: &str = "switchboard-client";

/// What `cargo xtask test` can be told.
#[derive(Args)]
pub(crate) struct TestOptions {
    /// Run only these stages, and those that they need
    #[arg(long, value_name = "STAGE", num_args = 1.., value_delimiter = ',')]
    only: Vec<Stage>,

    /// How much to test: the black-box tests read it as SWITCHBOARD_PROFILE
    #[arg(long, value_enum, default_value_t = Profile::Ci)]
    profile: Profile,

    /// List the stages, and do nothing
    #[arg(long)]
    list: bool,

    /// Passed to the test programs of the stages unit and blackbox, such as part of a test's name
    #[arg(last = true, value_name = "FILTER")]
    filter: Vec<String>,
}

/// How much the black-box tests do.
#[derive(Clone, Copy, ValueEnum)]
enum Profile {
    /// What every change must pass: under 40 minutes on two cores
    Ci,
    /// Longer soaks, more clients, more seeds
    Nightly,
}

/// Runs the stages asked for and prints the account; the exit code says whether all passed.
pub(crate) fn run(options: TestOptions) -> Result<ExitCode> {
    if options.list {
        stage::print_list();
        return Ok(ExitCode::SUCCESS);
    }
    let plan = stage::plan(&options.only);
    let mut run = Run {
        workspace: Workspace::find()?,
        options,
        tools: None,
        server: None,
        tally: Arc::default(),
    };
    let mut account = Account::default();
    for (index, stage) in plan.iter().enumerate() {
        println!(
            "\n== {}/{} {stage}: {}",
            index + 1,
            plan.len(),
            stage.about()
        );
        if let Some(missing) = stage
            .needs()
            .iter()
            .find(|needed| !account.passed(**needed))
        {
            println!("-- {stage}: not run, because {missing} did not pass");
            account.enter(*stage, Outcome::NotRun { missing: *missing });
            continue;
        }
        let start = Instant::now();
        let outcome = run.carry_out(*stage);
        let took = start.elapsed();
        match outcome {
            Ok(()) => {
                println!("-- {stage}: passed in {:.1} s", took.as_secs_f64());
                account.enter(*stage, Outcome::Passed { took });
            }
            Err(error) => {
                let reason = format!("{error:#}");
                println!(
                    "-- {stage}: FAILED in {:.1} s: {reason}",
                    took.as_secs_f64()
                );
                account.enter(*stage, Outcome::Failed { took, reason });
            }
        }
    }
    let tally = run.tally.lock().unwrap_or_else(PoisonError::into_inner);
    println!("\n{}", account.render(&tally));
    Ok(if account.good() && tally.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// One run of `cargo xtask test`, with what earlier stages found for later ones.
struct Run {
    workspace: Workspace,
    options: TestOptions,
    /// Set by the stage `tools`.
    tools: Option<Tools>,
    /// The server's binary, set by the stage `build`.
    server: Option<PathBuf>,
    tally: Arc<Mutex<Tally>>,
}

impl Run {
    fn carry_out(&mut self, stage: Stage) -> Result<()> {
        let workspace = &self.workspace;
        match stage {
            Stage::Tools => {
                self.tools = Some(Tools::find_or_install(workspace)?);
                Ok(())
            }
            Stage::Fmt => {
                component(workspace, "fmt", "rustfmt")?;
                let mut command = workspace.cargo(["fmt", "--all", "--", "--check", "-l"]);
                process::run(&mut command).context("`cargo fmt --all` mends it")
            }
            Stage::Tidy => {
                ensure!(tidy::run(workspace)?, "there are findings");
                Ok(())
            }
            Stage::Clippy => {
                component(workspace, "clippy", "clippy")?;
                let mut command = workspace.cargo(["clippy", "--workspace", "--all-targets"]);
                process::run(command.args(["--keep-going", "--", "--deny", "warnings"]))?;
                // What only measurements have.
                let mut command = workspace.cargo(["clippy", "--workspace", "--all-targets"]);
                command.args(["--features", "switchboard-server/bench"]);
                process::run(command.args(["--keep-going", "--", "--deny", "warnings"]))
            }
            Stage::Proto => proto::check(workspace, self.tools()?),
            Stage::Unit => {
                let mut command = tests_of(workspace, |package| {
                    ![BLACKBOX_CRATE, CLIENT_CRATE].contains(&package)
                });
                command.args(["--lib", "--bins"]);
                let crates = self.cargo_test(command);
                if !self.options.filter.is_empty() {
                    return crates;
                }
                let documents = self.cargo_test(workspace.cargo(["test", "--workspace", "--doc"]));
                // A run of its own, for no program of the other stages may have the feature.
                let mut command = workspace.cargo(["test", "--workspace", "--test", "allocations"]);
                command.args(["--features", "switchboard-node/bench"]);
                crates.and(documents).and(self.cargo_test(command))
            }
            Stage::Instructions => instructions::check(workspace, false),
            Stage::Build => {
                // With a test among what is asked for, so that it is built of the very crates that the tests are: cargo adds
                // up the features that all of them want, and would build half of the crates anew for others.
                let mut command = workspace.cargo(["build", "--workspace", "--bin", "switchboard"]);
                command.args(["--test", "scenarios"]);
                process::run(&mut command)?;
                let binary = workspace.target.join("debug/switchboard");
                ensure!(binary.is_file(), "cargo built no {}", binary.display());
                self.server = Some(binary);
                Ok(())
            }
            Stage::Blackbox => {
                self.test_server(tests_of(workspace, |package| package == BLACKBOX_CRATE))
            }
            Stage::Redis => {
                let mut command = workspace.cargo(["test", "--workspace", "--test", "scenarios"]);
                command.arg("--no-fail-fast");
                // The harness gives each hub a redis-server of its own.
                command.env("SWITCHBOARD_TEST_ENGINE", "redis");
                self.test_server(command)
            }
            Stage::Clients => {
                let typescript = self.test_typescript();
                let others = self.test_python().and(self.test_go());
                typescript.and(others).and(self.test_rust())
            }
        }
    }

    /// Runs the TypeScript client's checks. Its packages are installed beside it, where the compiler and editors look for them.
    fn test_typescript(&self) -> Result<()> {
        let (tools, server) = (self.tools()?, self.server.as_deref());
        let server = server.context("the stage build has not run")?;
        let package = self.workspace.root.join("clients/typescript");
        let mut install = tools.npm();
        install.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]);
        tools.tell(&mut install)?;
        process::run(install.current_dir(&package))?;
        let mut command = tools.node();
        command.arg("scripts/check.mjs").current_dir(&package);
        tools.tell(&mut command)?;
        command.env("SWITCHBOARD_HUB", server);
        // What npm itself says to the programs it runs.
        command.env("npm_execpath", tools.npm_program());
        if matches!(self.options.profile, Profile::Ci) {
            command.env("FAULT_RUNS", "250");
        }
        self.count_tests(&mut command)
    }

    /// Runs tests that start the built server.
    fn test_server(&self, mut command: Command) -> Result<()> {
        let server = self.server.as_deref();
        let server = server.context("the stage build has not run")?;
        command.env("SWITCHBOARD_BIN", server);
        command.env("SWITCHBOARD_PROFILE", self.profile());
        self.tools()?.tell(&mut command)?;
        self.cargo_test(command)
    }

    /// Runs the tests and counts them. No test at all counts as a failure: it is what a broken filter looks like.
    fn cargo_test(&self, mut command: Command) -> Result<()> {
        command.arg("--").args(&self.options.filter);
        self.count_tests(&mut command)
    }

    fn count_tests(&self, command: &mut Command) -> Result<()> {
        let tally = Arc::default();
        let counted: Arc<Mutex<Tally>> = Arc::clone(&tally);
        let outcome = process::run_hearing(command, process::COMMAND_LIMIT, move |line| {
            counted
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .read(line);
        });
        let stage_tally =
            std::mem::take(&mut *tally.lock().unwrap_or_else(PoisonError::into_inner));
        let ran = stage_tally.passed + stage_tally.failed;
        self.tally
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .add(stage_tally);
        outcome?;
        ensure!(ran > 0, "no test ran");
        Ok(())
    }

    fn tools(&self) -> Result<&Tools> {
        self.tools.as_ref().context("the stage tools has not run")
    }

    fn profile(&self) -> String {
        let value = self.options.profile.to_possible_value();
        value.expect("no profile is hidden").get_name().to_owned()
    }
}

/// Runs the integration tests of some packages. The whole workspace is named, not these packages: so all stages agree on the
/// features of what they depend on, and that is built once.
fn tests_of(workspace: &Workspace, is_asked_for: impl Fn(&str) -> bool) -> Command {
    let mut command = workspace.cargo(["test", "--workspace", "--no-fail-fast"]);
    for name in workspace.tests(is_asked_for) {
        command.args(["--test", name]);
    }
    command
}

/// Installs a component of the toolchain if it is missing, as it is with rustup's minimal profile.
fn component(workspace: &Workspace, subcommand: &str, name: &str) -> Result<()> {
    if process::output(&mut workspace.cargo([subcommand, "--version"])).is_ok() {
        return Ok(());
    }
    println!("the toolchain lacks {name}: asking rustup for it");
    let mut rustup = Command::new("rustup");
    process::run(
        rustup
            .args(["component", "add", name])
            .current_dir(&workspace.root),
    )
    .with_context(|| format!("cargo {subcommand} is missing; install {name} by hand"))
}
