//! Names that say nothing, or say the wrong thing: the words that the design does not use.

use super::Finding;
use super::tree::Tree;

/// Names of files and modules that say only that something had no home.
const HOMELESS: &[&str] = &[
    "util", "utils", "common", "helper", "helpers", "manager", "managers", "misc",
];

/// Words that no type is named with: each has a better one in the list of words, or says nothing.
const UNUSED: &[&str] = &[
    "Util", "Utils", "Helper", "Helpers", "Manager", "Topic", "Room", "Broker", "Adapter",
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.ending(".rs") {
        for part in file.path.split('/') {
            let stem = part.strip_suffix(".rs").unwrap_or(part);
            if HOMELESS.contains(&stem) {
                findings.push(Finding::new(
                    &file.path,
                    1,
                    format!("`{stem}` says nothing: name what is in it"),
                ));
            }
        }
        for (number, line) in file.code_lines() {
            findings.extend(defined(line).and_then(|(kind, name)| {
                let message = if kind == "mod" {
                    HOMELESS
                        .contains(&name)
                        .then(|| format!("`mod {name}` says nothing: name what is in it"))
                } else {
                    let word = words(name)
                        .into_iter()
                        .find(|word| UNUSED.contains(&word.as_str()))?;
                    Some(format!("`{name}`: {word} is not a word of this project"))
                };
                Some(Finding::new(&file.path, number, message?))
            }));
        }
    }
    findings
}

/// The kind and the name of the module or type that a line defines.
fn defined(line: &str) -> Option<(&str, &str)> {
    const KINDS: [&str; 5] = ["mod", "struct", "enum", "trait", "type"];
    let mut tokens = line
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|token| !token.is_empty());
    while let Some(token) = tokens.next() {
        match token {
            "pub" | "crate" | "super" | "in" | "unsafe" | "self" => {}
            kind if KINDS.contains(&kind) => return Some((kind, tokens.next()?)),
            _ => return None,
        }
    }
    None
}

/// `ConnectionManager` as `Connection`, `Manager`.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for c in name.chars() {
        match words.last_mut() {
            Some(word) if !c.is_uppercase() => word.push(c),
            _ => words.push(c.to_string()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, text: &str) -> usize {
        check(&Tree::of(&[(path, text)])).len()
    }

    #[test]
    fn files_and_directories_without_a_subject_are_found() {
        assert_eq!(count("crates/a/src/util.rs", ""), 1);
        assert_eq!(count("tests/tests/common/mod.rs", ""), 1);
        assert_eq!(count("crates/a/src/outbox.rs", ""), 0);
    }

    #[test]
    fn modules_and_types_are_found_where_they_are_defined() {
        for line in [
            "mod helpers;",
            "pub(crate) mod common {",
            "pub struct ConnectionManager {",
            "enum Topic {",
            "trait Broker {",
        ] {
            assert_eq!(count("crates/a/src/a.rs", line), 1, "{line}");
        }
        for line in [
            "use redis::ConnectionManager;",
            "struct Manageress;",
            "let common = 1;",
            "fn room_left() {}",
            "// mod util",
        ] {
            assert_eq!(count("crates/a/src/a.rs", line), 0, "{line}");
        }
    }
}
