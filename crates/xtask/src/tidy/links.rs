//! Links between documents: each leads to a file or directory of the checkout.

use super::Finding;
use super::tree::{File, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.ending(".md")
        .flat_map(|file| check_file(tree, file))
        .collect()
}

fn check_file(tree: &Tree, file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut fenced = false;
    for (number, line) in (1..).zip(file.text.lines()) {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for target in targets(&without_code(line)) {
            let broken = match resolve(&file.path, &target) {
                Target::Elsewhere => false,
                Target::Path(path) => !tree.has(&path),
                Target::Outside => true,
            };
            if broken {
                findings.push(Finding::new(
                    &file.path,
                    number,
                    format!("the link to {target} leads nowhere"),
                ));
            }
        }
    }
    findings
}

/// The line without `code`, in which brackets mean something else.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join(" ")
}

/// The targets of `[text](target)` and of `[name]: target`.
fn targets(line: &str) -> Vec<String> {
    let inline = line
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ']).next());
    let reference = line
        .trim_start()
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("]: "));
    let reference = reference.and_then(|(_, rest)| rest.split_whitespace().next());
    let clean = |target: &str| target.trim_matches(['<', '>']).to_owned();
    inline.chain(reference).map(clean).collect()
}

enum Target {
    /// The web, an address, or a heading of the same page.
    Elsewhere,
    /// Relative to the root.
    Path(String),
    /// Above the root, or on the machine.
    Outside,
}

fn resolve(from: &str, target: &str) -> Target {
    let path = target.split(['#', '?']).next().unwrap_or_default();
    if path.is_empty() || target.contains("://") || target.starts_with("mailto:") {
        return Target::Elsewhere;
    }
    if path.starts_with('/') {
        return Target::Outside;
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if parts.pop().is_none() {
                    return Target::Outside;
                }
            }
            part => parts.push(part),
        }
    }
    Target::Path(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_line(line: &str, broken: usize) {
        let tree = Tree::of(&[("a/README.md", line), ("a/b.md", ""), ("c/d.md", "")]);
        assert_eq!(check(&tree).len(), broken, "{line}");
    }

    #[test]
    fn links_that_lead_somewhere_pass() {
        check_line(
            "[b](b.md), [d](../c/d.md#part) and [c](../c/), [root](..)",
            0,
        );
        check_line(
            "[web](https://example.org/x.md) [here](#part) [mail](mailto:a@example.org)",
            0,
        );
        check_line("[b]: ./b.md \"title\"", 0);
        check_line("`[x](none.md)`", 0);
        check_line("```\n[x](none.md)\n```", 0);
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        check_line("[x](none.md) and [y](../c/none.md#part)", 2);
        check_line("[x]: none.md", 1);
        check_line("[x](/a/b.md)", 1);
        check_line("[x](../../b.md)", 1);
        check_line("```\n```\n[x](none.md)", 1);
    }
}
