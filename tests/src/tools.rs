//! The programs that the tests use: told by the environment, found on the machine, or where `cargo xtask test` installs
//! them. A missing one fails the test and says what to run.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The hub: `SWITCHBOARD_BIN`, or what cargo built beside this test.
///
/// # Errors
/// There is none.
pub fn hub_binary() -> Result<PathBuf> {
    if let Some(told) = std::env::var_os("SWITCHBOARD_BIN") {
        return Ok(told.into());
    }
    let binary = profile_directory()?.join("switchboard");
    if !binary.is_file() {
        bail!(
            "no {}: run `cargo xtask test`, or build the package switchboard-server first",
            binary.display()
        );
    }
    Ok(binary)
}

/// A program: by the variable, else the first of the names in `PATH` or where servers are.
///
/// # Errors
/// There is none; the error says what to run.
pub fn program(variable: &str, names: &[&str]) -> Result<PathBuf> {
    if let Some(told) = std::env::var_os(variable) {
        return Ok(told.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    places.extend(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    let candidates = names
        .iter()
        .flat_map(|name| places.iter().map(move |place| place.join(name)));
    let found = candidates.into_iter().find(|candidate| candidate.is_file());
    found.with_context(|| {
        format!(
            "{} is not here: run `cargo xtask test`, which installs it",
            names[0]
        )
    })
}

/// The Python that has the packages of `tests/python/requirements.txt`.
///
/// # Errors
/// There is none; the error says what to run.
pub fn python() -> Result<PathBuf> {
    installed("SWITCHBOARD_PYTHON", "python/bin/python")
}

/// The directory `node_modules` with the packages of `tests/node`.
///
/// # Errors
/// There is none; the error says what to run.
pub fn node_modules() -> Result<PathBuf> {
    installed("SWITCHBOARD_NODE_MODULES", "node/node_modules")
}

/// The Node.js program.
///
/// # Errors
/// There is none; the error says what to run.
pub fn node() -> Result<PathBuf> {
    program("SWITCHBOARD_NODE", &["node", "nodejs"])
}

/// A file of this package, such as `python/publish.py`.
pub fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A directory below the target directory for what a person may want to look at after a run.
///
/// # Errors
/// It cannot be made.
pub fn output_directory(name: &str) -> Result<PathBuf> {
    let directory = target_directory()?.join("test-output").join(name);
    std::fs::create_dir_all(&directory)?;
    Ok(directory)
}

/// Whether this is the long run.
pub fn is_nightly() -> bool {
    std::env::var("SWITCHBOARD_PROFILE").is_ok_and(|profile| profile == "nightly")
}

fn installed(variable: &str, place: &str) -> Result<PathBuf> {
    if let Some(told) = std::env::var_os(variable) {
        return Ok(told.into());
    }
    let path = target_directory()?.join("tools").join(place);
    if !path.exists() {
        bail!(
            "no {}: run `cargo xtask test`, which installs it",
            path.display()
        );
    }
    Ok(path)
}

/// Such as `target/debug`: a test program lies in its `deps`.
fn profile_directory() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let directory = program.parent().and_then(Path::parent);
    Ok(directory
        .context("a test program lies in target/<profile>/deps")?
        .to_path_buf())
}

fn target_directory() -> Result<PathBuf> {
    Ok(profile_directory()?
        .parent()
        .context("a profile lies in the target directory")?
        .to_path_buf())
}
