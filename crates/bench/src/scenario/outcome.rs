//! What a run has to tell: a row of the table, and an object for machines.

use clap::ValueEnum;
use serde::Serialize;

use crate::bars::short;
use crate::publisher::By;
use crate::scenario::opening::Opening;
use crate::scenario::publishing::Publishing;
use crate::scenario::stage::{Delivering, Faults, Pace};

/// All of a run; what a scenario does not have is not there.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Outcome {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pace: Option<Pace>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<By>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delivering: Option<Delivering>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) opening: Option<Opening>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) publishing: Option<Publishing>,
    /// CPU of all the sessions together while nothing is published, in percent of a core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) idle_core_percent: Option<f64>,
    pub(crate) faults: Faults,
    /// What a row has no column for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) note: String,
}

/// A column's head and what stands in it.
type Cell = (&'static str, String);

impl Outcome {
    fn cells(&self) -> Vec<Cell> {
        let mut cells: Vec<Cell> = vec![("what", self.name.clone())];
        if let Some(pace) = self.pace {
            cells.push(("pace", name_of(&pace)));
        }
        if let Some(by) = self.by {
            cells.push(("by", name_of(&by)));
        }
        if let Some(it) = &self.delivering {
            cells.push(("deliv./s", short(it.deliveries_per_s)));
            cells.push(("CPU s/M", short(it.cpu_s_per_million)));
            cells.push(("p50 µs", it.p50_us.to_string()));
            cells.push(("p90", it.p90_us.to_string()));
            cells.push(("p99", it.p99_us.to_string()));
            cells.push(("p99.9", it.p999_us.to_string()));
        }
        if let Some(it) = &self.publishing {
            cells.push(("publ./s", short(it.per_s)));
            cells.push(("a CPU second", short(it.per_cpu_s)));
            cells.push(("CPU µs each", short(it.cpu_us)));
        }
        if let Some(it) = &self.opening {
            cells.push(("opened/s", short(it.per_s)));
            if self.delivering.is_none() {
                cells.push(("CPU µs each", short(it.cpu_us_per_session)));
                cells.push(("p50 ms", short(it.p50_us as f64 / 1e3)));
                cells.push(("p99 ms", short(it.p99_us as f64 / 1e3)));
            }
            cells.push(("bytes/session", short(it.bytes_per_session)));
            cells.push(("fds/session", short(it.descriptors_per_session)));
        }
        if let Some(percent) = self.idle_core_percent {
            cells.push(("% of a core", short(percent)));
        }
        if self.publishing.is_none() {
            let Faults {
                lost,
                duplicates,
                disordered,
                gaps,
                closed,
            } = self.faults;
            let faults = format!("{lost}/{duplicates}/{disordered}/{gaps}/{closed}");
            cells.push(("lost/doubled/disordered/gaps/closed", faults));
        }
        cells
    }
}

fn name_of(value: &impl ValueEnum) -> String {
    let value = value.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

/// The table of outcomes of one scenario.
pub(crate) fn table(outcomes: &[Outcome]) -> String {
    let rows: Vec<Vec<Cell>> = outcomes.iter().map(Outcome::cells).collect();
    let Some(first) = rows.first() else {
        return String::new();
    };
    let heads: Vec<&str> = first.iter().map(|(head, _)| *head).collect();
    let wide = |text: &str| text.chars().count();
    let widths: Vec<usize> = heads
        .iter()
        .enumerate()
        .map(|(at, head)| {
            let cells = rows.iter().filter_map(|row| row.get(at));
            cells
                .map(|(_, text)| wide(text))
                .max()
                .unwrap_or(0)
                .max(wide(head))
        })
        .collect();
    let line = |cells: Vec<&str>| {
        let cells = cells.iter().zip(&widths).enumerate();
        let padded: Vec<String> = cells
            .map(|(at, (text, width))| match at {
                0 => format!("{text:<width$}"),
                _ => format!("{text:>width$}"),
            })
            .collect();
        padded.join("  ")
    };
    let mut lines = vec![line(heads)];
    for (row, outcome) in rows.iter().zip(outcomes) {
        lines.push(line(row.iter().map(|(_, text)| text.as_str()).collect()));
        if !outcome.note.is_empty() {
            lines.push(format!("    {}", outcome.note));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_stands_in_them() {
        let outcome = |name: &str, lost| Outcome {
            name: name.to_owned(),
            idle_core_percent: Some(0.5),
            faults: Faults {
                lost,
                ..Faults::default()
            },
            ..Outcome::default()
        };
        let mut second = outcome("ten thousand", 7);
        second.note = "a note".to_owned();
        let text = table(&[outcome("one", 0), second]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "what          % of a core  lost/doubled/disordered/gaps/closed"
        );
        assert_eq!(
            lines[2],
            "ten thousand        0.500                            7/0/0/0/0"
        );
        assert_eq!(lines[3], "    a note");
    }
}
