//! The configuration as it was written: one TOML table, and for each value where it comes from.
//!
//! Layers are put on one another in this order: a file (or the development preset), the environment, flags. What is
//! wrong with a value is then told at its origin: the line of the file, the variable, the flag.

use std::collections::BTreeMap;
use std::fmt;

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A line of the file, counted from 1.
    Line(usize),
    /// An environment variable.
    Variable(String),
    /// A command line flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Variable(name) => write!(f, "environment {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// Something that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Where the value comes from, as far as it is known.
    pub(crate) origin: Option<Origin>,
    /// The option or section, such as `limits.payload_bytes_max`.
    pub(crate) key: String,
    /// What is wrong and what would be right.
    pub(crate) message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// A step on the way to an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// The section's name.
    pub(crate) key: String,
    /// Which of the list's entries, where it is a list.
    pub(crate) index: Option<usize>,
}

/// The layers, merged.
#[derive(Clone, Default)]
pub(crate) struct Document {
    /// All values.
    pub(crate) table: Table,
    origins: BTreeMap<String, Origin>,
}

/// Shows keys only: any value may be a secret.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.origins.keys()).finish()
    }
}

impl Document {
    /// Reads a file's text.
    ///
    /// # Errors
    /// The text is not TOML; the problem names the line.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        let not_toml = |error: &toml::de::Error| Problem {
            origin: error
                .span()
                .map(|span| Origin::Line(line_at(text, span.start))),
            key: String::new(),
            message: format!("not TOML: {}", error.message()),
        };
        let spanned = DeTable::parse(text).map_err(|error| not_toml(&error))?;
        let mut document = Self {
            table: text.parse().map_err(|error| not_toml(&error))?,
            ..Self::default()
        };
        document.note_lines(text, "", spanned.get_ref());
        Ok(document)
    }

    /// A preset that is part of the program.
    pub(crate) fn preset(table: Table) -> Self {
        Self {
            table,
            origins: BTreeMap::new(),
        }
    }

    /// Sets one option. Tables and list entries on the way are made; a list entry may be the next one, not one further.
    ///
    /// # Errors
    /// The way leads through a value that is no section, or past the end of a list.
    pub(crate) fn set(
        &mut self,
        above: &[Step],
        key: &str,
        value: Value,
        origin: Origin,
    ) -> Result<(), String> {
        let mut table = &mut self.table;
        let mut path = String::new();
        for step in above {
            let entry = table
                .entry(step.key.clone())
                .or_insert_with(|| match step.index {
                    Some(_) => Value::Array(Vec::new()),
                    None => Value::Table(Table::new()),
                });
            path = join(&path, &step.key);
            let entry = match (entry, step.index) {
                (Value::Array(list), Some(index)) => {
                    if index == list.len() {
                        list.push(Value::Table(Table::new()));
                    }
                    path = join(&path, &index.to_string());
                    let len = list.len();
                    list.get_mut(index).ok_or_else(|| {
                        format!("entry {index} does not follow the {len} before it")
                    })?
                }
                (entry, _) => entry,
            };
            table = entry
                .as_table_mut()
                .ok_or_else(|| format!("`{path}` is no section"))?;
        }
        table.insert(key.to_owned(), value);
        self.origins.insert(join(&path, key), origin);
        Ok(())
    }

    /// Where an option or section comes from; its closest named parent's origin for what has none.
    pub(crate) fn origin(&self, key: &str) -> Option<&Origin> {
        let mut key = key;
        loop {
            if let Some(origin) = self.origins.get(key) {
                return Some(origin);
            }
            key = &key[..key.rfind('.')?];
        }
    }

    /// Tells whether this very option was set, not filled in.
    pub(crate) fn is_set(&self, key: &str) -> bool {
        self.origins.contains_key(key)
    }

    /// A problem of this option, with its origin.
    pub(crate) fn problem(&self, key: &str, message: impl Into<String>) -> Problem {
        Problem {
            origin: self.origin(key).cloned(),
            key: key.to_owned(),
            message: message.into(),
        }
    }

    fn note_lines(&mut self, text: &str, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path = join(prefix, key.get_ref());
            self.origins
                .insert(path.clone(), Origin::Line(line_at(text, key.span().start)));
            match value.get_ref() {
                DeValue::Table(inner) => self.note_lines(text, &path, inner),
                DeValue::Array(list) => {
                    for (index, entry) in list.iter().enumerate() {
                        if let DeValue::Table(inner) = entry.get_ref() {
                            let path = format!("{path}.{index}");
                            self.origins.insert(
                                path.clone(),
                                Origin::Line(line_at(text, entry.span().start)),
                            );
                            self.note_lines(text, &path, inner);
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

/// `section` and `key` as one path.
pub(crate) fn join(section: &str, key: &str) -> String {
    if section.is_empty() {
        key.to_owned()
    } else {
        format!("{section}.{key}")
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    text.as_bytes()
        .iter()
        .take(offset)
        .filter(|byte| **byte == b'\n')
        .count()
        + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(steps: &[(&str, Option<usize>)]) -> Vec<Step> {
        steps
            .iter()
            .map(|(key, index)| Step {
                key: (*key).to_owned(),
                index: *index,
            })
            .collect()
    }

    #[test]
    fn lines_are_known_of_keys_sections_and_list_entries() {
        let document =
            Document::parse("[a]\nx = 1\n\n[[b.keys]]\nname = 'n'\n[[b.keys]]\nname = 'm'\n")
                .unwrap();
        for (key, line) in [
            ("a", 1),
            ("a.x", 2),
            ("b.keys.0.name", 5),
            ("b.keys.1.name", 7),
            ("b.keys.1.absent", 6),
        ] {
            assert_eq!(document.origin(key), Some(&Origin::Line(line)), "{key}");
        }
        assert_eq!(document.origin("none"), None);
        assert!(!document.is_set("b.keys.1.absent"));
    }

    #[test]
    fn what_is_not_toml_is_told_with_its_line() {
        let problem = Document::parse("[a]\nx = \n").unwrap_err();
        assert_eq!(problem.origin, Some(Origin::Line(2)));
    }

    #[test]
    fn options_are_set_on_the_way_to_them() {
        let mut document = Document::parse("[[b.keys]]\nname = 'n'\n").unwrap();
        let origin = || Origin::Variable("X".to_owned());
        let text = |text: &str| Value::String(text.to_owned());
        let keys = |index| way(&[("b", None), ("keys", Some(index))]);
        document
            .set(&way(&[("a", None)]), "x", Value::Integer(1), origin())
            .unwrap();
        document
            .set(&keys(0), "secret", text("s"), origin())
            .unwrap();
        document.set(&keys(1), "name", text("m"), origin()).unwrap();
        assert_eq!(document.table["a"]["x"].as_integer(), Some(1));
        assert_eq!(document.table["b"]["keys"][0]["secret"].as_str(), Some("s"));
        assert_eq!(document.table["b"]["keys"][1]["name"].as_str(), Some("m"));
        assert_eq!(document.origin("b.keys.0.secret"), Some(&origin()));
        assert!(document.set(&keys(3), "name", text("x"), origin()).is_err());
        assert!(
            document
                .set(&way(&[("a", None), ("x", None)]), "y", text("x"), origin())
                .is_err()
        );
    }
}
