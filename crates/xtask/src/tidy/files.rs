//! Files: how long they are, that each says what it is, and that the changelog is there.

use super::Finding;
use super::tree::{File, Tree};

/// A longer file holds more than one idea.
const LINES_MAX: usize = 500;

/// Files that may be longer, each with the reason why cutting them would make them worse.
const LONG_FILES: &[(&str, &str)] = &[];

/// A `lib.rs` tells purpose, what is deliberately absent, the reading order and how to add one: not in less than this.
const LIB_DOC_LINES_MIN: usize = 5;

const CHANGELOG: &str = "crates/server/CHANGELOG.md";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.ending(".rs") {
        findings.extend(too_long(file, LONG_FILES));
        let is_crate = ["crates/", "clients/rust/"]
            .iter()
            .any(|root| file.path.starts_with(root));
        if is_crate && file.path.contains("/src/") {
            findings.extend(undocumented(file));
        }
    }
    findings.extend(stale(tree, LONG_FILES));
    if !tree.has(CHANGELOG) {
        findings.push(Finding::new(CHANGELOG, 1, "there is no changelog"));
    }
    findings
}

fn too_long(file: &File, long_files: &[(&str, &str)]) -> Option<Finding> {
    let lines = file.text.lines().count();
    let excused = long_files.iter().any(|(path, _)| *path == file.path);
    (lines > LINES_MAX && !excused).then(|| {
        let message = format!("{lines} lines, at most {LINES_MAX}: cut it in two ideas (or excuse it in tidy/files.rs)");
        Finding::new(&file.path, LINES_MAX + 1, message)
    })
}

/// Excuses that nobody needs any more.
fn stale(tree: &Tree, long_files: &[(&str, &str)]) -> Vec<Finding> {
    let needless = |path: &str| {
        tree.file(path)
            .is_none_or(|file| file.text.lines().count() <= LINES_MAX)
    };
    let stale = long_files.iter().filter(|(path, _)| needless(path));
    stale
        .map(|(path, _)| {
            Finding::new(
                path,
                1,
                "is excused as a long file (tidy/files.rs) and is none",
            )
        })
        .collect()
}

fn undocumented(file: &File) -> Option<Finding> {
    let docs = file.text.lines().map_while(|line| line.strip_prefix("//!"));
    let told = docs.filter(|line| !line.trim().is_empty()).count();
    if told == 0 {
        return Some(Finding::new(
            &file.path,
            1,
            "begin with `//!`: what this file is for",
        ));
    }
    (file.name() == "lib.rs" && told < LIB_DOC_LINES_MIN).then(|| {
        let message = "a lib.rs tells purpose, what is deliberately absent, the reading order and how to add one";
        Finding::new(&file.path, 1, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCS: &str = "//! a\n//! b\n//!\n//! c\n//! d\n//! e\n";

    fn findings(path: &str, text: &str) -> Vec<String> {
        let tree = Tree::of(&[(path, text), (CHANGELOG, "")]);
        check(&tree).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn a_file_is_too_long_from_501_lines() {
        let lines = |count: usize| format!("//! a\n{}", "x\n".repeat(count - 1));
        assert!(findings("crates/a/src/b.rs", &lines(500)).is_empty());
        let found = findings("crates/a/src/b.rs", &lines(501));
        assert!(
            found[0].starts_with("crates/a/src/b.rs:501: 501 lines"),
            "{found:?}"
        );
        assert_eq!(findings("tests/tests/b.rs", &lines(501)).len(), 1);
    }

    #[test]
    fn an_excuse_counts_only_while_it_is_needed() {
        let excuses = [("a.rs", "a table")];
        let long = Tree::of(&[("a.rs", &"x\n".repeat(501))]);
        assert!(too_long(long.file("a.rs").unwrap(), &excuses).is_none());
        assert!(stale(&long, &excuses).is_empty());
        assert_eq!(stale(&Tree::of(&[("a.rs", "x\n")]), &excuses).len(), 1);
        assert_eq!(stale(&Tree::of(&[]), &excuses).len(), 1);
    }

    #[test]
    fn a_file_without_docs_is_found() {
        assert_eq!(findings("crates/a/src/b.rs", "use x;\n").len(), 1);
        assert_eq!(findings("crates/a/src/b.rs", "").len(), 1);
        assert!(findings("crates/a/src/b.rs", "//! What it is.\n").is_empty());
        assert!(findings("crates/a/build.rs", "fn main() {}\n").is_empty());
        assert_eq!(findings("clients/rust/src/b.rs", "use x;\n").len(), 1);
    }

    #[test]
    fn a_lib_that_tells_little_is_found() {
        assert!(findings("crates/a/src/lib.rs", DOCS).is_empty());
        assert_eq!(findings("crates/a/src/lib.rs", "//! Things.\n").len(), 1);
    }

    #[test]
    fn a_missing_changelog_is_found() {
        assert_eq!(check(&Tree::of(&[])).len(), 1);
    }
}
