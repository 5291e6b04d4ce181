//! Programs of the machine: found in the usual places, else installed with apt-get.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::process;

/// A program that the tests use.
pub(crate) struct Program {
    /// Its name, and others that it goes by, the best first.
    names: &'static [&'static str],
    /// The Debian package that has it.
    pub(crate) package: &'static str,
    /// The variable that tells tests where it is; set by a person, it is also where the program is looked for first.
    pub(crate) variable: Option<&'static str>,
    /// What makes it tell its version.
    version: &'static str,
}

const PROGRAMS: &[Program] = &[
    Program {
        names: &["redis-server"],
        package: "redis-server",
        variable: Some("SWITCHBOARD_REDIS_SERVER"),
        version: "--version",
    },
    Program {
        names: &["nginx"],
        package: "nginx",
        variable: Some("SWITCHBOARD_NGINX"),
        version: "-v",
    },
    Program {
        names: &["haproxy"],
        package: "haproxy",
        variable: Some("SWITCHBOARD_HAPROXY"),
        version: "-v",
    },
    Program {
        names: &[
            "chromium",
            "chromium-browser",
            "google-chrome",
            "google-chrome-stable",
        ],
        package: "chromium",
        variable: Some("SWITCHBOARD_CHROMIUM"),
        version: "--version",
    },
    Program {
        names: &["curl"],
        package: "curl",
        variable: Some("SWITCHBOARD_CURL"),
        version: "--version",
    },
    Program {
        names: &["valgrind"],
        package: "valgrind",
        variable: Some("SWITCHBOARD_VALGRIND"),
        version: "--version",
    },
    Program {
        names: &["python3"],
        package: "python3",
        variable: None,
        version: "--version",
    },
];

/// Where Debian keeps servers, which is not in everybody's `PATH`.
const SERVER_DIRECTORIES: &[&str] = &["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Finds all programs, after installing what is missing, and prints each with its version.
pub(crate) fn find_or_install() -> Result<Vec<(&'static Program, PathBuf)>> {
    let missing = missing_packages();
    if !missing.is_empty() {
        println!("missing: {}", missing.join(", "));
        install(&missing)?;
        let still = missing_packages();
        ensure!(
            still.is_empty(),
            "still missing after the installation: {}",
            still.join(", ")
        );
    }
    let mut found = Vec::new();
    for program in PROGRAMS {
        let path = locate(program).expect("nothing is missing");
        println!(
            "{:<15} {} at {}",
            program.names[0],
            version(&path, program.version),
            path.display()
        );
        found.push((program, path));
    }
    Ok(found)
}

/// One of the programs, by its package, which is installed if it is missing.
pub(crate) fn find_or_install_one(package: &str) -> Result<PathBuf> {
    let program = PROGRAMS
        .iter()
        .find(|program| program.package == package)
        .with_context(|| format!("{package} is not in the table of programs"))?;
    if locate(program).is_none() {
        install(&[program.package])?;
    }
    locate(program).with_context(|| format!("{package} is still missing after the installation"))
}

/// The first of these programs that is in `PATH` or where servers are.
pub(crate) fn find(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    directories.extend(SERVER_DIRECTORIES.iter().map(PathBuf::from));
    let candidates = names
        .iter()
        .flat_map(|name| directories.iter().map(move |place| place.join(name)));
    candidates.into_iter().find(|candidate| candidate.is_file())
}

fn locate(program: &Program) -> Option<PathBuf> {
    let told = program
        .variable
        .and_then(std::env::var_os)
        .map(PathBuf::from);
    told.filter(|path| path.is_file())
        .or_else(|| find(program.names))
}

fn missing_packages() -> Vec<&'static str> {
    let programs = PROGRAMS.iter().filter(|program| locate(program).is_none());
    let mut missing: Vec<&str> = programs.map(|program| program.package).collect();
    if !makes_environments() {
        missing.push("python3-venv");
    }
    missing
}

/// Whether Python can make virtual environments: Debian has that in a package of its own.
fn makes_environments() -> bool {
    let Some(python3) = find(&["python3"]) else {
        return false;
    };
    process::output(Command::new(python3).args(["-c", "import ensurepip, venv"])).is_ok()
}

/// Installs packages, with no service of theirs started: the tests start their own, on ports of their own.
fn install(packages: &[&str]) -> Result<()> {
    let by_hand = format!(
        "run this, then try again:\n  sudo apt-get update && sudo apt-get install --yes --no-install-recommends {}",
        packages.join(" ")
    );
    ensure!(
        find(&["apt-get"]).is_some(),
        "there is no apt-get here; install by other means: {}",
        packages.join(", ")
    );
    let script = r#"
        set -eu
        policy=/usr/sbin/policy-rc.d
        if [ ! -e "$policy" ]; then
            trap 'rm -f "$policy"' EXIT
            printf '#!/bin/sh\nexit 101\n' > "$policy"
            chmod 755 "$policy"
        fi
        export DEBIAN_FRONTEND=noninteractive
        options='-o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 -qq'
        apt-get $options update
        apt-get $options install --yes --no-install-recommends "$@"
    "#;
    let mut command = if process::output(Command::new("id").arg("-u"))?.trim() == "0" {
        Command::new("sh")
    } else if quietly(Command::new("sudo").args(["-n", "true"])) {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "sh"]);
        sudo
    } else {
        bail!("not root, and no sudo without a password; {by_hand}");
    };
    println!(
        "apt-get update, then apt-get install --no-install-recommends {}",
        packages.join(" ")
    );
    command.args(["-c", script, "install"]).args(packages);
    process::run_unshown(&mut command).with_context(|| format!("apt-get failed; {by_hand}"))
}

fn quietly(command: &mut Command) -> bool {
    let outcome = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    outcome.is_ok_and(|status| status.success())
}

/// The first line that the program says of its version, on whichever stream.
fn version(program: &Path, argument: &str) -> String {
    let Ok(output) = Command::new(program)
        .arg(argument)
        .stdin(Stdio::null())
        .output()
    else {
        return "(of unknown version)".to_owned();
    };
    let text = if output.stdout.is_empty() {
        output.stderr
    } else {
        output.stdout
    };
    String::from_utf8_lossy(&text)
        .lines()
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_by_any_of_their_names() {
        assert!(
            find(&["no-such-program-at-all", "sh"])
                .unwrap()
                .ends_with("sh")
        );
        assert_eq!(find(&["no-such-program-at-all"]), None);
    }

    #[test]
    fn a_version_is_one_line() {
        let shell = find(&["sh"]).unwrap();
        assert!(!version(&shell, "--version").contains('\n'));
    }
}
