//! Development mode: what a hub without a configuration file does, so that the first run needs nothing.
//!
//! Loopback only, a fresh secret and API key at every start, every namespace allowed, history and presence on; and
//! everything printed that one needs to try it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use switchboard_auth::{
    IssueRequest, IssuedToken, Issuer, KeyConfig, KeyMaterial, KeySet, parse_algorithm,
    system_clock,
};
use switchboard_core::{ChannelPattern, Grants};
use toml::Table;

use crate::config::{Config, ConfigError, Problem};
use crate::listeners::Addresses;

/// What tokens name the secret by.
pub(crate) const KEY_ID: &str = "development";

/// The channel that everything printed speaks of.
pub(crate) const CHANNEL: &str = "demo:lobby";

/// The printed token outlasts a day's work; it ends with the process anyway, for the next one has another secret.
const PRINTED_TTL: Duration = Duration::from_hours(24);

/// Secrets of development mode.
#[derive(Clone)]
pub(crate) struct Development {
    /// Signs tokens (HS256).
    pub(crate) secret: String,
    /// May do everything over gRPC.
    pub(crate) api_key: String,
}

impl Development {
    /// Makes fresh secrets.
    ///
    /// # Errors
    /// The system gave no randomness.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            secret: random_hex::<32>()?,
            api_key: format!("sk_dev_{}", random_hex::<16>()?),
        })
    }

    /// The configuration that stands where a file would. Environment and flags go over it, as over a file.
    pub(crate) fn preset(&self) -> Table {
        let text = format!(
            r#"
            [api]
            keys = [{{ name = "development", secret = "{api_key}", scopes = ["publish", "read", "sessions", "tokens", "admin"] }}]

            [tokens]
            keys = [{{ id = "{KEY_ID}", secret = "{secret}" }}]
            ttl_max_s = 604800

            [namespace_default]
            history_count = 1000
            history_bytes = 16777216
            history_age_s = 3600
            presence = true
            join_leave = true
            presence_grace_s = 5

            # A person waits for the prompt to come back.
            [drain]
            ready_delay_s = 0
            window_s = 1
            deadline_s = 5
            "#,
            api_key = self.api_key,
            secret = self.secret,
        );
        text.parse().expect("the preset is TOML: a test loads it")
    }

    /// Refuses to be reached from elsewhere: its page hands out tokens to whoever asks.
    ///
    /// # Errors
    /// The addresses that are not of loopback.
    pub(crate) fn check(config: &Config) -> Result<(), ConfigError> {
        let file = &config.settings.file;
        let listeners = [
            ("clients.listen", file.clients.listen),
            ("api.listen", file.api.listen),
            ("admin.listen", file.admin.listen),
        ];
        let open = |(key, address): (&str, SocketAddr)| -> Option<Problem> {
            let message = format!(
                "{address} can be reached from elsewhere, and development mode hands out tokens to everybody: write a \
                 configuration file (deploy/switchboard.toml is one to start from) and pass it with --config"
            );
            (!address.ip().is_loopback()).then(|| config.problem(key, message))
        };
        let problems: Vec<Problem> = listeners.into_iter().filter_map(open).collect();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(ConfigError {
                name: "development mode".to_owned(),
                problems,
            })
        }
    }

    /// Prints what one needs to try it.
    ///
    /// # Errors
    /// No token could be issued. That nobody reads what is printed is no error.
    pub(crate) fn introduce(&self, addresses: Addresses) -> Result<()> {
        let issuer = self.issuer()?;
        let token = issue(&issuer, "you", PRINTED_TTL)?.token;
        let lines = Commands::new(addresses, &token);
        let mut text = String::new();
        let _ = write!(
            text,
            "\nSwitchboard {version}, development mode: this machine only, memory only, new secrets at every start.\n\n  \
             page      http://{clients}/\n  \
             admin     http://{admin}/metrics, /readyz, /livez\n  \
             gRPC      {api}, key {key}\n  \
             token     {token}\n\n\
             Listen, in another terminal:\n\n  {ws}\n\n  {sse}\n\n  {poll}\n\n\
             Publish, in a third:\n\n  {publish}\n\n\
             `{program} --help` tells the rest. Ctrl-C drains and stops; twice stops at once.\n\n",
            version = env!("CARGO_PKG_VERSION"),
            clients = addresses.clients,
            admin = addresses.admin,
            api = addresses.api,
            key = self.api_key,
            ws = lines.ws,
            sse = lines.sse,
            poll = lines.poll,
            publish = lines.publish,
            program = program(),
        );
        let mut out = std::io::stdout().lock();
        drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
        Ok(())
    }

    fn issuer(&self) -> Result<Issuer> {
        let key = KeyConfig {
            id: Some(KEY_ID.to_owned()),
            algorithms: vec![parse_algorithm("HS256")?],
            material: KeyMaterial::Secret(self.secret.as_bytes().to_vec()),
        };
        let config = switchboard_auth::IssuerConfig {
            ttl_max: PRINTED_TTL,
            ..switchboard_auth::IssuerConfig::default()
        };
        Issuer::new(KeySet::new(vec![key])?, config, system_clock()).context("a secret can sign")
    }
}

/// A token for `user` that grants everything, as fits a hub that only this machine can reach.
///
/// # Errors
/// The user is no text that a token may carry.
pub(crate) fn issue(
    issuer: &Issuer,
    user: &str,
    ttl: Duration,
) -> Result<IssuedToken, switchboard_auth::IssueError> {
    let all = || vec![ChannelPattern::parse("*").expect("a pattern")];
    let grants = Grants {
        subscribe: all(),
        publish: all(),
        presence: all(),
        history: all(),
        channels: Vec::new(),
    };
    issuer.issue(&IssueRequest {
        user: Some(user.to_owned()),
        ttl: Some(ttl),
        grants,
        ..IssueRequest::default()
    })
}

/// Commands for a terminal that work as they stand.
pub(crate) struct Commands {
    /// Listens over WebSocket: curl shows the frames, each behind its two to four bytes of header.
    pub(crate) ws: String,
    /// Listens over SSE.
    pub(crate) sse: String,
    /// One long poll.
    pub(crate) poll: String,
    /// Publishes over gRPC.
    pub(crate) publish: String,
}

impl Commands {
    /// For a hub at these addresses and a client with this token.
    pub(crate) fn new(addresses: Addresses, token: &str) -> Self {
        let url = format!("http://{}/v1", addresses.clients);
        let bearer = format!("-H 'Authorization: Bearer {token}'");
        Self {
            ws: format!(
                "curl -sN --http1.1 -o - '{url}/ws?channel={CHANNEL}&rewind=10' {bearer} -H 'Connection: Upgrade' \
                 -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: c3dpdGNoYm9hcmQtMTIzNA=='"
            ),
            sse: format!("curl -sN '{url}/sse?channel={CHANNEL}&rewind=10' {bearer}"),
            poll: format!("curl -s '{url}/poll?channel={CHANNEL}&rewind=10' {bearer}"),
            publish: format!("{} publish {CHANNEL} '{{\"text\":\"hello\"}}'", program()),
        }
    }
}

/// How this program was called, so that what is printed can be pasted.
fn program() -> String {
    std::env::args()
        .next()
        .unwrap_or_else(|| "switchboard".to_owned())
}

fn random_hex<const BYTES: usize>() -> Result<String> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).context("no randomness from the system")?;
    Ok(bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    }))
}
