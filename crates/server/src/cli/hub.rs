//! Finding a hub to speak to: by flags or environment, or the development hub of this machine.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use switchboard_proto::api::v1;
use switchboard_proto::api::v1::token_service_client::TokenServiceClient;
use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

use crate::state_file::Hub;

/// How long any call of a tool may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How to reach the control API
#[derive(Args, Debug, Default)]
#[allow(clippy::struct_field_names, reason = "they are the flags' names")]
#[command(next_help_heading = "Hub (in development mode it is found by itself)")]
pub(super) struct ApiOptions {
    /// The control API, such as http://127.0.0.1:9000
    #[arg(long, value_name = "URL", env = "SWITCHBOARD_API_URL")]
    api_url: Option<String>,
    /// API key
    #[arg(
        long,
        value_name = "KEY",
        env = "SWITCHBOARD_API_KEY",
        hide_env_values = true
    )]
    api_key: Option<String>,
    /// Certificate (PEM) that an https control API is trusted by
    #[arg(long, value_name = "FILE")]
    api_ca_file: Option<PathBuf>,
}

/// A channel to the control API that carries the key.
pub(super) type ApiChannel = InterceptedService<Channel, Key>;

/// Adds the API key and a deadline to every call.
#[derive(Clone)]
pub(super) struct Key(MetadataValue<tonic::metadata::Ascii>);

impl Interceptor for Key {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request
            .metadata_mut()
            .insert("authorization", self.0.clone());
        request.set_timeout(TIMEOUT);
        Ok(request)
    }
}

impl ApiOptions {
    /// Whether it is the development hub of this machine that is spoken to. One may run here while another is meant.
    pub(super) fn means_development(&self) -> bool {
        self.api_url.is_none() && development_hub().is_ok()
    }

    /// Connects.
    ///
    /// # Errors
    /// No hub is known, or it does not answer.
    pub(super) async fn connect(&self) -> Result<ApiChannel> {
        let (url, key) = match (&self.api_url, &self.api_key) {
            (Some(url), Some(key)) => (url.clone(), key.clone()),
            (Some(_), None) => bail!("--api-url needs --api-key (or SWITCHBOARD_API_KEY)"),
            (None, key) => {
                let hub = development_hub()?;
                let key = key
                    .clone()
                    .or(hub.api_key)
                    .context("the hub that was found tells no API key")?;
                (format!("http://{}", hub.grpc), key)
            }
        };
        let mut endpoint = Endpoint::from_shared(url.clone())
            .with_context(|| format!("--api-url {url}"))?
            .connect_timeout(TIMEOUT);
        if url.starts_with("https:") {
            let path = self
                .api_ca_file
                .as_ref()
                .context("an https control API needs --api-ca-file")?;
            let pem =
                std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            endpoint = endpoint
                .tls_config(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)))?;
        }
        let channel = endpoint
            .connect()
            .await
            .with_context(|| format!("no control API at {url}"))?;
        let mut value = format!("Bearer {key}")
            .parse::<MetadataValue<_>>()
            .context("--api-key")?;
        value.set_sensitive(true);
        Ok(InterceptedService::new(channel, Key(value)))
    }

    /// Has the hub issue a token.
    ///
    /// # Errors
    /// The hub refused, or does not answer.
    pub(super) async fn issue(
        &self,
        request: v1::IssueTokenRequest,
    ) -> Result<v1::IssueTokenResponse> {
        let issued = TokenServiceClient::new(self.connect().await?)
            .issue_token(request)
            .await;
        Ok(issued
            .map_err(|status| told("no token", &status))?
            .into_inner())
    }
}

/// The development hub of this machine.
///
/// # Errors
/// There is none; the error says what to do.
pub(super) fn development_hub() -> Result<Hub> {
    Hub::find().ok_or_else(|| {
        anyhow!(
            "no development hub runs here: start one with `switchboard`, or name a hub with --api-url and --api-key \
             (and --url for clients)"
        )
    })
}

/// What grants everything, as a development hub's own tokens do.
pub(super) fn all_grants() -> v1::Grants {
    let all = || vec!["*".to_owned()];
    v1::Grants {
        subscribe: all(),
        publish: all(),
        presence: all(),
        history: all(),
        ..v1::Grants::default()
    }
}

/// A gRPC status in a line.
pub(super) fn told(what: &str, status: &Status) -> anyhow::Error {
    anyhow!("{what}: {} ({:?})", status.message(), status.code())
}
