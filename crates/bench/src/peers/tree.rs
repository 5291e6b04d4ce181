//! What a server costs that may be several processes: CPU and memory of a process and all its descendants.

use std::fs;

use anyhow::Result;

use crate::process::Process;

/// How much later a clock of hundredths may be than one of nanoseconds before threads must have ended in between.
const TICKS_LATE_MAX_S: f64 = 0.05;

/// A reading of a tree's CPU clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    /// By the threads that live, in nanoseconds' precision.
    living_s: f64,
    /// By the processes, with what threads that ended had used, in hundredths.
    processes_s: f64,
}

/// The process and its descendants.
pub(crate) fn processes(root: u32) -> Result<Vec<Process>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // Processes end at any time: one that cannot be read any more is nobody's.
        if let Some(parent) = stat(pid).and_then(|fields| fields.get(1)?.parse::<u32>().ok()) {
            parents.push((pid, parent));
        }
    }
    let mut found = vec![root];
    let mut at = 0;
    while let Some(&parent) = found.get(at) {
        found.extend(
            parents
                .iter()
                .filter(|(_, of)| *of == parent)
                .map(|(pid, _)| *pid),
        );
        at += 1;
    }
    Ok(found.into_iter().map(|pid| Process { pid }).collect())
}

/// Reads the clocks of the process and its descendants.
pub(crate) fn clocks(root: u32) -> Result<Clocks> {
    let (mut living_s, mut hundredths) = (0.0, 0);
    for process in processes(root)? {
        living_s += process.cpu_s()?;
        // user and system time, fields 14 and 15 of the whole line
        let fields = stat(process.pid).unwrap_or_default();
        let values = fields.iter().skip(11).take(2);
        hundredths += values
            .filter_map(|field| field.parse::<u64>().ok())
            .sum::<u64>();
    }
    Ok(Clocks {
        living_s,
        processes_s: hundredths as f64 / 100.0,
    })
}

impl Clocks {
    /// CPU seconds between two readings.
    pub(crate) fn until(self, later: Self) -> f64 {
        let living = later.living_s - self.living_s;
        let processes = later.processes_s - self.processes_s;
        if processes - living > TICKS_LATE_MAX_S {
            processes
        } else {
            living
        }
    }
}

/// Anonymous memory of the process and its descendants, bytes.
pub(crate) fn anonymous_bytes(root: u32) -> Result<u64> {
    processes(root)?
        .into_iter()
        .map(Process::anonymous_bytes)
        .sum()
}

/// The fields of a process's `stat` after its name: state, parent, ….
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after) = text.rsplit_once(')')?;
    Some(after.split_whitespace().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::time::{ClockId, clock_gettime};
    use std::process::{Command, Stdio};

    #[test]
    fn children_belong_to_the_tree_and_threads_that_ended_are_counted() {
        let mut child = Command::new("sleep")
            .arg("60")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let me = std::process::id();
        let tree: Vec<u32> = processes(me).unwrap().iter().map(|p| p.pid).collect();
        assert_eq!(tree[0], me);
        assert!(tree.contains(&child.id()));
        let before = clocks(me).unwrap();
        std::thread::spawn(|| {
            let used = || clock_gettime(ClockId::ThreadCPUTime);
            let mut value = 1u64;
            while used().tv_sec == 0 && used().tv_nsec < 300_000_000 {
                value = std::hint::black_box(value.wrapping_mul(31));
            }
        })
        .join()
        .unwrap();
        let spent = before.until(clocks(me).unwrap());
        assert!(spent > 0.28, "a thread used 0.3 seconds: {spent}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
