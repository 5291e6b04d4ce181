//! A hub with a configuration that the project ships.

use std::fs;

use anyhow::Result;
use tempfile::TempDir;

use super::Hub;
use crate::secrets::Secrets;
use crate::tokens::Minter;

impl Hub {
    /// Starts a hub with the text of a configuration and variables of the environment, which name these secrets; `token_key` is the
    /// key id of the second.
    ///
    /// # Errors
    /// It did not get ready; the error has its log.
    pub async fn start_shipped(
        config: &str,
        environment: &[(String, String)],
        api_key: &str,
        (token_key, token_secret): (&str, &str),
    ) -> Result<Self> {
        let secrets = Secrets::default();
        secrets.add(api_key);
        secrets.add(token_secret);
        let directory = TempDir::with_prefix("switchboard-test-")?;
        fs::write(directory.path().join("switchboard.toml"), config)?;
        let minter = Minter::new(token_key, token_secret.as_bytes(), secrets.clone());
        let arguments = ["serve", "--config", "switchboard.toml"];
        let api_key = api_key.to_owned();
        Self::run(
            directory,
            &arguments,
            environment,
            None,
            minter,
            secrets,
            api_key,
        )
        .await
    }
}
