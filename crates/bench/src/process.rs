//! What a process costs, from `/proc`: CPU by its threads' schedstat (nanoseconds, not ticks), anonymous memory, descriptors.

use std::fs;

use anyhow::{Context, Result};

/// A process that is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    pub(crate) pid: u32,
}

impl Process {
    /// CPU seconds of its threads that live. Threads that ended take their seconds along, so only servers with a fixed
    /// set of threads may be measured by it.
    pub(crate) fn cpu_s(self) -> Result<f64> {
        let mut nanoseconds = 0u64;
        for task in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else {
                continue;
            };
            let first = text.split(' ').next().and_then(|n| n.parse::<u64>().ok());
            nanoseconds += first.context("schedstat")?;
        }
        Ok(nanoseconds as f64 / 1e9)
    }

    /// Anonymous resident memory, bytes.
    pub(crate) fn anonymous_bytes(self) -> Result<u64> {
        self.status_kib("RssAnon:").map(|kib| kib * 1024)
    }

    /// Resident memory of files, the program's own text above all, bytes.
    pub(crate) fn file_bytes(self) -> Result<u64> {
        self.status_kib("RssFile:").map(|kib| kib * 1024)
    }

    /// Open descriptors.
    pub(crate) fn descriptors(self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.pid))?.count())
    }

    fn status_kib(self, field: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let value = line.with_context(|| format!("no {field}"))?;
        Ok(value.trim().trim_end_matches(" kB").parse()?)
    }
}
