//! Walks a document along the table of options: refuses what it does not know, checks kinds and ranges, fills in defaults.
//!
//! Everything that is wrong is found in one go, so that an operator mends a file once.

use std::net::SocketAddr;

use switchboard_core::ChannelName;
use switchboard_core::policy::RESERVED;
use toml::{Table, Value};

use super::document::{Document, Problem, join};
use super::nearest::nearest;
use super::options::{Kind, Preset, Section, Setting, Shape};

/// Checks a document and fills in its defaults.
pub(crate) fn check(document: &mut Document, sections: &[Section]) -> Vec<Problem> {
    let mut table = std::mem::take(&mut document.table);
    let mut walk = Walk {
        document,
        sections,
        problems: Vec::new(),
    };
    walk.table("", None, &mut table);
    let problems = walk.problems;
    document.table = table;
    problems
}

struct Walk<'a> {
    document: &'a Document,
    sections: &'a [Section],
    problems: Vec<Problem>,
}

impl Walk<'_> {
    /// Walks one table: the options of `section` and the sections under it. `shown` is its path as the operator wrote it.
    fn table(&mut self, shown: &str, section: Option<&Section>, table: &mut Table) {
        let children: Vec<&Section> = match section {
            Some(section) => Section::children(self.sections, section.path).collect(),
            None => Section::children(self.sections, "").collect(),
        };
        for (key, value) in table.iter_mut() {
            let path = join(shown, key);
            if let Some(setting) = section.and_then(|section| section.setting(key)) {
                if let Err(message) = check_value(&setting.kind, value) {
                    self.refuse(&path, message);
                }
            } else if let Some(child) = children.iter().find(|child| child.name() == key) {
                self.section(&path, child, value);
            } else {
                let options = section
                    .into_iter()
                    .flat_map(|section| section.options)
                    .map(|option| option.name);
                let message = unknown(
                    key,
                    options.chain(children.iter().map(|child| child.name())),
                    self.sections,
                );
                self.refuse(&path, message);
            }
        }
        for setting in section.into_iter().flat_map(|section| section.options) {
            if !table.contains_key(setting.name) {
                self.fill_in(shown, setting, table);
            }
        }
        for child in children
            .into_iter()
            .filter(|child| child.shape == Shape::Table)
        {
            if !table.contains_key(child.name()) {
                let mut inner = Table::new();
                self.table(&join(shown, child.name()), Some(child), &mut inner);
                table.insert(child.name().to_owned(), Value::Table(inner));
            }
        }
    }

    fn section(&mut self, shown: &str, section: &Section, value: &mut Value) {
        match (section.shape, value) {
            (Shape::Table | Shape::Optional, Value::Table(table)) => {
                self.table(shown, Some(section), table);
            }
            (Shape::Table | Shape::Optional, _) => {
                self.refuse(shown, format!("must be a section: [{}]", section.path));
            }
            (Shape::Named, Value::Table(named)) => {
                for (name, value) in named.iter_mut() {
                    let shown = join(shown, name);
                    let is_name = ChannelName::parse(name).is_ok() && !name.contains(':');
                    if !is_name || name.starts_with(RESERVED) {
                        self.refuse(&shown, "a namespace is what stands before the first `:` of a channel: no spaces, quotes, commas or colons, and no `~` in front");
                    }
                    match value {
                        Value::Table(table) => self.table(&shown, Some(section), table),
                        _ => self.refuse(
                            &shown,
                            format!("must be a section: [{}.NAME]", section.path),
                        ),
                    }
                }
            }
            (Shape::Named, _) => {
                self.refuse(shown, format!("must be sections: [{}.NAME]", section.path));
            }
            (Shape::List, Value::Array(list)) => {
                for (index, value) in list.iter_mut().enumerate() {
                    let shown = format!("{shown}.{index}");
                    match value {
                        Value::Table(table) => self.table(&shown, Some(section), table),
                        _ => {
                            self.refuse(&shown, format!("must be a section: [[{}]]", section.path));
                        }
                    }
                }
            }
            (Shape::List, _) => self.refuse(
                shown,
                format!("must be written as [[{}]], once for each", section.path),
            ),
        }
    }

    fn fill_in(&mut self, shown: &str, setting: &Setting, table: &mut Table) {
        match setting.default {
            Preset::Is(text) => {
                let mut value = default_value(text);
                check_value(&setting.kind, &mut value)
                    .expect("defaults are in range: a test fills them all in");
                table.insert(setting.name.to_owned(), value);
            }
            Preset::Unset => {}
            Preset::Required => {
                let message = format!("is missing: {}", setting.about);
                self.refuse(&join(shown, setting.name), message);
            }
        }
    }

    fn refuse(&mut self, key: &str, message: impl Into<String>) {
        self.problems.push(self.document.problem(key, message));
    }
}

