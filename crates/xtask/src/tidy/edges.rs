//! The permitted edges between the crates of the workspace, and that there are no others.

use toml::{Table, Value};

use super::Finding;
use super::tree::{File, Tree};

/// Which crate may depend on which. A new crate needs a row, and a new edge a change here that can be argued about.
const EDGES: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("proto", &[]),
    ("protocol", &["proto", "core"]),
    ("engine", &["core"]),
    ("engine-redis", &["engine", "core"]),
    ("uring", &[]),
    ("node", &["protocol", "engine", "uring", "core"]),
    ("auth", &["core"]),
    ("transport", &["node", "protocol", "auth", "core"]),
    ("api", &["node", "proto", "auth", "core"]),
    (
        "server",
        &[
            "transport",
            "api",
            "engine-redis",
            "engine",
            "auth",
            "node",
            "core",
            "proto",
            "protocol",
        ],
    ),
    // Out in the world: nothing of the hub's but what the proto files say.
    ("client", &["proto"]),
    // Black-box: it knows the server only by what clients and services can see.
    ("tests", &["proto"]),
    // Black-box as well; what it must know of the hub's inside is behind the hub's feature `bench`.
    ("bench", &["proto"]),
    ("xtask", &[]),
];

/// Crates that never meet, not even in tests.
const STRANGERS: [&str; 2] = ["transport", "api"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let manifests = tree.ending("Cargo.toml").filter(|file| {
        matches!(
            file.path.as_str(),
            "tests/Cargo.toml" | "clients/rust/Cargo.toml"
        ) || (file.path.starts_with("crates/") && file.path.matches('/').count() == 2)
    });
    manifests.flat_map(check_manifest).collect()
}

fn check_manifest(file: &File) -> Vec<Finding> {
    let manifest: Table = match file.text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![Finding::new(&file.path, 1, format!("not TOML: {error}"))],
    };
    let package = manifest
        .get("package")
        .and_then(|package| package.get("name"));
    let Some(from) = package.and_then(Value::as_str).and_then(short_name) else {
        return vec![Finding::new(
            &file.path,
            1,
            "a crate is named switchboard-... (but xtask)",
        )];
    };
    let Some((_, permitted)) = EDGES.iter().find(|(name, _)| *name == from) else {
        let message = format!(
            "crate {from} has no row in the table of permitted edges (xtask, tidy/edges.rs)"
        );
        return vec![Finding::new(&file.path, 1, message)];
    };
    let mut findings = Vec::new();
    for (section, key, package) in dependencies(&manifest) {
        let Some(to) = short_name(&package) else {
            continue;
        };
        let message = if STRANGERS.contains(&from) && STRANGERS.contains(&to) && from != to {
            format!("{from} -> {to}: these two never meet, not even in tests")
        } else if section != "dev-dependencies" && !permitted.contains(&to) {
            format!(
                "{from} -> {to} is not a permitted edge ({from} may use: {})",
                listed(permitted)
            )
        } else {
            continue;
        };
        findings.push(Finding::new(&file.path, line_of(&file.text, &key), message));
    }
    findings
}

/// The name in the table, for a crate of this workspace.
fn short_name(package: &str) -> Option<&str> {
    if package == "xtask" {
        Some(package)
    } else {
        package.strip_prefix("switchboard-")
    }
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

/// Section, key and package of every dependency, those for some platforms only included.
pub(super) fn dependencies(manifest: &Table) -> Vec<(&'static str, String, String)> {
    const SECTIONS: [&str; 3] = ["dependencies", "build-dependencies", "dev-dependencies"];
    let platforms = manifest.get("target").and_then(Value::as_table);
    let platforms = platforms
        .into_iter()
        .flat_map(Table::values)
        .filter_map(Value::as_table);
    let mut found = Vec::new();
    for table in std::iter::once(manifest).chain(platforms) {
        for section in SECTIONS {
            let Some(entries) = table.get(section).and_then(Value::as_table) else {
                continue;
            };
            for (key, entry) in entries {
                let package = entry.get("package").and_then(Value::as_str).unwrap_or(key);
                found.push((section, key.clone(), package.to_owned()));
            }
        }
    }
    found
}

/// The line on which a dependency is declared.
pub(super) fn line_of(text: &str, key: &str) -> usize {
    let declares = |line: &str| {
        let rest = line.trim_start().trim_start_matches('"').strip_prefix(key);
        rest.is_some_and(|rest| rest.starts_with([' ', '=', '.', '"']))
    };
    text.lines().position(declares).map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, package: &str, rest: &str) -> Vec<String> {
        let text = format!("[package]\nname = \"{package}\"\n{rest}");
        check(&Tree::of(&[(path, &text)]))
            .iter()
            .map(Finding::to_string)
            .collect()
    }

    #[test]
    fn permitted_edges_pass() {
        let rest = "[dependencies]\nbytes = \"1\"\nswitchboard-node.workspace = true\n";
        assert!(findings("crates/api/Cargo.toml", "switchboard-api", rest).is_empty());
    }

    #[test]
    fn an_edge_that_is_not_in_the_table_is_found_on_its_line() {
        let rest = "[dependencies]\nswitchboard-node.workspace = true\n";
        let found = findings("crates/engine/Cargo.toml", "switchboard-engine", rest);
        assert_eq!(
            found,
            [
                "crates/engine/Cargo.toml:4: engine -> node is not a permitted edge (engine may use: core)"
            ]
        );
    }

    #[test]
    fn renamed_build_and_platform_dependencies_count_too() {
        let edge = "x = { package = \"switchboard-server\", path = \"../server\" }\n";
        for section in [
            "dependencies",
            "build-dependencies",
            "target.'cfg(unix)'.dependencies",
        ] {
            let rest = format!("[{section}]\n{edge}");
            let found = findings("tests/Cargo.toml", "switchboard-tests", &rest);
            assert_eq!(found.len(), 1, "{section}: {found:?}");
        }
    }

    #[test]
    fn transport_and_api_never_meet_even_in_tests() {
        let meet = "[dev-dependencies]\nswitchboard-transport.workspace = true\n";
        assert_eq!(
            findings("crates/api/Cargo.toml", "switchboard-api", meet).len(),
            1
        );
        let other = "[dev-dependencies]\nswitchboard-engine.workspace = true\n";
        assert!(findings("crates/api/Cargo.toml", "switchboard-api", other).is_empty());
    }

    #[test]
    fn the_client_knows_nothing_of_the_hub() {
        let rest = "[dependencies]\nswitchboard-protocol.workspace = true\n";
        let found = findings("clients/rust/Cargo.toml", "switchboard-client", rest);
        assert_eq!(found.len(), 1, "{found:?}");
        let generated = "[dependencies]\nswitchboard-proto.workspace = true\n";
        assert!(findings("clients/rust/Cargo.toml", "switchboard-client", generated).is_empty());
    }

    #[test]
    fn a_crate_without_a_row_is_found() {
        let found = findings("crates/extra/Cargo.toml", "switchboard-extra", "");
        assert!(found[0].contains("has no row"), "{found:?}");
    }

    #[test]
    fn every_name_in_the_table_has_a_row() {
        for (from, permitted) in EDGES {
            for to in *permitted {
                assert!(EDGES.iter().any(|(name, _)| name == to), "{from} -> {to}");
            }
        }
    }
}
