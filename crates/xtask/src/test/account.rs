//! The account at the end of a run: every stage with its outcome, then what failed, then the closing line.

use std::time::Duration;

use super::stage::Stage;
use super::tally::Tally;

/// How a stage went.
#[derive(Debug)]
pub(crate) enum Outcome {
    Passed { took: Duration },
    Failed { took: Duration, reason: String },
    NotRun { missing: Stage },
}

/// The stages of a run with their outcomes, in order.
#[derive(Debug, Default)]
pub(crate) struct Account {
    entries: Vec<(Stage, Outcome)>,
}

impl Account {
    /// Records how a stage went.
    pub(crate) fn enter(&mut self, stage: Stage, outcome: Outcome) {
        self.entries.push((stage, outcome));
    }

    /// Whether the stage ran and passed.
    pub(crate) fn passed(&self, stage: Stage) -> bool {
        let entry = self.entries.iter().find(|(entered, _)| *entered == stage);
        matches!(entry, Some((_, Outcome::Passed { .. })))
    }

    /// Whether all stages passed.
    pub(crate) fn good(&self) -> bool {
        self.entries
            .iter()
            .all(|(_, outcome)| matches!(outcome, Outcome::Passed { .. }))
    }

    /// The account as text. Its last line is the tally's closing line, alone, for people and programs that count.
    pub(crate) fn render(&self, tally: &Tally) -> String {
        let mut lines = vec!["== account".to_owned()];
        for (stage, outcome) in &self.entries {
            lines.push(match outcome {
                Outcome::Passed { took } => {
                    format!("{stage:<10} passed   {:>7.1} s", took.as_secs_f64())
                }
                Outcome::Failed { took, reason } => {
                    format!(
                        "{stage:<10} FAILED   {:>7.1} s  {reason}",
                        took.as_secs_f64()
                    )
                }
                Outcome::NotRun { missing } => {
                    format!("{stage:<10} not run             needs {missing}")
                }
            });
        }
        if !tally.failures.is_empty() {
            lines.push("failed tests:".to_owned());
            lines.extend(tally.failures.iter().map(|name| format!("  {name}")));
        }
        lines.push(tally.closing_line());
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failed_stage_spoils_the_account_and_is_named() {
        let took = Duration::from_millis(1500);
        let mut account = Account::default();
        account.enter(Stage::Fmt, Outcome::Passed { took });
        assert!(account.good() && account.passed(Stage::Fmt));
        account.enter(
            Stage::Build,
            Outcome::Failed {
                took,
                reason: "no binary".to_owned(),
            },
        );
        account.enter(
            Stage::Blackbox,
            Outcome::NotRun {
                missing: Stage::Build,
            },
        );
        assert!(
            !account.good() && !account.passed(Stage::Build) && !account.passed(Stage::Blackbox)
        );

        let mut tally = Tally::default();
        tally.read("test gone ... FAILED");
        tally.read("test result: FAILED. 4 passed; 1 failed; 0 ignored");
        let text = account.render(&tally);
        assert!(
            text.contains("build      FAILED       1.5 s  no binary"),
            "{text}"
        );
        assert!(text.contains("blackbox   not run"), "{text}");
        assert!(
            text.ends_with("failed tests:\n  gone\n4 passed, 1 failed"),
            "{text}"
        );
    }
}