/// A default as a value.
pub(crate) fn default_value(text: &str) -> Value {
    let mut table: Table = format!("value = {text}")
        .parse()
        .expect("defaults are TOML: a test reads them all");
    table.remove("value").expect("it was just written")
}

/// Checks a value, and brings what may be written in two ways into one.
pub(crate) fn check_value(kind: &Kind, value: &mut Value) -> Result<(), String> {
    let wrong = |value: &Value| {
        Err(format!(
            "must be {}, not {}",
            kind.describe(),
            shown(value, kind)
        ))
    };
    match (kind, &mut *value) {
        (Kind::Flag, Value::Boolean(_)) => Ok(()),
        (Kind::Text | Kind::Secret | Kind::File, Value::String(text)) if !text.is_empty() => Ok(()),
        (Kind::Text | Kind::Secret | Kind::File, Value::String(_)) => {
            Err("is empty: leave the line out instead".to_owned())
        }
        (Kind::Address, Value::String(text)) => match text.parse::<SocketAddr>() {
            Ok(_) => Ok(()),
            Err(_) => Err(format!(
                "must be an IP address and a port, such as 127.0.0.1:8000 or [::]:8000, not {text:?}"
            )),
        },
        (Kind::Choice(choices), Value::String(text)) => {
            if choices.contains(&text.as_str()) {
                return Ok(());
            }
            let meant = nearest(text, choices.iter().copied());
            let meant = meant.map_or(String::new(), |meant| format!("; did you mean {meant:?}?"));
            Err(format!(
                "must be one of {}, not {text:?}{meant}",
                choices.join(", ")
            ))
        }
        (Kind::Number { min, max, .. }, Value::Integer(number)) => match u64::try_from(*number) {
            Ok(number) if (*min..=*max).contains(&number) => Ok(()),
            _ => wrong(value),
        },
        (Kind::Seconds { min, max }, Value::Integer(_) | Value::Float(_)) => {
            let seconds = match value {
                Value::Float(seconds) => *seconds,
                Value::Integer(seconds) => *seconds as f64,
                _ => return wrong(value),
            };
            if (*min..=*max).contains(&seconds) {
                *value = Value::Float(seconds);
                Ok(())
            } else {
                wrong(value)
            }
        }
        (Kind::TextList, Value::String(text)) => {
            *value = Value::Array(vec![Value::String(std::mem::take(text))]);
            Ok(())
        }
        (Kind::TextList, Value::Array(list)) if list.iter().all(Value::is_str) => Ok(()),
        _ => wrong(value),
    }
}

fn shown(value: &Value, kind: &Kind) -> String {
    match (kind, value) {
        (Kind::Secret, _) => "that".to_owned(),
        (_, Value::Table(_)) => "a section".to_owned(),
        (_, Value::Array(_)) => "that list".to_owned(),
        (_, value) => value.to_string(),
    }
}

fn unknown<'a>(key: &str, known: impl Iterator<Item = &'a str>, sections: &[Section]) -> String {
    let known: Vec<&str> = known.collect();
    if let Some(meant) = nearest(key, known.iter().copied()) {
        return format!("unknown; did you mean `{meant}`?");
    }
    let elsewhere: Vec<String> = sections
        .iter()
        .filter(|section| section.setting(key).is_some())
        .map(|section| format!("[{}]", section.path))
        .collect();
    if elsewhere.is_empty() {
        format!("unknown; known here: {}", known.join(", "))
    } else {
        format!("unknown here; it belongs in {}", elsewhere.join(" or "))
    }
}
