//! Figures as lines for people, and as JSON for programs.

use serde_json::{Value, json};

use super::{Figures, Row};

/// The head of the table.
pub fn head() -> String {
    format!(
        "{:<20} {:>7} {:>7} {:>9} {:>5} {:>10} {:>5} {:>12} {:>10} {:>10}  verdict",
        "fault",
        "sent",
        "unknown",
        "received",
        "lost",
        "duplicated",
        "gaps",
        "out of order",
        "came back",
        "recovered",
    )
}

/// A row of the table.
pub fn line(row: Row, outcome: &Result<Figures, String>) -> String {
    let figures = match outcome {
        Ok(figures) => figures,
        Err(error) => return format!("{:<20} FAILED: {error}", row.name()),
    };
    let recovered = format!("{:.2} s", figures.silence_ms as f64 / 1000.0);
    let verdict = match row.judge(figures) {
        Ok(()) => "holds".to_owned(),
        Err(why) => format!("FAILED: {why}"),
    };
    format!(
        "{:<20} {:>7} {:>7} {:>9} {:>5} {:>10} {:>5} {:>12} {:>10} {recovered:>10}  {verdict}",
        row.name(),
        figures.sent,
        figures.unknown,
        figures.received,
        figures.lost,
        figures.duplicated,
        figures.gaps,
        figures.disordered,
        figures.reconnects,
    )
}

/// The same for programs: one object a row.
pub fn json(row: Row, outcome: &Result<Figures, String>) -> Value {
    match outcome {
        Ok(figures) => {
            let failed = row.judge(figures).err();
            json!({"fault": row.name(), "figures": figures, "holds": failed.is_none(), "failed": failed})
        }
        Err(error) => json!({"fault": row.name(), "holds": false, "failed": error}),
    }
}
