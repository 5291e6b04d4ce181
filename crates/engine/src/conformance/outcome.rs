//! How a check went.

use std::fmt;

use crate::request::EngineError;

/// Why a check failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(String);

impl Failure {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self(format!("the engine refused: {error}"))
    }
}

impl From<tokio::task::JoinError> for Failure {
    fn from(error: tokio::task::JoinError) -> Self {
        Self(format!("a task of the check failed: {error}"))
    }
}

/// What a check that did not fail says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Held,
    /// The hooks do not supply what it needs.
    Skipped,
}

pub(super) type Outcome = Result<Verdict, Failure>;

/// Fails the check unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::conformance::outcome::Failure::new(format!($($message)+)));
        }
    };
}

/// Fails the check unless both are equal, and shows them.
macro_rules! ensure_eq {
    ($left:expr, $right:expr, $what:expr) => {{
        let (left, right) = (&$left, &$right);
        ensure!(left == right, "{}: {left:?} is not {right:?}", $what);
    }};
}

/// How a run of the suite went.
#[derive(Debug, Default)]
pub struct Report {
    /// The names of the checks that held.
    pub held: Vec<&'static str>,
    /// The names of the checks that the hooks do not supply a fault for.
    pub skipped: Vec<&'static str>,
    /// The names of the checks that failed, and why.
    pub failed: Vec<(&'static str, Failure)>,
}

impl Report {
    pub(super) fn add(&mut self, name: &'static str, outcome: Outcome) {
        match outcome {
            Ok(Verdict::Held) => self.held.push(name),
            Ok(Verdict::Skipped) => self.skipped.push(name),
            Err(failure) => self.failed.push((name, failure)),
        }
    }

    /// # Panics
    /// When a check failed, with all that did.
    pub fn expect_all_held(&self) {
        assert!(
            self.failed.is_empty() && !self.held.is_empty(),
            "the engine breaks its promises:\n{self}"
        );
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, failure) in &self.failed {
            writeln!(f, "FAILED  {name}: {failure}")?;
        }
        for name in &self.skipped {
            writeln!(f, "skipped {name}")?;
        }
        for name in &self.held {
            writeln!(f, "held    {name}")?;
        }
        Ok(())
    }
}
