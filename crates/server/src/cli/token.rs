//! `switchboard token`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use switchboard_auth::{IssueRequest, Issuer, KeySet, system_clock};
use switchboard_core::{ChannelName, ChannelPattern, Grants};
use switchboard_proto::api::v1;

use super::hub::{ApiOptions, all_grants};
use super::terminal::{line, note};
use crate::config::{self, Base, Config};

/// Issue a token for a client
///
/// Asks the hub for it, over gRPC. With --config the key is taken from the file and no hub is needed. Patterns match by
/// segments: `chat:*` allows chat:42, `*` allows everything.
#[derive(Args, Debug)]
pub(super) struct Token {
    /// The user (`sub`); without one the session is anonymous
    #[arg(long, short)]
    user: Option<String>,
    /// How long it is good, in seconds [default: the hub's]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    ttl: Option<u32>,
    /// Pattern of channels it may subscribe to; may be repeated
    #[arg(long, value_name = "PATTERN")]
    subscribe: Vec<String>,
    /// Pattern of channels it may publish to; may be repeated
    #[arg(long, value_name = "PATTERN")]
    publish: Vec<String>,
    /// Pattern of channels whose members it may list; may be repeated
    #[arg(long, value_name = "PATTERN")]
    presence: Vec<String>,
    /// Pattern of channels whose history it may read; may be repeated
    #[arg(long, value_name = "PATTERN")]
    history: Vec<String>,
    /// Channel that it is subscribed to at once; may be repeated
    #[arg(long, value_name = "CHANNEL")]
    channel: Vec<String>,
    /// What others see of it in presence, one JSON value
    #[arg(long, value_name = "JSON")]
    info: Option<String>,
    /// Print token and expiry as a JSON object
    #[arg(long)]
    json: bool,
    /// Sign with the keys of this configuration file instead of asking a hub
    #[arg(long, value_name = "FILE", conflicts_with_all = ["api_url", "api_key", "api_ca_file"])]
    config: Option<PathBuf>,
    #[command(flatten)]
    api: ApiOptions,
}

impl Token {
    pub(super) async fn run(self) -> Result<ExitCode> {
        let (token, expires_at_ms) = if let Some(path) = &self.config {
            self.sign(path)?
        } else {
            let issued = self.api.issue(self.request()).await?;
            (
                issued.token,
                u64::try_from(issued.expires_ms).unwrap_or_default(),
            )
        };
        if self.json {
            line(format_args!(
                "{}",
                serde_json::json!({ "token": token, "expires_at": expires_at_ms })
            ))?;
        } else {
            line(format_args!("{token}"))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn request(&self) -> v1::IssueTokenRequest {
        let named = v1::Grants {
            subscribe: self.subscribe.clone(),
            publish: self.publish.clone(),
            presence: self.presence.clone(),
            history: self.history.clone(),
            channels: self.channel.clone(),
            ..v1::Grants::default()
        };
        let mut grants = named.clone();
        if named == v1::Grants::default() {
            if self.api.means_development() {
                note(format_args!(
                    "no grant named: this one grants everything, as fits development"
                ));
                grants = all_grants();
            } else {
                note(format_args!(
                    "no grant named: this one opens public channels only"
                ));
            }
        }
        grants.info = self.info.clone().unwrap_or_default().into();
        v1::IssueTokenRequest {
            user: self.user.clone().unwrap_or_default(),
            ttl_seconds: self.ttl.unwrap_or(0),
            grants: Some(grants),
            audience: String::new(),
        }
    }

    fn sign(&self, path: &Path) -> Result<(String, u64)> {
        let settings = Config::load(Base::File(path.to_owned()), config::variables(), [])?.settings;
        let keys = KeySet::new(settings.token_keys)?;
        let Some(issuer) = Issuer::new(keys, settings.issuer, system_clock()) else {
            bail!("{}: none of its [[tokens.keys]] can sign", path.display());
        };
        let channels = self
            .channel
            .iter()
            .map(|name| ChannelName::parse(name).with_context(|| name.clone()));
        let grants = Grants {
            subscribe: patterns(&self.subscribe)?,
            publish: patterns(&self.publish)?,
            presence: patterns(&self.presence)?,
            history: patterns(&self.history)?,
            channels: channels.collect::<Result<_>>()?,
        };
        let request = IssueRequest {
            user: self.user.clone(),
            ttl: self.ttl.map(|seconds| Duration::from_secs(seconds.into())),
            grants,
            info: self.info.clone(),
            audience: None,
        };
        let issued = issuer.issue(&request)?;
        Ok((issued.token, issued.expires_at_ms))
    }
}

fn patterns(texts: &[String]) -> Result<Vec<ChannelPattern>> {
    texts
        .iter()
        .map(|text| ChannelPattern::parse(text).with_context(|| text.clone()))
        .collect()
}
