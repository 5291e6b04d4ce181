//! A program that a test drives: what it prints comes line by line, each a JSON object; it is ended by its id with the
//! test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// A running program.
#[derive(Debug)]
pub struct Script {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    complaints: PathBuf,
}

impl Script {
    /// Starts a command. What it complains of goes to a file in `directory`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(command: &mut Command, directory: &Path) -> Result<Self> {
        let complaints = tempfile::Builder::new()
            .prefix("complaints-")
            .tempfile_in(directory)?
            .into_temp_path()
            .keep()?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&complaints)?)
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let lines = BufReader::new(child.stdout.take().context("its output is piped")?).lines();
        Ok(Self {
            child,
            lines,
            complaints,
        })
    }

    /// The next line; nothing at the end of its output.
    ///
    /// # Errors
    /// None comes within this time; the error has what it complained of.
    pub async fn line(&mut self, within: Duration) -> Result<Option<String>> {
        match timeout(within, self.lines.next_line()).await {
            Ok(line) => Ok(line?),
            Err(_) => bail!(
                "it said nothing within {within:?}; its complaints: {}",
                self.complaints()
            ),
        }
    }

    /// The next line as JSON, which must have this key.
    ///
    /// # Errors
    /// Another line comes, or none.
    pub async fn say(&mut self, key: &str, within: Duration) -> Result<Value> {
        let line = self.line(within).await?;
        let Some(line) = line else {
            bail!(
                "it ended before `{key}`; its complaints: {}",
                self.complaints()
            )
        };
        let json: Value =
            serde_json::from_str(&line).with_context(|| format!("no JSON: {line}"))?;
        ensure!(
            json.get(key).is_some(),
            "`{key}` was to come, not {json}; its complaints: {}",
            self.complaints()
        );
        Ok(json[key].clone())
    }

    /// Awaits its good end.
    ///
    /// # Errors
    /// It fails, or does not end within this time.
    pub async fn done(&mut self, within: Duration) -> Result<()> {
        let status = timeout(within, self.child.wait())
            .await
            .context("it does not end")??;
        ensure!(
            status.success(),
            "it ended with {status}; its complaints: {}",
            self.complaints()
        );
        Ok(())
    }

    fn complaints(&self) -> String {
        std::fs::read_to_string(&self.complaints).unwrap_or_default()
    }
}
