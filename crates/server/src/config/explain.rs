//! The configuration in words: the reference of all options, one option, and what is in effect.

use std::fmt::Write as _;

use toml::{Table, Value};

use super::document::{Document, join};
use super::nearest::nearest;
use super::options::{Kind, Preset, Section, Setting, Shape};
use super::reference::SECTIONS;
use super::secret::REDACTED;

const WIDTH: usize = 110;

/// All options as a commented TOML file: what is commented out shows the default.
pub(crate) fn reference() -> String {
    let mut out = String::from(
        "# Every option of Switchboard. Lines that are commented out show the defaults; copy what you change.\n\
         # Printed by `switchboard check-config --explain`. The environment overrides a file: SWITCHBOARD_SECTION__KEY.\n",
    );
    for section in SECTIONS {
        out.push('\n');
        for line in wrap(section.about) {
            let _ = writeln!(out, "# {line}");
        }
        out.push_str(&heading(section));
        out.push('\n');
        for setting in section.options {
            out.push('\n');
            describe(&mut out, section, setting, "# ");
            let _ = writeln!(out, "# {} = {}", setting.name, shown_default(setting));
        }
    }
    out
}

/// One section or option, by its path, such as `limits` or `namespaces.chat.presence`.
///
/// # Errors
/// There is none of this name; the nearest is named.
pub(crate) fn explain(key: &str) -> Result<String, String> {
    if let Some(section) = SECTIONS.iter().find(|section| section.path == key) {
        let mut out = format!("{}\n{}\n", heading_text(section), section.about);
        for setting in section.options {
            let _ = write!(out, "\n{} = {}\n", setting.name, shown_default(setting));
            describe(&mut out, section, setting, "  ");
        }
        return Ok(out);
    }
    for section in SECTIONS {
        for setting in section.options {
            if key == join(section.path, setting.name) || is_within(key, section, setting) {
                let mut out = format!(
                    "{} {} = {}\n",
                    heading_text(section),
                    setting.name,
                    shown_default(setting)
                );
                describe(&mut out, section, setting, "  ");
                return Ok(out);
            }
        }
    }
    let known: Vec<String> = SECTIONS
        .iter()
        .flat_map(|section| {
            section
                .options
                .iter()
                .map(|option| join(section.path, option.name))
        })
        .chain(SECTIONS.iter().map(|section| section.path.to_owned()))
        .collect();
    let leaf = |known: &&String| known.rsplit('.').next() == Some(key);
    let meant = known
        .iter()
        .find(leaf)
        .map(String::as_str)
        .or_else(|| nearest(key, known.iter().map(String::as_str)));
    Err(match meant {
        Some(meant) => format!("no option `{key}`; did you mean `{meant}`?"),
        None => format!("no option `{key}`: `switchboard check-config --explain` lists them all"),
    })
}

/// What is in effect: every option, secrets left out, with its origin where it is not a default.
pub(super) fn effective(document: &Document, sections: &[Section]) -> String {
    let mut out = String::new();
    for section in Section::children(sections, "") {
        if let Some(value) = document.table.get(section.path) {
            show(&mut out, document, sections, section, section.path, value);
        }
    }
    out
}

fn show(
    out: &mut String,
    document: &Document,
    sections: &[Section],
    section: &Section,
    path: &str,
    value: &Value,
) {
    match (section.shape, value) {
        (Shape::Named, Value::Table(named)) => {
            for (name, inner) in named {
                let path = join(path, name);
                show_table(
                    out,
                    document,
                    sections,
                    section,
                    &path,
                    &format!("[{path}]"),
                    inner,
                );
            }
        }
        (Shape::List, Value::Array(list)) => {
            for (index, inner) in list.iter().enumerate() {
                let heading = format!("[[{}]]", section.path);
                show_table(
                    out,
                    document,
                    sections,
                    section,
                    &format!("{path}.{index}"),
                    &heading,
                    inner,
                );
            }
        }
        _ => show_table(
            out,
            document,
            sections,
            section,
            path,
            &format!("[{path}]"),
            value,
        ),
    }
}

fn show_table(
    out: &mut String,
    document: &Document,
    sections: &[Section],
    section: &Section,
    path: &str,
    heading: &str,
    value: &Value,
) {
    let empty = Table::new();
    let table = value.as_table().unwrap_or(&empty);
    let _ = writeln!(out, "{heading}");
    for setting in section.options {
        let Some(value) = table.get(setting.name) else {
            continue;
        };
        let key = join(path, setting.name);
        let value = match setting.kind {
            Kind::Secret => format!("\"{REDACTED}\""),
            _ => value.to_string(),
        };
        let origin = match document.origin(&key) {
            Some(origin) if document.is_set(&key) => format!("  # {origin}"),
            _ => String::new(),
        };
        let _ = writeln!(out, "{} = {value}{origin}", setting.name);
    }
    out.push('\n');
    for child in Section::children(sections, section.path) {
        if let Some(value) = table.get(child.name()) {
            show(
                out,
                document,
                sections,
                child,
                &join(path, child.name()),
                value,
            );
        }
    }
}

fn heading(section: &Section) -> String {
    match section.shape {
        // An empty [limits] changes nothing; an empty optional section or list entry would.
        Shape::Table => heading_text(section),
        Shape::Optional | Shape::Named | Shape::List => format!("# {}", heading_text(section)),
    }
}

fn heading_text(section: &Section) -> String {
    match section.shape {
        Shape::Table | Shape::Optional => format!("[{}]", section.path),
        Shape::Named => format!("[{}.NAME]", section.path),
        Shape::List => format!("[[{}]]", section.path),
    }
}

fn describe(out: &mut String, section: &Section, setting: &Setting, margin: &str) {
    let state = match setting.default {
        Preset::Is(_) => "",
        Preset::Unset => ", not set by default",
        Preset::Required => ", required",
    };
    let variable = match section.shape {
        Shape::Named => join(&join(section.path, "NAME"), setting.name),
        Shape::List => join(&join(section.path, "0"), setting.name),
        Shape::Table | Shape::Optional => join(section.path, setting.name),
    };
    for line in wrap(setting.about) {
        let _ = writeln!(out, "{margin}{line}");
    }
    let variable = variable.replace('.', "__").to_uppercase();
    let _ = writeln!(
        out,
        "{margin}({}{state}; SWITCHBOARD_{variable})",
        setting.kind.describe()
    );
}

fn shown_default(setting: &Setting) -> &'static str {
    match (setting.default, setting.kind) {
        (Preset::Is(text), _) => text,
        (_, Kind::TextList) => "[]",
        (_, _) => "\"\"",
    }
}

/// Whether `key` is this option in a section of its own name or number, such as `namespaces.chat.presence`.
fn is_within(key: &str, section: &Section, setting: &Setting) -> bool {
    matches!(section.shape, Shape::Named | Shape::List)
        && key
            .strip_prefix(section.path)
            .and_then(|rest| rest.strip_prefix('.'))
            .and_then(|rest| rest.split_once('.'))
            .is_some_and(|(_, name)| name == setting.name)
}

fn wrap(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is one from the start");
        if !line.is_empty() && line.len() + 1 + word.len() > WIDTH {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}
