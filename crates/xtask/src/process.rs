//! Running other programs: shown before they start, streamed while they run, ended when they take too long.

use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// How long one command may take. A hang must end with a name, not with CI's own limit of time, which tells nothing;
/// the longest command (a cold build of all tests on two cores) takes about a third of this.
pub(crate) const COMMAND_LIMIT: Duration = Duration::from_mins(30);

/// How long output may stay open after the command that was started has ended.
const OUTPUT_GRACE: Duration = Duration::from_secs(3);

/// A cargo command with the environment that a person's shell would give it.
pub(crate) fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    // `cargo run` tells this process about the xtask crate. Passed on, it would make build scripts that look at these
    // variables run again each time that xtask and a person take turns.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    if io::stdout().is_terminal() && std::env::var_os("CARGO_TERM_COLOR").is_none() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    command
}

/// Runs a command that says little and returns its output.
///
/// # Errors
/// If it cannot be started, or fails: the error then holds what it wrote to stderr.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", describe(command)))?;
    ensure!(
        output.status.success(),
        "{} failed ({}): {}",
        describe(command),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    String::from_utf8(output.stdout).context("the output is not UTF-8")
}

/// Runs a command with its output straight to the terminal.
///
/// # Errors
/// If it cannot be started, fails, or takes longer than [`COMMAND_LIMIT`].
pub(crate) fn run(command: &mut Command) -> Result<()> {
    println!("$ {}", describe(command));
    run_unshown(command).with_context(|| describe(command))
}

/// Runs a command as [`run`] does, without showing it: for one that the caller explains better.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_unshown(command: &mut Command) -> Result<()> {
    let mut child = start(command)?;
    supervise(&mut child, COMMAND_LIMIT)
}

/// Runs a command as [`run`] does, with every line of its stdout also given to `hear`.
///
/// # Errors
/// As [`run`], and if something that the command left running keeps its output open.
pub(crate) fn run_hearing(
    command: &mut Command,
    limit: Duration,
    hear: impl FnMut(&str) + Send + 'static,
) -> Result<()> {
    println!("$ {}", describe(command));
    run_copying(command, limit, io::stdout(), hear).with_context(|| describe(command))
}

fn run_copying(
    command: &mut Command,
    limit: Duration,
    to: impl Write + Send + 'static,
    hear: impl FnMut(&str) + Send + 'static,
) -> Result<()> {
    command.stdout(Stdio::piped());
    let mut child = start(command)?;
    let stdout = child.stdout.take().expect("stdout was piped just above");
    let (ended, end_of_output) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let outcome = tee(BufReader::new(stdout), to, hear);
        // Nobody listens any more only if this output stayed open for too long.
        let _ = ended.send(outcome);
    });
    let outcome = supervise(&mut child, limit);
    let copied = end_of_output.recv_timeout(OUTPUT_GRACE);
    outcome?;
    copied
        .context("ended, but something it started still runs")?
        .context("cannot pass its output on")
}

/// The command as a person would type it.
pub(crate) fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let mut line = String::new();
    for (index, word) in words.enumerate() {
        let word = word.to_string_lossy();
        let word = if index == 0 {
            word.rsplit('/').next().unwrap_or(&word).to_owned()
        } else {
            word.into_owned()
        };
        let plain = |c: char| c.is_alphanumeric() || "-_./=:@,+#".contains(c);
        if index > 0 {
            line.push(' ');
        }
        if !word.is_empty() && word.chars().all(plain) {
            line.push_str(&word);
        } else {
            line.push('\'');
            line.push_str(&word.replace('\'', r"'\''"));
            line.push('\'');
        }
    }
    line
}

fn start(command: &mut Command) -> Result<Child> {
    command
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {}", describe(command)))
}

/// Waits for the child, and ends it and all that it started if it takes longer than `limit`.
fn supervise(child: &mut Child, limit: Duration) -> Result<()> {
    let pid = child.id();
    let (ended, watched) = mpsc::sync_channel::<()>(1);
    let watchdog = thread::spawn(move || {
        let late = watched.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
        if late {
            end_tree(pid);
        }
        late
    });
    let status = child.wait();
    drop(ended);
    let late = watchdog.join().expect("the watchdog does not panic");
    ensure!(
        !late,
        "took longer than {} minutes and was ended",
        limit.as_secs() / 60
    );
    let status = status.context("cannot wait for it")?;
    ensure!(status.success(), "failed ({status})");
    Ok(())
}

/// Ends a process and its descendants. A process group would do the same but would also keep Ctrl-C from reaching them.
fn end_tree(pid: u32) {
    let mut doomed = vec![pid];
    let mut next = 0;
    while let Some(&parent) = doomed.get(next) {
        doomed.extend(children(parent));
        next += 1;
    }
    let pids = doomed.iter().map(u32::to_string);
    // Some may have ended by themselves meanwhile, which `kill` reports as a failure: nothing is left to do then.
    let _ = Command::new("kill")
        .arg("-KILL")
        .args(pids)
        .stderr(Stdio::null())
        .status();
}

fn children(parent: u32) -> Vec<u32> {
    let listed = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = listed.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| parent_of(*pid) == Some(parent)).collect()
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in brackets and may hold anything; the parent is two fields after it.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

fn tee(mut from: impl BufRead, mut to: impl Write, mut hear: impl FnMut(&str)) -> io::Result<()> {
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        to.flush()?;
        hear(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn heard(script: &str, limit: Duration) -> (Vec<String>, Result<()>) {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let outcome = run_copying(&mut shell(script), limit, io::sink(), move |line| {
            sink.lock().unwrap().push(line.to_owned());
        });
        let lines = lines.lock().unwrap().clone();
        (lines, outcome)
    }

    #[test]
    fn every_line_is_heard_and_success_is_told() {
        let (lines, outcome) = heard("echo one; printf two", COMMAND_LIMIT);
        assert_eq!(lines, ["one", "two"]);
        outcome.unwrap();
    }

    #[test]
    fn failure_is_an_error_that_names_the_command() {
        let message = format!("{:#}", run(&mut shell("exit 3")).unwrap_err());
        assert!(
            message.contains("sh -c 'exit 3'") && message.contains("exit status: 3"),
            "{message}"
        );
    }

    #[test]
    fn a_hang_is_ended_with_all_that_it_started() {
        let (lines, outcome) = heard("sleep 600 & echo $!; wait", Duration::from_millis(300));
        let message = format!("{:#}", outcome.unwrap_err());
        assert!(message.contains("took longer"), "{message}");
        let child: u32 = lines[0].parse().unwrap();
        // A killed process may wait as a zombie for init, which has no command line.
        let command_line = std::fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
        assert!(command_line.is_empty(), "the child outlived the hang");
    }

    #[test]
    fn something_left_running_is_told() {
        let (lines, outcome) = heard("sleep 600 & echo $!", COMMAND_LIMIT);
        let left = &lines[0];
        let ended = Command::new("kill").args(["-KILL", left]).status().unwrap();
        assert!(ended.success(), "it was not running");
        let message = format!("{:#}", outcome.unwrap_err());
        assert!(message.contains("still runs"), "{message}");
    }

    #[test]
    fn commands_are_shown_as_they_would_be_typed() {
        assert_eq!(describe(&shell("it's")), r"sh -c 'it'\''s'");
    }
}
