//! What is told: medians with their bounds, a row a target, and who was not measured.

use std::fmt::Write as _;

use anyhow::Result;
use serde_json::{Value, json};

use super::Entry;
use super::measure::Run;
use crate::paired::Spread;
use crate::report;
use crate::scenario::Setting;

type Figure = fn(&Run) -> Option<f64>;

/// The columns: a heading, decimals, and the figure of a run.
const COLUMNS: &[(&str, usize, Figure)] = &[
    ("CPU µs, one at a time", 2, |run| Some(run.one.cpu_us)),
    ("CPU µs, 8 in flight", 2, |run| Some(run.eight.cpu_us)),
    ("CPU µs, batch of 8", 2, |run| Some(run.batch?.cpu_us)),
    ("idle KiB", 2, |run| Some(run.idle_bytes / 1024.0)),
    ("opened/s", 0, |run| Some(run.opened_per_s)),
    ("p50 ms", 2, |run| Some(run.one.p50_us as f64 / 1e3)),
    ("p99 ms", 2, |run| Some(run.one.p99_us as f64 / 1e3)),
    ("wire bytes", 0, |run| Some(run.one.bytes)),
];

/// Markdown: a table for each number of subscribers.
pub(crate) fn text(entries: &[Entry], skipped: &[(&str, String)]) -> String {
    let mut text = String::new();
    let mut subscribers = 0;
    for entry in entries {
        if entry.subscribers != subscribers {
            subscribers = entry.subscribers;
            let _ = write!(
                text,
                "\n{subscribers} subscribers of one channel\n\n| target |"
            );
            for (heading, ..) in COLUMNS {
                let _ = write!(text, " {heading} |");
            }
            let _ = writeln!(text, "\n|---|{}", "---|".repeat(COLUMNS.len()));
        }
        let _ = write!(text, "| {} |", entry.target);
        for (_, decimals, figure) in COLUMNS {
            let _ = write!(text, " {} |", cell(&entry.runs, *decimals, *figure));
        }
        text.push('\n');
    }
    text.push('\n');
    for entry in entries
        .iter()
        .filter(|entry| entry.subscribers == subscribers)
    {
        let _ = writeln!(text, "- {}: {}", entry.target, entry.version);
    }
    for (target, why) in skipped {
        let _ = writeln!(text, "- {target}: skipped: {why}");
    }
    for entry in entries {
        for failure in &entry.failures {
            let _ = writeln!(
                text,
                "- {} with {}: FAILED: {failure}",
                entry.target, entry.subscribers
            );
        }
    }
    text
}

/// One object with every run in it.
pub(crate) fn json(
    setting: &Setting,
    entries: &[Entry],
    skipped: &[(&str, String)],
) -> Result<Value> {
    let skipped: Vec<Value> = skipped
        .iter()
        .map(|(target, why)| json!({"target": target, "why": why}))
        .collect();
    Ok(json!({
        "run": report::run(setting),
        "entries": serde_json::to_value(entries)?,
        "skipped": skipped,
    }))
}

/// The median, with least and greatest.
fn cell(runs: &[Run], decimals: usize, figure: Figure) -> String {
    let values: Vec<f64> = runs.iter().filter_map(figure).collect();
    if values.is_empty() {
        return "–".to_owned();
    }
    let Spread { median, min, max } = Spread::of(values.into_iter());
    format!("{median:.decimals$} [{min:.decimals$}–{max:.decimals$}]")
}
