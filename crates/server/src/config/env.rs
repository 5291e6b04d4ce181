//! The environment overlay: `SWITCHBOARD_SECTION__KEY` sets `section.key`.
//!
//! Two underscores separate the parts, so variables that a container platform makes up for a service of this name
//! (`SWITCHBOARD_PORT`, `SWITCHBOARD_SERVICE_HOST`) are none of ours. Names are written in capitals and read in small
//! letters; entries of lists go by number: `SWITCHBOARD_API__KEYS__0__SECRET`. Lists of texts are separated by commas.

use toml::Value;

use super::document::{Document, Origin, Problem, Step};
use super::nearest::nearest;
use super::options::{Kind, Section, Setting, Shape};

const PREFIX: &str = "SWITCHBOARD_";
const SEPARATOR: &str = "__";

/// Puts the variables onto the document. Those that are none of ours are passed over.
pub(crate) fn overlay(
    document: &mut Document,
    sections: &'static [Section],
    variables: impl IntoIterator<Item = (String, String)>,
) -> Vec<Problem> {
    let mut ours: Vec<(String, String)> = variables
        .into_iter()
        .filter(|(name, _)| {
            name.strip_prefix(PREFIX)
                .is_some_and(|rest| rest.contains(SEPARATOR))
        })
        .collect();
    // In order, so that list entries follow one another.
    ours.sort();
    let mut problems = Vec::new();
    for (name, text) in ours {
        let origin = Origin::Variable(name.clone());
        let path: Vec<String> = name[PREFIX.len()..]
            .split(SEPARATOR)
            .map(str::to_ascii_lowercase)
            .collect();
        let set = match find(sections, &path) {
            Some(found) => read(&found.setting.kind, &text).and_then(|value| {
                document.set(&found.above, found.setting.name, value, origin.clone())
            }),
            None => Err(unknown(sections, &name)),
        };
        if let Err(message) = set {
            problems.push(Problem {
                origin: Some(origin),
                key: path.join("."),
                message,
            });
        }
    }
    problems
}

struct Found {
    above: Vec<Step>,
    setting: &'static Setting,
}

/// The option that a path leads to.
fn find(sections: &'static [Section], path: &[String]) -> Option<Found> {
    let (key, parts) = path.split_last()?;
    let mut parts = parts.iter();
    let mut section: Option<&Section> = None;
    let mut above = Vec::new();
    while let Some(part) = parts.next() {
        let place = section.map_or("", |section| section.path);
        let child = Section::children(sections, place).find(|child| child.name() == part)?;
        let mut step = Step {
            key: part.clone(),
            index: None,
        };
        if child.shape == Shape::List {
            step.index = Some(parts.next()?.parse().ok()?);
        }
        above.push(step);
        if child.shape == Shape::Named {
            above.push(Step {
                key: parts.next()?.clone(),
                index: None,
            });
        }
        section = Some(child);
    }
    Some(Found {
        above,
        setting: section?.setting(key)?,
    })
}

/// A value as it would be in the file. Ranges are checked later, with everything else.
fn read(kind: &Kind, text: &str) -> Result<Value, String> {
    let wrong = || format!("must be {}", kind.describe());
    match kind {
        Kind::Flag => text.parse().map(Value::Boolean).map_err(|_| wrong()),
        Kind::Number { .. } => text
            .replace('_', "")
            .parse()
            .map(Value::Integer)
            .map_err(|_| wrong()),
        Kind::Seconds { .. } => text.parse().map(Value::Float).map_err(|_| wrong()),
        Kind::TextList => {
            let texts = text
                .split(',')
                .map(str::trim)
                .filter(|text| !text.is_empty());
            Ok(Value::Array(
                texts.map(|text| Value::String(text.to_owned())).collect(),
            ))
        }
        Kind::Text | Kind::Secret | Kind::File | Kind::Address | Kind::Choice(_) => {
            Ok(Value::String(text.to_owned()))
        }
    }
}

fn unknown(sections: &'static [Section], name: &str) -> String {
    let known: Vec<String> = sections.iter().flat_map(variables).collect();
    // Without the prefix, which is the same for all and would make them all alike.
    match nearest(
        &name[PREFIX.len()..],
        known.iter().map(String::as_str),
    ) {
        Some(meant) => format!("unknown; did you mean {PREFIX}{}?", meant.to_uppercase()),
        None => "unknown: the form is SWITCHBOARD_SECTION__KEY, and `switchboard check-config --explain` lists them".to_owned(),
    }
}

