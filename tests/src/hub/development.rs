//! A hub in development mode.

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::{ANY_PORT, Hub, text_at};
use crate::secrets::Secrets;
use crate::tokens::Minter;

impl Hub {
    /// Starts a hub in development mode, as a person does for the first time.
    ///
    /// # Errors
    /// It did not get ready.
    pub async fn start_development() -> Result<Self> {
        Self::start_development_at(ANY_PORT).await
    }

    /// Starts a hub in development mode whose clients find it at this address, such as that of one that has ended.
    ///
    /// # Errors
    /// It did not get ready.
    pub async fn start_development_at(clients: &str) -> Result<Self> {
        let secrets = Secrets::default();
        let directory = TempDir::with_prefix("switchboard-test-")?;
        let minter = Minter::new(
            "none",
            b"development mode mints its own tokens",
            secrets.clone(),
        );
        let mut hub = Self::run(
            directory,
            &[
                "serve",
                "--clients-listen",
                clients,
                "--api-listen",
                ANY_PORT,
                "--admin-listen",
                ANY_PORT,
            ],
            &[],
            None,
            minter,
            secrets,
            String::new(),
        )
        .await?;
        let ready = hub.ready_file()?;
        hub.api_key = text_at(&ready, "api_key").context("no API key in the ready file")?;
        hub.secrets.add(&hub.api_key);
        hub.secrets
            .add(text_at(&ready, "secret").context("no secret in the ready file")?);
        Ok(hub)
    }
}
