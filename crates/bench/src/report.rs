//! Results for machines, with what one must know of the run to believe them.

use std::process::Command;

use anyhow::Result;
use serde_json::{Value, json};

use crate::bars::Row;
use crate::scenario::Setting;

/// The rows of the bars as one object.
pub(crate) fn bars(setting: &Setting, rows: &[Row]) -> Result<Value> {
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            let mut value = serde_json::to_value(row)?;
            value["holds"] = row.holds().into();
            Ok(value)
        })
        .collect::<Result<_>>()?;
    Ok(json!({"run": run(setting), "bars": rows}))
}

/// Commit, machine and versions of a run.
pub(crate) fn run(setting: &Setting) -> Value {
    let said = |program: &str, arguments: &[&str]| -> Option<String> {
        let output = Command::new(program).args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let processor = std::fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        });
    json!({
        "commit": said("git", &["describe", "--always", "--dirty"]),
        "processor": processor,
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "kernel": said("uname", &["-r"]),
        "rustc": said("rustc", &["--version"]),
        "quick": setting.quick,
        "note": "loopback: the receiver's TCP work is charged to the sender",
    })
}
