//! A row of the table of bars.

use std::fmt::{self, Write as _};

use serde::Serialize;

/// Which side of the bar is the good one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Good {
    AtLeast,
    AtMost,
    /// There is no bar: the figure is only told.
    Either,
}

/// A figure and the bar it is held to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) figure: f64,
    pub(crate) unit: &'static str,
    pub(crate) good: Good,
    pub(crate) bar: f64,
    /// How the figure came about: spread, control, absolute costs.
    pub(crate) detail: String,
}

impl Row {
    pub(crate) fn at_least(name: &str, figure: f64, unit: &'static str, bar: f64) -> Self {
        Self::new(name, figure, unit, Good::AtLeast, bar)
    }

    pub(crate) fn at_most(name: &str, figure: f64, unit: &'static str, bar: f64) -> Self {
        Self::new(name, figure, unit, Good::AtMost, bar)
    }

    /// A figure without a bar.
    pub(crate) fn told(name: &str, figure: f64, unit: &'static str) -> Self {
        Self::new(name, figure, unit, Good::Either, 0.0)
    }

    fn new(name: &str, figure: f64, unit: &'static str, good: Good, bar: f64) -> Self {
        Self {
            name: name.to_owned(),
            figure,
            unit,
            good,
            bar,
            detail: String::new(),
        }
    }

    pub(crate) fn detail(mut self, detail: String) -> Self {
        self.detail = detail;
        self
    }

    /// A figure that is none (NaN) holds nothing.
    pub(crate) fn holds(&self) -> bool {
        match self.good {
            Good::AtLeast => self.figure >= self.bar,
            Good::AtMost => self.figure <= self.bar,
            Good::Either => !self.figure.is_nan(),
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match (self.good, self.holds()) {
            (Good::Either, true) => "",
            (_, true) => "holds",
            (_, false) => "MISSED",
        };
        let bar = match self.good {
            Good::AtLeast => format!("≥ {}", short(self.bar)),
            Good::AtMost => format!("≤ {}", short(self.bar)),
            Good::Either => String::new(),
        };
        let figure = format!("{} {}", short(self.figure), self.unit);
        write!(f, "{:<52} {figure:>18}  {bar:>12}  {verdict}", self.name)
    }
}

/// All rows, and what is behind each.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = format!("{:<52} {:>18}  {:>12}\n", "what", "figure", "bar");
    for row in rows {
        let _ = writeln!(text, "{row}");
        if !row.detail.is_empty() {
            let _ = writeln!(text, "    {}", row.detail);
        }
    }
    let bars = rows.iter().filter(|row| row.good != Good::Either);
    let (all, held) = (bars.clone().count(), bars.filter(|row| row.holds()).count());
    let _ = write!(text, "{held} of {all} bars hold");
    text
}

/// Three digits that matter.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        large if large >= 1000.0 => format!("{value:.0}"),
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        middle if middle >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_holds_on_its_good_side_only() {
        assert!(Row::at_least("x", 0.93, "", 0.92).holds());
        assert!(!Row::at_least("x", 0.91, "", 0.92).holds());
        assert!(Row::at_most("x", 2.0, "", 2.0).holds());
        assert!(!Row::at_most("x", f64::NAN, "", 2.0).holds());
    }
}
