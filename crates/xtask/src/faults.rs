//! `cargo xtask faults`: builds the hub and the program that breaks it, and runs that with whatever it is told.

use std::process::{Command, ExitCode};

use anyhow::{Result, ensure};

use crate::bench::{asks_for_help, pass_on};
use crate::process;
use crate::workspace::Workspace;

/// Builds both and runs the faults; its exit code is the answer. The builds are those that the tests use: what counts here is what
/// arrives, not how fast.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let mut cargo = workspace.cargo(["build", "--package", "switchboard-tests", "--bins"]);
    if !asks_for_help(arguments) {
        cargo.args(["--package", "switchboard-server"]);
    }
    // Not on stdout, where the figures are.
    process::output(&mut cargo)?;
    let built = |name: &str| workspace.target.join("debug").join(name);
    let program = built("switchboard-faults");
    ensure!(program.is_file(), "cargo built no {}", program.display());
    let mut command = Command::new(program);
    command.env("SWITCHBOARD_BIN", built("switchboard"));
    pass_on(
        command.args(arguments).current_dir(&workspace.root),
        "the faults",
    )
}
