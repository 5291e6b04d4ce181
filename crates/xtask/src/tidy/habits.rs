//! Habits that cost later: tests that are skipped or guess at time, code that is not there yet, queues without a bound.

use super::tree::{File, Tree};
use super::{Finding, source};

/// What is never in committed code, and why.
const NEVER: &[(&str, &str)] = &[
    ("#[ignore", "a test runs or is not there"),
    ("todo!", "not there yet"),
    ("unimplemented!", "not there yet"),
    ("dbg!", "left over from a search"),
    ("unbounded_channel", "every queue has a bound"),
    ("UnboundedSender", "every queue has a bound"),
    ("unbounded(", "every queue has a bound"),
];

/// The comment that lets a sleep stand, with its reason after it, on the same line or the one above.
const EXCUSE: &str = "// waits:";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings: Vec<Finding> = tree.ending(".rs").flat_map(check_file).collect();
    for file in tree.ending("package-lock.json") {
        for (number, line) in (1..).zip(file.text.lines()) {
            if line.contains("\"resolved\": \"http") {
                let message =
                    "a lock file names no registry: set omit-lockfile-registry-resolved in .npmrc";
                findings.push(Finding::new(&file.path, number, message));
            }
        }
    }
    findings
}

fn check_file(file: &File) -> Vec<Finding> {
    let text: Vec<&str> = file.text.lines().collect();
    let tests_begin = if is_test(&file.path) {
        Some(1)
    } else {
        source::tests_begin(&file.code)
    };
    let mut findings = Vec::new();
    for (number, line) in file.code_lines() {
        let mut found = |message: String| findings.push(Finding::new(&file.path, number, message));
        for (phrase, why) in NEVER {
            if starts_a_word(line, phrase) {
                found(format!("`{phrase}`: {why}"));
            }
        }
        if std_channel(line) {
            found("`mpsc::channel()`: every queue has a bound: use `sync_channel`".to_owned());
        }
        if skipped_example(text[number - 1]) {
            found("an example in docs that is not run: make it run, or `text`".to_owned());
        }
        let in_test = tests_begin.is_some_and(|begin| number >= begin);
        if in_test && sleeps(line) && !excused(&text, number) {
            found(format!(
                "a test waits for what it means, not for time (or says why: `{EXCUSE} ...`)"
            ));
        }
    }
    findings
}

fn is_test(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs")
}

fn starts_a_word(line: &str, phrase: &str) -> bool {
    line.match_indices(phrase).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

/// `mpsc::channel()` with no capacity, whatever its type.
fn std_channel(line: &str) -> bool {
    line.match_indices("mpsc::channel").any(|(at, phrase)| {
        let rest = &line[at + phrase.len()..];
        let rest = match rest.strip_prefix("::<") {
            Some(generic) => generic.split_once('(').map_or("", |(_, rest)| rest),
            None => rest.strip_prefix('(').unwrap_or_default(),
        };
        rest.trim_start().starts_with(')')
    })
}

/// The fence of an example that rustdoc is told not to run.
fn skipped_example(line: &str) -> bool {
    let line = line.trim_start();
    let docs = line
        .strip_prefix("///")
        .or_else(|| line.strip_prefix("//!"));
    docs.is_some_and(|docs| docs.trim_start().starts_with("```ignore"))
}

fn sleeps(line: &str) -> bool {
    let calls = ["sleep(", "sleep_until("];
    calls.iter().any(|call| starts_a_word(line, call)) && !line.contains("fn sleep")
}

fn excused(text: &[&str], number: usize) -> bool {
    let here = text[number - 1];
    let above = number.checked_sub(2).map_or("", |index| text[index]);
    [here, above].iter().any(|line| {
        let reason = line.split_once(EXCUSE).map(|(_, reason)| reason);
        reason.is_some_and(|reason| !reason.trim().is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, text: &str) -> usize {
        check(&Tree::of(&[(path, text)])).len()
    }

    #[test]
    fn what_is_never_committed_is_found() {
        for line in [
            "#[ignore]",
            "#[ignore = \"slow\"]",
            "    todo!()",
            "unimplemented!(\"x\")",
            "dbg!(x);",
            "let (a, b) = mpsc::unbounded_channel();",
            "a: UnboundedSender<u8>,",
            "let (a, b) = flume::unbounded();",
            "let (a, b) = mpsc::channel();",
            "let (a, b) = std::sync::mpsc::channel::<Vec<u8>>();",
            "/// ```ignore",
        ] {
            assert_eq!(count("crates/a/src/a.rs", line), 1, "{line}");
        }
        for line in [
            "// todo!",
            "let x = \"dbg!(x)\";",
            "mpsc::channel(16)",
            "mpsc::channel::<u8>(16)",
            "oneshot::channel()",
        ] {
            assert_eq!(count("crates/a/src/a.rs", line), 0, "{line}");
        }
    }

    #[test]
    fn a_sleep_in_a_test_needs_a_reason() {
        for sleep in [
            "std::thread::sleep(x);",
            "tokio::time::sleep(x).await;",
            "sleep_until(x).await;",
        ] {
            assert_eq!(count("tests/tests/a.rs", sleep), 1, "{sleep}");
            assert_eq!(count("crates/a/src/a.rs", sleep), 0, "{sleep}");
            let inner = format!("fn a() {{}}\n#[cfg(test)]\nmod tests {{\n{sleep}\n}}\n");
            assert_eq!(count("crates/a/src/a.rs", &inner), 1, "{sleep}");
            let excused = format!("// waits: the clock is paused\n{sleep}\n");
            assert_eq!(count("tests/tests/a.rs", &excused), 0, "{sleep}");
            assert_eq!(
                count("tests/tests/a.rs", &format!("{sleep} // waits:")),
                1,
                "no reason"
            );
        }
    }

    #[test]
    fn a_lock_file_that_names_a_registry_is_found() {
        let lock = "{\n  \"resolved\": \"https://registry.example/a.tgz\"\n}\n";
        assert_eq!(count("tests/node/package-lock.json", lock), 1);
        assert_eq!(
            count(
                "tests/node/package-lock.json",
                "{\n  \"version\": \"1.0.0\"\n}\n"
            ),
            0
        );
    }
}
