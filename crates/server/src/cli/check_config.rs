//! `switchboard check-config`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::EXIT_USAGE;
use super::serve::ConfigOptions;
use super::terminal::{line, note};
use crate::config;

/// Check a configuration, and show what is in effect; or explain options
///
/// Reads the file, the environment (SWITCHBOARD_SECTION__KEY) and the files that it names, tells everything that is
/// wrong, or prints every option with its value, secrets left out. Nothing is bound. Exits 0 or 64.
#[derive(Args, Debug)]
pub(super) struct CheckConfig {
    /// Configuration file, as with --config
    #[arg(value_name = "FILE", conflicts_with = "config")]
    file: Option<PathBuf>,
    #[command(flatten)]
    options: ConfigOptions,
    /// Explain this option or section; without a name print all of them as a commented file
    #[arg(long, value_name = "OPTION", num_args = 0..=1, default_missing_value = "")]
    explain: Option<String>,
}

impl CheckConfig {
    pub(super) fn run(mut self) -> Result<ExitCode> {
        match self.explain.as_deref() {
            Some("") => {
                line(format_args!("{}", config::reference_text().trim_end()))?;
                return Ok(ExitCode::SUCCESS);
            }
            Some(key) => {
                return Ok(match config::explain(key) {
                    Ok(text) => {
                        line(format_args!("{}", text.trim_end()))?;
                        ExitCode::SUCCESS
                    }
                    Err(message) => {
                        note(format_args!("switchboard: {message}"));
                        ExitCode::from(EXIT_USAGE)
                    }
                });
            }
            None => {}
        }
        if self.file.is_some() {
            self.options.config = self.file.take();
        }
        let (config, _) = self.options.load()?;
        line(format_args!("{}", config.effective().trim_end()))?;
        for warning in config.settings.warnings() {
            note(format_args!("warning: {warning}"));
        }
        match &self.options.config {
            Some(path) => note(format_args!("{}: good", path.display())),
            None => note(format_args!("no file: development mode, good")),
        }
        Ok(ExitCode::SUCCESS)
    }
}
