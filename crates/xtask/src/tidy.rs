//! `cargo xtask tidy`: the rules of the design, as checks on the text of the checkout.
//!
//! Every check is a function from the [`Tree`] to [`Finding`]s, so that its tests can hand it a tree that is wrong.

mod edges;
mod files;
mod habits;
mod links;
mod names;
mod purity;
mod source;
mod tree;

use std::fmt;
use std::time::Instant;

use anyhow::Result;

use self::tree::Tree;
use crate::workspace::Workspace;

/// Something that breaks a rule, shown as `path:line: message`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    /// Relative to the root of the workspace.
    path: String,
    /// Counted from 1.
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// All checks, in the order of the documentation.
const CHECKS: &[fn(&Tree) -> Vec<Finding>] = &[
    edges::check,
    purity::check,
    files::check,
    names::check,
    habits::check,
    links::check,
];

/// Runs all checks, prints the findings, and says whether there were none.
pub(crate) fn run(workspace: &Workspace) -> Result<bool> {
    let start = Instant::now();
    let tree = Tree::read(workspace)?;
    let mut findings: Vec<Finding> = CHECKS.iter().flat_map(|check| check(&tree)).collect();
    findings.sort();
    findings.dedup();
    for finding in &findings {
        println!("{finding}");
    }
    println!(
        "tidy: {} findings in {} files, {} ms",
        findings.len(),
        tree.file_count(),
        start.elapsed().as_millis()
    );
    Ok(findings.is_empty())
}
