//! Logs go to standard error: standard output belongs to what a person asked for.

use std::io::{self, IsTerminal};

use anyhow::{Context, Result, anyhow};
use tracing_subscriber::EnvFilter;

use crate::config::file::{Log, LogFormat};

/// Starts logging. To be called once.
///
/// # Errors
/// The level is no directive (the configuration's check has refused that before), or somebody logs already.
pub(crate) fn install(log: &Log) -> Result<()> {
    let filter = EnvFilter::try_new(&log.level).context("log.level")?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // It would tell of a line that cannot be written by a line that cannot be written, which panics: a hub must outlive
        // whoever reads its log.
        .log_internal_errors(false)
        .with_writer(io::stderr);
    let installed = match log.format {
        LogFormat::Text => builder
            .with_ansi(io::stderr().is_terminal())
            .with_target(false)
            .try_init(),
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .try_init(),
    };
    installed.map_err(|error| anyhow!(error))
}
