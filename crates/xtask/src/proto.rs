//! The proto checks: style, and no break of what clients and services already compiled.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;
use crate::tools::Tools;
use crate::workspace::Workspace;

/// Lints the proto files and compares them with those of an earlier commit, as `buf.yaml` says.
pub(crate) fn check(workspace: &Workspace, tools: &Tools) -> Result<()> {
    let buf = tools.buf();
    process::run(Command::new(buf).arg("lint").current_dir(&workspace.root))?;
    match earlier(workspace)? {
        Earlier::Nothing { why } => {
            println!("buf breaking: nothing to compare with: {why}");
            Ok(())
        }
        Earlier::Archive { path, commit } => {
            println!("comparing with commit {commit}");
            let mut command = Command::new(buf);
            command.args(["breaking", "--against"]).arg(path);
            process::run(command.current_dir(&workspace.root))
        }
    }
}

enum Earlier {
    Nothing { why: &'static str },
    Archive { path: PathBuf, commit: String },
}

/// The proto files as they were, in an archive: buf's own reading of git history fails in some shallow clones.
fn earlier(workspace: &Workspace) -> Result<Earlier> {
    let Some(commit) = earlier_commit(workspace) else {
        return Ok(Earlier::Nothing {
            why: "there is no earlier commit here",
        });
    };
    let listed = process::output(
        workspace
            .git(["ls-tree", "-r", "--name-only", "--full-tree"])
            .args([&commit, "--", "proto", "buf.yaml"]),
    )?;
    let has_proto = |path: &str| {
        Path::new(path)
            .extension()
            .is_some_and(|extension| extension == "proto")
    };
    if !listed.lines().any(has_proto) {
        return Ok(Earlier::Nothing {
            why: "the earlier commit has no proto files",
        });
    }
    std::fs::create_dir_all(workspace.tools()).context("cannot create the directory for tools")?;
    let path = workspace.tools().join("proto-earlier.tar");
    let mut archive = workspace.git(["archive", "--format=tar"]);
    archive
        .arg("--output")
        .arg(&path)
        .args([&commit, "--"])
        .args(listed.lines());
    process::output(&mut archive)?;
    Ok(Earlier::Archive { path, commit })
}

/// What is on main already, if this is ahead of it, else the commit before this one; neither may exist.
fn earlier_commit(workspace: &Workspace) -> Option<String> {
    let resolve = |name: &str| {
        let revision = format!("{name}^{{commit}}");
        let mut command = workspace.git(["rev-parse", "--verify", "--quiet"]);
        let commit = process::output(command.arg(revision)).ok()?;
        Some(commit.trim().to_owned())
    };
    let head = resolve("HEAD")?;
    resolve("origin/main")
        .filter(|main| *main != head)
        .or_else(|| resolve("HEAD~1"))
}
