//! Instructions a delivery: counted under valgrind, and held against what they were when somebody last looked.
//!
//! Time would tell more of the machine and its other guests than of a change. Instructions of one thread come out the
//! same within a part in a thousand, and say which change made the delivery dearer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::process;
use crate::tools;
use crate::workspace::Workspace;

/// Below the root of the workspace.
const BASELINE: &str = "crates/node/benches/instructions.toml";

const HEAD: &str = "\
# Instructions of the shard's thread for a delivery, by architecture and by how publications come (README.md).
# `cargo xtask instructions --update` writes this file.

";

const SUBSCRIBERS: u64 = 1_000;

/// Two runs that differ in nothing but this: what start and sessions cost is gone from the difference.
const PUBLICATIONS: [u64; 2] = [104, 504];

/// How publications come, as the benchmark calls it: the two ways through the fan-out. Bursts on one channel take the
/// first, and how many of them meet in one batch is not steady enough.
const MODES: &[&str] = &["one", "channels"];

/// How much dearer a delivery may become unnoticed, and how much cheaper untold.
const TOLERANCE: f64 = 0.10;

/// What the file holds: architecture, mode, instructions.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Baseline(BTreeMap<String, BTreeMap<String, f64>>);

/// Counts and compares; with `update` what was counted becomes what the next runs are held against.
pub(crate) fn check(workspace: &Workspace, update: bool) -> Result<()> {
    let valgrind = tools::valgrind()?;
    let program = build(workspace)?;
    let scratch = workspace.target.join("instructions");
    let path = workspace.root.join(BASELINE);
    let mut baseline = Baseline::read(&path)?;
    let mut dearer = Vec::new();
    for mode in MODES {
        let counted = a_delivery(&valgrind, &program, &scratch, mode)?;
        if update {
            baseline.set(mode, counted);
            println!("{mode}: {counted:.1} instructions a delivery, as {BASELINE} now says");
            continue;
        }
        let verdict = Verdict::of(counted, baseline.get(mode)?);
        println!("{mode}: {}", verdict.tell(counted));
        if matches!(verdict, Verdict::Dearer { .. }) {
            dearer.push(*mode);
        }
    }
    if update {
        return baseline.write(&path);
    }
    ensure!(
        dearer.is_empty(),
        "a delivery became dearer ({}): mend it, or if it is worth its price: cargo xtask instructions --update",
        dearer.join(", ")
    );
    Ok(())
}

/// Builds the benchmark as it is measured and says where it is.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf> {
    let mut command = workspace.cargo(["bench", "--package", "switchboard-node", "--no-run"]);
    command.args(["--features", "bench", "--bench", "null_sink"]);
    command.args(["--message-format", "json-render-diagnostics"]);
    eprintln!("$ {}", process::describe(&command));
    let messages = process::output(command.stderr(Stdio::inherit()))?;
    executable(&messages, "null_sink").context("cargo built no null_sink")
}

/// The program of this name that cargo's messages, a JSON object a line, speak of.
pub(crate) fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    messages.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let built = message["target"]["name"] == name;
        message["executable"]
            .as_str()
            .filter(|_| built)
            .map(PathBuf::from)
    })
}

fn a_delivery(valgrind: &Path, program: &Path, scratch: &Path, mode: &str) -> Result<f64> {
    let [few, many] = PUBLICATIONS;
    let base = count(valgrind, program, scratch, mode, few)?;
    let more = count(valgrind, program, scratch, mode, many)?;
    let difference = more
        .checked_sub(base)
        .context("more publications took fewer instructions")?;
    Ok(difference as f64 / ((many - few) * SUBSCRIBERS) as f64)
}

