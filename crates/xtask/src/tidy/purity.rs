//! `core` has state machines and no effects: no clock, no sockets, no files, no threads, no runtime, no serde.

use toml::Table;

use super::edges::{dependencies, line_of};
use super::tree::Tree;
use super::{Finding, source};

/// All that `core` may depend on.
const DEPENDENCIES: &[&str] = &["bytes", "thiserror", "hashbrown", "slab"];

/// What must not be in its code, and what to do instead.
const FOREIGN: &[(&str, &str)] = &[
    ("Instant::now", "time comes in as an argument"),
    ("SystemTime::now", "time comes in as an argument"),
    ("std::net", "core has no I/O"),
    ("std::fs", "core has no I/O"),
    ("std::env", "core has no I/O"),
    ("std::thread", "core runs on its caller's thread"),
    ("tokio", "core has no runtime"),
    ("serde", "wire shapes are in protocol and proto"),
];

const MANIFEST: &str = "crates/core/Cargo.toml";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    // A manifest that is not TOML is a finding of `edges` already.
    let manifest = tree.file(MANIFEST);
    if let Some((file, parsed)) =
        manifest.and_then(|file| Some((file, file.text.parse::<Table>().ok()?)))
    {
        for (section, key, package) in dependencies(&parsed) {
            if section != "dev-dependencies" && !DEPENDENCIES.contains(&package.as_str()) {
                let message = format!(
                    "core depends only on {}, not on {package}",
                    DEPENDENCIES.join(", ")
                );
                findings.push(Finding::new(MANIFEST, line_of(&file.text, &key), message));
            }
        }
    }
    for file in tree
        .ending(".rs")
        .filter(|file| file.path.starts_with("crates/core/"))
    {
        for (number, line) in file.code_lines() {
            for (phrase, instead) in FOREIGN {
                if source::has_word(line, phrase) {
                    findings.push(Finding::new(
                        &file.path,
                        number,
                        format!("`{phrase}` in core: {instead}"),
                    ));
                }
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_off_the_list_is_found() {
        let pure = "[dependencies]\nbytes = \"1\"\n[dev-dependencies]\nproptest = \"1\"\n";
        assert!(check(&Tree::of(&[(MANIFEST, pure)])).is_empty());
        let found = check(&Tree::of(&[(
            MANIFEST,
            "[dependencies]\nbytes = \"1\"\nserde = \"1\"\n",
        )]));
        assert_eq!((found.len(), found[0].line), (1, 3));
    }

    #[test]
    fn effects_are_found_in_code_and_not_in_comments() {
        for line in [
            "let now = Instant::now();",
            "let now = std::time::SystemTime::now();",
            "use std::net::IpAddr;",
            "use std::fs;",
            "std::env::var(\"A\");",
            "std::thread::yield_now();",
            "use tokio::sync::Notify;",
            "#[derive(serde::Serialize)]",
        ] {
            let found = check(&Tree::of(&[("crates/core/src/a.rs", line)]));
            assert_eq!(found.len(), 1, "{line}: {found:?}");
            assert!(check(&Tree::of(&[("crates/node/src/a.rs", line)])).is_empty());
            let comment = format!("// {line}");
            assert!(check(&Tree::of(&[("crates/core/src/a.rs", &comment)])).is_empty());
        }
    }
}
