//! Configuration: the only place that knows files and environment. Inner crates take plain structs.
//!
//! Reading order: [`options`] (what an option is), [`reference`] (all of them), [`document`] (what was written, and where),
//! [`env`](mod@env) and [`check`] (the overlay, the walk), [`file`](mod@file), [`redis`] and [`settings`] (the structs), [`explain`].
//!
//! To add an option: a line in [`reference`], a field in [`file`](mod@file), and `cargo test -p switchboard-server`
//! says what `deploy/reference.toml` has to become.

mod check;
mod document;
mod env;
mod explain;
pub(crate) mod file;
mod nearest;
mod options;
mod redis;
mod reference;
mod secret;
mod settings;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

pub(crate) use document::{Origin, Problem, Step};
pub(crate) use explain::{explain, reference as reference_text};
pub(crate) use settings::{EngineConfig, Settings};

use document::Document;
use file::File;
use reference::SECTIONS;

/// A good configuration.
#[derive(Debug)]
pub(crate) struct Config {
    /// What the process is wired from.
    pub(crate) settings: Settings,
    document: Document,
}

/// Why a configuration was refused: everything that is wrong with it.
#[derive(Debug)]
pub(crate) struct ConfigError {
    /// What it is called in messages: the file, or the development preset.
    pub(crate) name: String,
    /// At least one.
    pub(crate) problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        let things = if count == 1 { "thing" } else { "things" };
        write!(f, "{}: {count} {things} to mend", self.name)?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// What lies under the environment and the flags.
pub(crate) enum Base {
    /// A file.
    File(PathBuf),
    /// A preset of the program.
    Preset(Table),
}

/// An option set by a flag: its section, its key, the flag and the value.
pub(crate) type FlagValue = (&'static str, &'static str, &'static str, String);

impl Config {
    /// Reads and checks a configuration: the base, then the variables, then the flags.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) fn load(
        base: Base,
        variables: impl IntoIterator<Item = (String, String)>,
        flags: impl IntoIterator<Item = FlagValue>,
    ) -> Result<Self, ConfigError> {
        let (name, directory) = match &base {
            Base::File(path) => (
                path.display().to_string(),
                path.parent().unwrap_or(Path::new("")).to_owned(),
            ),
            Base::Preset(_) => ("development mode".to_owned(), PathBuf::new()),
        };
        let refused = |problems| ConfigError {
            name: name.clone(),
            problems,
        };
        let mut document = match base {
            Base::Preset(table) => Document::preset(table),
            Base::File(path) => {
                let text = fs::read_to_string(&path).map_err(|error| {
                    refused(vec![Problem {
                        origin: None,
                        key: String::new(),
                        message: format!("cannot be read: {error}"),
                    }])
                })?;
                Document::parse(&text).map_err(|problem| refused(vec![problem]))?
            }
        };
        let mut problems = env::overlay(&mut document, SECTIONS, variables);
        for (section, key, flag, text) in flags {
            let above = [Step {
                key: section.to_owned(),
                index: None,
            }];
            if let Err(message) = document.set(&above, key, Value::String(text), Origin::Flag(flag))
            {
                problems.push(Problem {
                    origin: Some(Origin::Flag(flag)),
                    key: key.to_owned(),
                    message,
                });
            }
        }
        problems.extend(check::check(&mut document, SECTIONS));
        if !problems.is_empty() {
            return Err(refused(problems));
        }
        let file: File = document
            .table
            .clone()
            .try_into()
            .map_err(|error: toml::de::Error| {
                refused(vec![Problem {
                    origin: None,
                    key: String::new(),
                    message: error.message().to_owned(),
                }])
            })?;
        let settings = Settings::build(file, &document, &directory).map_err(refused)?;
        Ok(Self { settings, document })
    }

    /// Every option with its value, secrets left out, and where it comes from.
    pub(crate) fn effective(&self) -> String {
        explain::effective(&self.document, SECTIONS)
    }

    /// A problem of this option, with its origin.
    pub(crate) fn problem(&self, key: &str, message: impl Into<String>) -> Problem {
        self.document.problem(key, message)
    }
}

/// The environment, but for what is no text.
pub(crate) fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)))
}

#[cfg(test)]
mod tests;