/// The variables of a section, in small letters.
fn variables(section: &'static Section) -> impl Iterator<Item = String> {
    let place = section.path.replace('.', SEPARATOR);
    let entry = match section.shape {
        Shape::Named => "__name",
        Shape::List => "__0",
        Shape::Table | Shape::Optional => "",
    };
    section
        .options
        .iter()
        .map(move |option| format!("{place}{entry}__{}", option.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::reference::SECTIONS;

    fn overlaid(variables: &[(&str, &str)]) -> (Document, Vec<String>) {
        let mut document = Document::default();
        let variables = variables
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        let problems = overlay(&mut document, SECTIONS, variables);
        (document, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn variables_set_options_of_every_kind() {
        let (document, problems) = overlaid(&[
            ("SWITCHBOARD_CLIENTS__LISTEN", "127.0.0.1:0"),
            (
                "SWITCHBOARD_CLIENTS__ALLOWED_ORIGINS",
                "https://a.com, https://b.com",
            ),
            ("SWITCHBOARD_CLIENTS__ANONYMOUS__SUBSCRIBE", "chat:*"),
            ("SWITCHBOARD_LIMITS__PING_INTERVAL_S", "0.5"),
            ("SWITCHBOARD_LIMITS__SESSIONS_MAX", "1_000"),
            ("SWITCHBOARD_TOKENS__REQUIRE_EXP", "false"),
            ("SWITCHBOARD_NAMESPACES__CHAT__PRESENCE", "true"),
            ("SWITCHBOARD_NAMESPACES__7__PRESENCE", "true"),
            ("SWITCHBOARD_API__KEYS__0__SECRET", "0123456789abcdef"),
            ("SWITCHBOARD_API__KEYS__1__NAME", "second"),
        ]);
        assert_eq!(problems, [""; 0]);
        let table = &document.table;
        assert_eq!(table["clients"]["listen"].as_str(), Some("127.0.0.1:0"));
        assert_eq!(
            table["clients"]["allowed_origins"][1].as_str(),
            Some("https://b.com")
        );
        assert_eq!(
            table["clients"]["anonymous"]["subscribe"][0].as_str(),
            Some("chat:*")
        );
        assert_eq!(table["limits"]["ping_interval_s"].as_float(), Some(0.5));
        assert_eq!(table["limits"]["sessions_max"].as_integer(), Some(1000));
        assert_eq!(table["tokens"]["require_exp"].as_bool(), Some(false));
        assert_eq!(
            table["namespaces"]["chat"]["presence"].as_bool(),
            Some(true)
        );
        assert_eq!(table["namespaces"]["7"]["presence"].as_bool(), Some(true));
        assert_eq!(
            table["api"]["keys"][0]["secret"].as_str(),
            Some("0123456789abcdef")
        );
        assert_eq!(table["api"]["keys"][1]["name"].as_str(), Some("second"));
    }

    #[test]
    fn variables_of_others_are_passed_over() {
        let (document, problems) = overlaid(&[
            ("SWITCHBOARD_PORT", "tcp://10.0.0.1:8000"),
            ("SWITCHBOARD_STATE_DIR", "/tmp"),
            ("HOME__X", "1"),
        ]);
        assert!(
            document.table.is_empty() && problems.is_empty(),
            "{problems:?}"
        );
    }

    #[test]
    fn an_unknown_variable_is_refused_with_the_nearest() {
        let check = |name: &str, expected: &str| {
            let (_, problems) = overlaid(&[(name, "1")]);
            assert!(
                problems.len() == 1 && problems[0].contains(expected),
                "{name}: {problems:?}"
            );
        };
        check(
            "SWITCHBOARD_LIMITS__SESSION_MAX",
            "did you mean SWITCHBOARD_LIMITS__SESSIONS_MAX?",
        );
        check(
            "SWITCHBOARD_LIMIT__SESSIONS_MAX",
            "did you mean SWITCHBOARD_LIMITS__SESSIONS_MAX?",
        );
        check(
            "SWITCHBOARD_LIMITS__SESSIONS_MAX__X",
            "did you mean SWITCHBOARD_LIMITS__SESSIONS_MAX?",
        );
        check("SWITCHBOARD_FOO__BAR", "--explain");
        check("SWITCHBOARD_API__KEYS__5__NAME", "entry 5 does not follow");
    }

    #[test]
    fn a_value_of_the_wrong_kind_names_its_variable() {
        let (_, problems) = overlaid(&[("SWITCHBOARD_LIMITS__SESSIONS_MAX", "many")]);
        assert_eq!(
            problems,
            [
                "environment SWITCHBOARD_LIMITS__SESSIONS_MAX: limits.sessions_max: must be sessions, 0 to 10000000"
            ]
        );
    }
}