/// Instructions of all threads but the first, which publishes and waits: that leaves the one shard's.
fn count(
    valgrind: &Path,
    program: &Path,
    scratch: &Path,
    mode: &str,
    publications: u64,
) -> Result<u64> {
    if scratch.exists() {
        std::fs::remove_dir_all(scratch).context("cannot empty the directory of counts")?;
    }
    std::fs::create_dir_all(scratch).context("cannot make the directory of counts")?;
    let mut command = Command::new(valgrind);
    command.args(["--tool=callgrind", "--separate-threads=yes", "--quiet"]);
    command.arg(format!(
        "--callgrind-out-file={}",
        scratch.join("thread").display()
    ));
    command.arg(program).arg("--once");
    command.args([&SUBSCRIBERS.to_string(), &publications.to_string(), mode]);
    process::run(&mut command)?;
    let mut sum = 0;
    for entry in std::fs::read_dir(scratch).context("cannot read the directory of counts")? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.starts_with("thread-") && name != "thread-01" {
            let text = std::fs::read_to_string(&path).context("cannot read a thread's counts")?;
            sum += totals(&text).with_context(|| format!("{name} has no total"))?;
        }
    }
    ensure!(sum > 0, "valgrind counted no shard");
    Ok(sum)
}

/// The total of a file of callgrind's, which is the line `totals: 35090149`.
fn totals(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("totals: "))?;
    line.trim().parse().ok()
}

/// What a count is to the baseline.
#[derive(Debug, PartialEq)]
enum Verdict {
    Same { percent: f64 },
    Cheaper { percent: f64 },
    Dearer { percent: f64 },
}

impl Verdict {
    fn of(counted: f64, before: f64) -> Self {
        let change = counted / before - 1.0;
        let percent = change * 100.0;
        if change > TOLERANCE {
            Self::Dearer { percent }
        } else if change < -TOLERANCE {
            Self::Cheaper { percent }
        } else {
            Self::Same { percent }
        }
    }

    fn tell(&self, counted: f64) -> String {
        let (percent, more) = match self {
            Self::Same { percent } => (percent, ""),
            Self::Dearer { percent } => (percent, ", which is too much"),
            Self::Cheaper { percent } => (
                percent,
                ": well done; keep it with cargo xtask instructions --update",
            ),
        };
        format!("{counted:.1} instructions a delivery, {percent:+.1}%{more}")
    }
}

impl Baseline {
    fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        toml::from_str(&text).with_context(|| path.display().to_string())
    }

    fn get(&self, mode: &str) -> Result<f64> {
        let arch = std::env::consts::ARCH;
        let Some(figure) = self.0.get(arch).and_then(|modes| modes.get(mode)) else {
            bail!("{BASELINE} has no {mode} for {arch}: cargo xtask instructions --update");
        };
        Ok(*figure)
    }

    fn set(&mut self, mode: &str, counted: f64) {
        let modes = self.0.entry(std::env::consts::ARCH.to_owned()).or_default();
        modes.insert(mode.to_owned(), (counted * 10.0).round() / 10.0);
    }

    fn write(&self, path: &Path) -> Result<()> {
        let text = toml::to_string(self).context("the baseline is a table of tables")?;
        std::fs::write(path, format!("{HEAD}{text}")).with_context(|| path.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_more_is_too_much_and_a_tenth_less_is_told() {
        assert!(matches!(Verdict::of(109.9, 100.0), Verdict::Same { .. }));
        assert!(matches!(Verdict::of(110.1, 100.0), Verdict::Dearer { .. }));
        assert!(matches!(Verdict::of(90.1, 100.0), Verdict::Same { .. }));
        let cheaper = Verdict::of(89.0, 100.0);
        let told = cheaper.tell(89.0);
        assert!(
            told.contains("-11.0%") && told.contains("--update"),
            "{told}"
        );
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut baseline: Baseline = toml::from_str("[other]\none = 5.0\n").unwrap();
        baseline.set("one", 106.44);
        let text = toml::to_string(&baseline).unwrap();
        let read: Baseline = toml::from_str(&format!("{HEAD}{text}")).unwrap();
        assert!((read.get("one").unwrap() - 106.4).abs() < 1e-9);
        assert!((read.0["other"]["one"] - 5.0).abs() < 1e-9);
        assert!(read.get("burst").is_err());
    }

    #[test]
    fn program_and_total_are_found() {
        let messages = "{\"target\":{\"name\":\"x\"},\"executable\":\"/x\"}\nnoise\n{\"target\":{\"name\":\"null_sink\"},\"executable\":\"/n\"}";
        assert_eq!(executable(messages, "null_sink"), Some(PathBuf::from("/n")));
        assert_eq!(executable("{}", "null_sink"), None);
        assert_eq!(totals("events: Ir\ntotals: 35090149\n"), Some(35_090_149));
        assert_eq!(totals("summary: 3\n"), None);
    }
}
