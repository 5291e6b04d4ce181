//! `switchboard subscribe`.

mod poll;
mod sse;
mod ws;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, ValueEnum};
use serde::Deserialize;
use switchboard_proto::api::v1;

use super::frames::{End, Printer};
use super::hub::{ApiOptions, all_grants, development_hub};
use super::terminal::note;
use crate::tls;

/// Subscribe to channels and print what comes
///
/// Messages go to standard output, remarks to standard error. It does not come back by itself: it shows what the hub
/// does. Exits 0 when the session ended well (1000, 1001) or --count messages came, otherwise 1.
#[derive(Args, Debug)]
pub(super) struct Subscribe {
    /// Channels, `namespace:rest`
    #[arg(required = true, value_name = "CHANNEL")]
    channels: Vec<String>,
    /// How to connect
    #[arg(long, short, value_enum, default_value_t = Way::Ws)]
    transport: Way,
    /// Begin with the last N publications of each channel
    #[arg(long, value_name = "N", default_value_t = 0)]
    rewind: u32,
    /// End after so many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Print every frame as it came, one JSON object a line
    #[arg(long)]
    json: bool,
    /// The hub's address for clients, such as https://hub.example.com [default: the development hub]
    #[arg(long, value_name = "URL", env = "SWITCHBOARD_URL")]
    url: Option<String>,
    /// Certificates (PEM) that an https hub is trusted by [default: the system's]
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// The client's token; without one the hub is asked for one, over gRPC
    #[arg(long, env = "SWITCHBOARD_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The user to be, when the hub is asked for a token
    #[arg(long, short, default_value = "terminal")]
    user: String,
    #[command(flatten)]
    api: ApiOptions,
}

/// A transport.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Way {
    /// WebSocket
    Ws,
    /// Server-Sent Events
    Sse,
    /// Long poll
    Poll,
}

/// Where and as whom to connect.
struct Target {
    /// Without a slash at the end.
    url: String,
    /// What a hub behind TLS is trusted by.
    tls: Option<rustls::ClientConfig>,
    token: String,
    channels: Vec<String>,
    rewind: u32,
}

impl Subscribe {
    pub(super) async fn run(self) -> Result<ExitCode> {
        let mut printer = Printer::new(self.json, self.count);
        let target = self.target().await?;
        let end = match self.transport {
            Way::Ws => ws::follow(&target, &mut printer).await?,
            Way::Sse => sse::follow(&target, &mut printer).await?,
            Way::Poll => poll::follow(&target, &mut printer).await?,
        };
        match end {
            End::Enough => Ok(ExitCode::SUCCESS),
            End::Closed { code, reason } => {
                note(format_args!("-- closed: {code} {reason}"));
                Ok(if matches!(code, 1000 | 1001) {
                    ExitCode::SUCCESS
                } else {
                    ExitCode::FAILURE
                })
            }
            End::Lost => bail!("the connection was lost"),
        }
    }

    async fn target(&self) -> Result<Target> {
        let url = match &self.url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("http://{}", development_hub()?.clients),
        };
        let tls = match reqwest::Url::parse(&url).as_ref().map(reqwest::Url::scheme) {
            Ok("http") => None,
            Ok("https") => Some(self.tls()?),
            _ => bail!("--url {url}: write http://HOST:PORT or https://HOST"),
        };
        let token = if let Some(token) = &self.token {
            token.clone()
        } else {
            let request = v1::IssueTokenRequest {
                user: self.user.clone(),
                grants: Some(self.grants()),
                ttl_seconds: 3600,
                ..v1::IssueTokenRequest::default()
            };
            self.api
                .issue(request)
                .await
                .context("give a --token, or what is needed to ask for one")?
                .token
        };
        Ok(Target {
            url,
            tls,
            token,
            channels: self.channels.clone(),
            rewind: self.rewind,
        })
    }

    fn tls(&self) -> Result<rustls::ClientConfig> {
        let Some(path) = &self.ca_file else {
            return tls::client_config(None).context("the system's certificates");
        };
        let pem = std::fs::read_to_string(path);
        let pem = pem.with_context(|| format!("--ca-file {}", path.display()))?;
        tls::client_config(Some(&pem)).with_context(|| format!("--ca-file {}", path.display()))
    }

    fn grants(&self) -> v1::Grants {
        if self.url.is_none() && self.api.means_development() {
            return all_grants();
        }
        v1::Grants {
            subscribe: self.channels.clone(),
            ..v1::Grants::default()
        }
    }
}

impl Target {
    /// A client for what goes over HTTP.
    fn http(&self) -> Result<reqwest::Client> {
        let client = match &self.tls {
            Some(tls) => reqwest::Client::builder().tls_backend_preconfigured(tls.clone()),
            None => reqwest::Client::builder(),
        };
        client.build().context("no HTTP client")
    }

    /// The query of an opening.
    fn query(&self) -> Vec<(&str, String)> {
        let mut query: Vec<(&str, String)> = self
            .channels
            .iter()
            .map(|channel| ("channel", channel.clone()))
            .collect();
        if self.rewind > 0 {
            query.push(("rewind", self.rewind.to_string()));
        }
        query
    }
}

/// A refusal as the hub explains it (RFC 9457).
async fn refusal(response: reqwest::Response) -> anyhow::Error {
    #[derive(Deserialize)]
    struct Problem {
        code: String,
        #[serde(default)]
        detail: String,
    }
    let status = response.status();
    let text = response.text().await.unwrap_or_default();
    match serde_json::from_str::<Problem>(&text) {
        Ok(Problem { code, detail }) => anyhow!("refused: {status}: {code}: {detail}"),
        Err(_) => anyhow!("refused: {status}: {}", text.trim()),
    }
}
