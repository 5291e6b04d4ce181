//! Where the workspace and its target directory are.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process;

/// The two directories that every chore works in.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Workspace {
    /// The root of the checkout.
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    /// Where cargo builds, and where tools are installed: nothing is ever written elsewhere in the checkout.
    #[serde(rename = "target_directory")]
    pub(crate) target: PathBuf,
    packages: Vec<Package>,
}

#[derive(Debug, Clone, Deserialize)]
struct Package {
    name: String,
    targets: Vec<Target>,
}

#[derive(Debug, Clone, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
    #[serde(rename = "required-features", default)]
    required_features: Vec<String>,
}

impl Workspace {
    /// Asks cargo, which knows of `CARGO_TARGET_DIR` and of configuration files.
    pub(crate) fn find() -> Result<Self> {
        let mut command = process::cargo();
        command.args(["metadata", "--no-deps", "--format-version", "1"]);
        let metadata = process::output(&mut command)?;
        serde_json::from_str(&metadata).context("cannot read the output of cargo metadata")
    }

    /// A cargo command that runs at the root of the workspace.
    pub(crate) fn cargo<const N: usize>(&self, arguments: [&str; N]) -> Command {
        let mut command = process::cargo();
        command.args(arguments).current_dir(&self.root);
        command
    }

    /// The names of the integration tests of the packages that are asked for, but for those that need a feature.
    pub(crate) fn tests(&self, is_asked_for: impl Fn(&str) -> bool) -> Vec<&str> {
        let packages = self
            .packages
            .iter()
            .filter(|package| is_asked_for(&package.name));
        let targets = packages.flat_map(|package| &package.targets);
        let tests = targets.filter(|target| {
            target.kind.iter().any(|kind| kind == "test") && target.required_features.is_empty()
        });
        tests.map(|target| target.name.as_str()).collect()
    }

    /// A git command that runs at the root of the workspace.
    pub(crate) fn git<const N: usize>(&self, arguments: [&str; N]) -> Command {
        let mut command = Command::new("git");
        command.args(arguments).current_dir(&self.root);
        command
    }

    /// The directory for what is installed for the tests.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }
}
