//! The clients in Python, Go and Rust: each brings a command that runs all its checks, and closes with the line that is counted.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{CLIENT_CRATE, Profile, Run, tests_of};
use crate::process;

/// How many runs of faults a client makes where not everything is to be tried.
const FAULT_RUNS_CI: &str = "200";
/// And where it is.
const FAULT_RUNS_NIGHTLY: &str = "1000";

/// The programs that the Rust client's tests start.
const RUST_EXAMPLES: [&str; 3] = ["chat", "inbox", "publish"];

impl Run {
    /// Runs the Python client's checks. Its packages go into an environment under the target directory.
    pub(super) fn test_python(&self) -> Result<()> {
        let package = self.workspace.root.join("clients/python");
        let python = self.tools()?.client_python(&self.workspace, &package)?;
        let mut command = Command::new(python);
        command.arg("scripts/check.py");
        self.tools()?.tell(&mut command)?;
        self.test_client(command, &package)
    }

    /// Runs the Go client's checks. Its modules are told first: their download is the one part that needs a network.
    pub(super) fn test_go(&self) -> Result<()> {
        let module = self.workspace.root.join("clients/go");
        let go = self.tools()?.go(&self.workspace, &module)?;
        let mut download = Command::new(&go);
        download.args(["mod", "download"]).current_dir(&module);
        println!("{:<15} modules as locked, into the module cache", "go");
        process::run(&mut download)?;
        let mut command = Command::new(&go);
        command.args(["run", "./internal/check"]);
        // It runs `go` itself.
        self.tools()?.tell_with(&mut command, &go)?;
        self.test_client(command, &module)
    }

    /// Runs the Rust client's tests at a hub. Those that need none are of the stage unit, and its lints of clippy.
    pub(super) fn test_rust(&self) -> Result<()> {
        // What a test runs; with the test, so that both are built of the same crates.
        let mut examples = self
            .workspace
            .cargo(["build", "--workspace", "--test", "client"]);
        for name in RUST_EXAMPLES {
            examples.args(["--example", name]);
        }
        process::run(&mut examples)?;
        let mut command = tests_of(&self.workspace, |package| package == CLIENT_CRATE);
        self.tools()?.tell(&mut command)?;
        self.test_client(command, &self.workspace.root)
    }

    fn test_client(&self, mut command: Command, place: &Path) -> Result<()> {
        let server = self.server.as_deref();
        let server = server.context("the stage build has not run")?;
        command.env("SWITCHBOARD_HUB", server);
        let fault_runs = match self.options.profile {
            Profile::Ci => FAULT_RUNS_CI,
            Profile::Nightly => FAULT_RUNS_NIGHTLY,
        };
        command.env("FAULT_RUNS", fault_runs).current_dir(place);
        self.count_tests(&mut command)
    }
}
