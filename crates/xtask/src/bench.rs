//! `cargo xtask bench`: builds what the benchmark measures, and runs it with whatever it is told.

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::instructions;
use crate::process;
use crate::workspace::Workspace;

/// Builds the hub with its feature `bench`, the load generator and the node's benchmark, all for release, and runs
/// the load generator; its exit code is the answer.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let bench = build(
        &workspace,
        &["--package", "switchboard-bench"],
        "switchboard-bench",
    )?;
    let mut command = Command::new(bench);
    if !arguments.is_empty() && !asks_for_help(arguments) {
        let package = ["--package", "switchboard-server", "--features", "bench"];
        let hub = build(&workspace, &package, "switchboard")?;
        let null_sink = instructions::build(&workspace)?;
        // A later `cargo run --release` puts another hub in its place: this one is measured to the end.
        let kept = workspace.target.join("bench-hub");
        std::fs::copy(&hub, &kept).context("cannot keep the hub's binary")?;
        command
            .arg("--hub")
            .arg(kept)
            .arg("--null-sink")
            .arg(null_sink);
    }
    pass_on(
        command.args(arguments).current_dir(&workspace.root),
        "the benchmark",
    )
}

/// Whether only an explanation is wanted, for which nothing else needs to be built.
pub(crate) fn asks_for_help(arguments: &[String]) -> bool {
    arguments
        .iter()
        .any(|argument| argument == "--help" || argument == "-h")
}

/// Runs a program to its end; its exit code is the answer.
pub(crate) fn pass_on(command: &mut Command, what: &str) -> Result<ExitCode> {
    let status = command.status();
    let status = status.with_context(|| format!("{what} cannot be started"))?;
    Ok(ExitCode::from(
        status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .unwrap_or(1),
    ))
}

fn build(workspace: &Workspace, package: &[&str], name: &str) -> Result<PathBuf> {
    let mut command = workspace.cargo(["build", "--release"]);
    command.args(package);
    command.args(["--message-format", "json-render-diagnostics"]);
    eprintln!("$ {}", process::describe(&command));
    let messages = process::output(command.stderr(Stdio::inherit()))?;
    instructions::executable(&messages, name).with_context(|| format!("cargo built no {name}"))
}
