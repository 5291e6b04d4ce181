//! Virtual environments of Python, with pinned packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::stamp::Stamp;
use crate::process;

/// Makes sure that `directory` is a virtual environment with the packages of `requirements`; returns its Python.
pub(crate) fn environment(
    python3: &Path,
    directory: &Path,
    requirements: &Path,
) -> Result<PathBuf> {
    let wanted = fs::read_to_string(requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    let version = process::output(Command::new(python3).arg("--version"))?;
    let python = directory.join("bin/python");
    // The place is an input too: a virtual environment does not survive being moved.
    let stamp = Stamp::new(
        directory,
        &[version.trim(), &directory.to_string_lossy(), &wanted],
    );
    if stamp.holds() && python.is_file() {
        println!(
            "{:<15} {}, packages as pinned, in {}",
            "python",
            version.trim(),
            directory.display()
        );
        return Ok(python);
    }
    println!(
        "{:<15} {}, installing packages into {}",
        "python",
        version.trim(),
        directory.display()
    );
    stamp.clear(directory)?;
    process::run(Command::new(python3).args(["-m", "venv"]).arg(directory))?;
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--quiet",
        "--requirement",
    ]);
    process::run(pip.arg(requirements))?;
    stamp.set()?;
    Ok(python)
}

/// Something that a package has put into an environment, by its path there.
pub(crate) fn installed(directory: &Path, path: &str) -> Result<PathBuf> {
    let libraries = fs::read_dir(directory.join("lib")).context("the environment has no lib")?;
    let found = libraries
        .flatten()
        .map(|python| python.path().join("site-packages").join(path))
        .find(|found| found.exists());
    found.with_context(|| format!("no Python package has installed {path}"))
}
