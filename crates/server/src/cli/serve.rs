//! `switchboard serve`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::config::{self, Base, Config, FlagValue};
use crate::development::Development;
use crate::serve::{self, Start};

/// Run the hub
#[derive(Args, Debug)]
pub(super) struct Serve {
    #[command(flatten)]
    options: ConfigOptions,
    /// Write addresses (and, in development mode, credentials) to this file as JSON once everything listens
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

/// Where the configuration comes from
#[derive(Args, Debug)]
pub(super) struct ConfigOptions {
    /// Configuration file (TOML). Without one: development mode
    #[arg(long, short, value_name = "FILE", env = "SWITCHBOARD_CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// Where clients connect, such as 127.0.0.1:8000; port 0 picks a free one [option clients.listen]
    #[arg(long, value_name = "ADDRESS")]
    clients_listen: Option<String>,
    /// Where services connect by gRPC [default 127.0.0.1:9000; option api.listen]
    #[arg(long, value_name = "ADDRESS")]
    api_listen: Option<String>,
    /// Where operators look: /livez, /readyz, /metrics [default 127.0.0.1:9100; option admin.listen]
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<String>,
}

impl Serve {
    pub(super) fn run(self) -> Result<ExitCode> {
        let (config, development) = self.options.load()?;
        serve::run(Start {
            settings: config.settings,
            development,
            ready_file: self.ready_file,
        })
    }
}

impl ConfigOptions {
    /// Loads the configuration: the file or the development preset, the environment, the flags.
    pub(super) fn load(&self) -> Result<(Config, Option<Development>)> {
        let variables = config::variables();
        if let Some(path) = &self.config {
            return Ok((
                Config::load(Base::File(path.clone()), variables, self.flags())?,
                None,
            ));
        }
        let development = Development::new()?;
        let config = Config::load(Base::Preset(development.preset()), variables, self.flags())?;
        Development::check(&config)?;
        Ok((config, Some(development)))
    }

    fn flags(&self) -> Vec<FlagValue> {
        let flags = [
            ("clients", "--clients-listen", &self.clients_listen),
            ("api", "--api-listen", &self.api_listen),
            ("admin", "--admin-listen", &self.admin_listen),
        ];
        let given = |(section, flag, text): (&'static str, &'static str, &Option<String>)| {
            Some((section, "listen", flag, text.clone()?))
        };
        flags.into_iter().filter_map(given).collect()
    }
}
