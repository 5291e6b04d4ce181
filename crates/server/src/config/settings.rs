//! From a checked file to the plain structs that the inner crates take: reads keys and certificates, parses patterns,
//! and looks at what no single option can be blamed for.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use switchboard_auth::{
    AllowedOrigins, ApiKeyConfig, ApiKeySecret, ApiKeys, IssuerConfig, KeyConfig, KeyMaterial,
    KeySet, Scope, parse_algorithm,
};
use switchboard_core::{ChannelName, ChannelPattern, Grants, Limits, PolicyTable, SlowConsumer};
use switchboard_engine::MemoryConfig;
use switchboard_engine_redis::RedisConfig;
use switchboard_transport::TrustedProxies;
use tracing_subscriber::EnvFilter;

use super::document::{Document, Problem};
use super::file::{Anonymous, ApiKey, EngineKind, File, TokenKey};
use super::redis::is_local;
use crate::tls;

/// What the process is wired from.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The file, for everything that is used as it stands.
    pub(crate) file: File,
    /// The node's bounds.
    pub(crate) limits: Limits,
    /// The namespaces.
    pub(crate) policies: PolicyTable,
    /// The engine that keeps history and presence.
    pub(crate) engine: EngineConfig,
    /// Who may call the control API.
    pub(crate) api_keys: Vec<ApiKeyConfig>,
    /// What tokens are signed with.
    pub(crate) token_keys: Vec<KeyConfig>,
    /// How tokens are issued.
    pub(crate) issuer: IssuerConfig,
    /// What clients without a token may do; nothing when they are refused.
    pub(crate) anonymous: Option<Grants>,
    /// Origins whose pages may use the cookie.
    pub(crate) allowed_origins: AllowedOrigins,
    /// Whose word is taken for a client's address.
    pub(crate) trusted_proxies: TrustedProxies,
    /// TLS of the clients' listener.
    pub(crate) clients_tls: Option<Arc<rustls::ServerConfig>>,
    /// TLS of the control API's listener.
    pub(crate) api_tls: Option<tls::PemFiles>,
}

/// The engine and what it is told.
#[derive(Clone, Debug)]
pub(crate) enum EngineConfig {
    /// Within this process.
    Memory(MemoryConfig),
    /// On Redis.
    Redis(Box<RedisConfig>),
}

impl Settings {
    /// Builds the settings, or tells everything that is wrong. `base` is the directory that relative paths start from.
    pub(crate) fn build(
        file: File,
        document: &Document,
        base: &Path,
    ) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader {
            document,
            base,
            problems: Vec::new(),
        };
        reader.check_relations(&file);
        let limits = file.limits.limits();
        let api_keys = reader.api_keys(&file.api.keys);
        let token_keys = reader.token_keys(&file.tokens.keys);
        let anonymous = file
            .clients
            .anonymous
            .as_ref()
            .map(|anonymous| reader.anonymous(anonymous));
        let origins = AllowedOrigins::parse(&file.clients.allowed_origins);
        let allowed_origins = reader
            .take("clients.allowed_origins", origins)
            .unwrap_or_default();
        let proxies = TrustedProxies::parse(&file.clients.trusted_proxies);
        let trusted_proxies = reader
            .take("clients.trusted_proxies", proxies)
            .unwrap_or_default();
        let clients_tls = reader.tls(
            "clients",
            file.clients.tls_cert_file.as_ref(),
            file.clients.tls_key_file.as_ref(),
        );
        let clients_tls = clients_tls.and_then(|files| {
            let config = tls::server_config(&files, &[b"h2", b"http/1.1"]);
            reader.take("clients.tls_cert_file", config)
        });
        let api_tls = reader.tls(
            "api",
            file.api.tls_cert_file.as_ref(),
            file.api.tls_key_file.as_ref(),
        );
        let api_tls = api_tls.and_then(|mut files| {
            files.client_ca = match &file.api.tls_client_ca_file {
                Some(path) => Some(reader.text("api.tls_client_ca_file", path)?),
                None => None,
            };
            reader.take("api.tls_cert_file", tls::server_config(&files, &[b"h2"]))?;
            Some(files)
        });
        if file.api.tls_client_ca_file.is_some() && file.api.tls_cert_file.is_none() {
            reader.refuse(
                "api.tls_client_ca_file",
                "mutual TLS needs tls_cert_file and tls_key_file too",
            );
        }
        let issuer = IssuerConfig {
            key_id: file.tokens.signing_key.clone(),
            issuer: file.tokens.issuer.first().cloned(),
            audience: file.tokens.audience.first().cloned(),
            ttl_default: file.tokens.ttl_default,
            ttl_max: file.tokens.ttl_max,
            token_bytes_max: limits.token_bytes_max,
            info_bytes_max: limits.info_bytes_max,
        };
        let namespaces = file
            .namespaces
            .iter()
            .map(|(name, section)| (name.as_str().into(), section.policy()));
        let policies = PolicyTable::new(
            namespaces,
            file.namespace_default
                .as_ref()
                .map(super::file::PolicySection::policy),
        );
        let engine = match file.engine.kind {
            EngineKind::Memory => Some(EngineConfig::Memory(MemoryConfig {
                history_bytes_max: file.engine.history_bytes_max,
                channels_max: file.engine.channels_max,
                ids_per_channel_max: file.engine.ids_per_channel_max,
                marks_max: file.engine.marks_max,
                idle_channel_ttl: file.engine.idle_channel_ttl,
                operation_timeout: limits.engine_timeout,
                ..MemoryConfig::default()
            })),
            EngineKind::Redis => reader
                .redis(&file.engine, limits.engine_timeout)
                .map(|config| EngineConfig::Redis(Box::new(config))),
        };
        let Some(engine) = engine.filter(|_| reader.problems.is_empty()) else {
            return Err(reader.problems);
        };
        Ok(Self {
            file,
            limits,
            policies,
            engine,
            api_keys,
            token_keys,
            issuer,
            anonymous,
            allowed_origins,
            trusted_proxies,
            clients_tls,
            api_tls,
        })
    }

    /// What is no mistake but worth a second look.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut warn = |when: bool, text: &str| {
            if when {
                warnings.push(text.to_owned());
            }
        };
        warn(
            self.token_keys.is_empty() && self.anonymous.is_none(),
            "no [[tokens.keys]] and no [clients.anonymous]: no client can connect",
        );
        warn(
            self.api_keys.is_empty(),
            "no [[api.keys]]: no service can publish",
        );
        warn(
            self.file.namespaces.is_empty() && self.file.namespace_default.is_none(),
            "no [namespaces.NAME] and no [namespace_default]: every channel is refused",
        );
        warn(
            !self.file.api.listen.ip().is_loopback() && self.api_tls.is_none(),
            "api.listen is open to the network without TLS: API keys travel in the clear",
        );
        if let EngineConfig::Redis(redis) = &self.engine {
            warn(
                redis.password.is_some() && redis.tls.is_none() && !is_local(redis),
                "engine.redis has a password and no tls_ca_file: it travels in the clear",
            );
        }
        warn(
            !self.file.admin.listen.ip().is_loopback(),
            "admin.listen is open to the network and asks for no credentials",
        );
        warnings
    }
}

pub(super) struct Reader<'a> {
    document: &'a Document,
    base: &'a Path,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    pub(super) fn refuse(&mut self, key: &str, message: impl Into<String>) {
        self.problems.push(self.document.problem(key, message));
    }

    pub(super) fn take<T, E: std::fmt::Display>(
        &mut self,
        key: &str,
        result: Result<T, E>,
    ) -> Option<T> {
        result
            .map_err(|error| self.refuse(key, format!("{error:#}")))
            .ok()
    }

    fn resolve(&self, path: &Path) -> PathBuf {
        self.base.join(path)
    }

    pub(super) fn text(&mut self, key: &str, path: &Path) -> Option<String> {
        let path = self.resolve(path);
        let text = fs::read_to_string(&path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()));
        self.take(key, text)
    }

    /// What has to hold between options.
    fn check_relations(&mut self, file: &File) {
        let (limits, drain) = (file.limits.limits(), &file.drain);
        if drain.deadline < drain.ready_delay + drain.window {
            let least = (drain.ready_delay + drain.window).as_secs_f64();
            self.refuse(
                "drain.deadline_s",
                format!("must be ready_delay_s + window_s at least, here {least}"),
            );
        }
        if limits.outbox_bytes_max < limits.payload_bytes_max {
            self.refuse(
                "limits.outbox_bytes_max",
                "must be payload_bytes_max at least, or one publication overflows it",
            );
        }
        // A poll repeats its channels beside the cursor, and then there is a token in most cases.
        if limits.header_bytes_max < 2 * limits.cursor_bytes_max {
            self.refuse(
                "limits.header_bytes_max",
                "must be twice cursor_bytes_max at least, or a session cannot resume",
            );
        }
        if file.tokens.ttl_default > file.tokens.ttl_max {
            self.refuse("tokens.ttl_default_s", "must be ttl_max_s at most");
        }
        let listeners = [
            ("clients.listen", file.clients.listen),
            ("api.listen", file.api.listen),
            ("admin.listen", file.admin.listen),
        ];
        for (index, (key, address)) in listeners.iter().enumerate() {
            if let Some((other, _)) = listeners[..index]
                .iter()
                .find(|(_, other)| address.port() != 0 && other == address)
            {
                self.refuse(key, format!("{address} is taken by {other}"));
            }
        }
        let policies = file
            .namespaces
            .iter()
            .map(|(name, section)| (format!("namespaces.{name}"), section));
        let fallback = file
            .namespace_default
            .iter()
            .map(|section| ("namespace_default".to_owned(), section));
        for (key, section) in policies.chain(fallback) {
            let policy = section.policy();
            if policy.join_leave && !policy.presence {
                self.refuse(&format!("{key}.join_leave"), "needs presence = true");
            }
            if policy.durable && !policy.retention.keeps_any() {
                self.refuse(
                    &format!("{key}.durable"),
                    "needs history to come back to: history_count, history_bytes and history_age_s above 0",
                );
            }
            // What is dropped would be acknowledged with what comes after it.
            if policy.durable && policy.slow_consumer != SlowConsumer::Close {
                self.refuse(
                    &format!("{key}.durable"),
                    "needs slow_consumer = \"close\": the others drop what is to be acknowledged",
                );
            }
        }
        if let Err(error) = EnvFilter::from_str(&file.log.level) {
            self.refuse(
                "log.level",
                format!("{error}: write error, warn, info, debug, trace or directives"),
            );
        }
    }

    fn api_keys(&mut self, keys: &[ApiKey]) -> Vec<ApiKeyConfig> {
        let before = self.problems.len();
        let configs: Vec<ApiKeyConfig> = keys
            .iter()
            .enumerate()
            .filter_map(|(index, key)| self.api_key(&format!("api.keys.{index}"), key))
            .collect();
        if self.problems.len() == before {
            self.take("api.keys", ApiKeys::new(configs.clone()));
        }
        configs
    }

    fn api_key(&mut self, path: &str, key: &ApiKey) -> Option<ApiKeyConfig> {
        let secret = match (&key.secret, &key.secret_file, &key.secret_sha256) {
            (Some(secret), None, None) => Some(ApiKeySecret::Text(secret.expose().to_owned())),
            (None, Some(file), None) => self
                .text(&format!("{path}.secret_file"), file)
                .map(|text| ApiKeySecret::Text(text.trim().to_owned())),
            (None, None, Some(hex)) => self.take(
                &format!("{path}.secret_sha256"),
                ApiKeySecret::from_sha256_hex(hex),
            ),
            _ => {
                self.refuse(
                    path,
                    "needs exactly one of secret, secret_file and secret_sha256",
                );
                None
            }
        };
        let scopes = key
            .scopes
            .iter()
            .filter_map(|scope| self.take(&format!("{path}.scopes"), scope.parse::<Scope>()))
            .collect();
        let channels = self.patterns(&format!("{path}.channels"), &key.channels);
        Some(ApiKeyConfig {
            name: key.name.clone(),
            secret: secret?,
            scopes,
            channels,
        })
    }

    fn token_keys(&mut self, keys: &[TokenKey]) -> Vec<KeyConfig> {
        let before = self.problems.len();
        let configs: Vec<KeyConfig> = keys
            .iter()
            .enumerate()
            .filter_map(|(index, key)| self.token_key(&format!("tokens.keys.{index}"), key))
            .collect();
        if self.problems.len() == before {
            self.take("tokens.keys", KeySet::new(configs.clone()));
        }
        configs
    }

    fn token_key(&mut self, path: &str, key: &TokenKey) -> Option<KeyConfig> {
        let at = |name: &str| format!("{path}.{name}");
        let material = match (
            &key.secret,
            &key.secret_file,
            &key.public_key_file,
            &key.private_key_file,
        ) {
            (Some(secret), None, None, None) => {
                Some(KeyMaterial::Secret(secret.expose().as_bytes().to_vec()))
            }
            (None, Some(file), None, None) => self.text(&at("secret_file"), file).map(|text| {
                KeyMaterial::Secret(text.trim_end_matches(['\r', '\n']).as_bytes().to_vec())
            }),
            (None, None, Some(public), None) => self
                .text(&at("public_key_file"), public)
                .map(KeyMaterial::PemPublic),
            (None, None, Some(public), Some(private)) => {
                let public = self.text(&at("public_key_file"), public);
                let private = self.text(&at("private_key_file"), private);
                public
                    .zip(private)
                    .map(|(public, private)| KeyMaterial::PemPair { private, public })
            }
            _ => {
                self.refuse(path, "needs one of secret, secret_file, or public_key_file (with private_key_file to issue tokens)");
                None
            }
        };
        let algorithms = key
            .algorithms
            .iter()
            .filter_map(|name| self.take(&at("algorithms"), parse_algorithm(name)))
            .collect();
        Some(KeyConfig {
            id: key.id.clone(),
            algorithms,
            material: material?,
        })
    }

    fn anonymous(&mut self, section: &Anonymous) -> Grants {
        let at = |name: &str| format!("clients.anonymous.{name}");
        let names = section
            .channels
            .iter()
            .filter_map(|name| self.take(&at("channels"), ChannelName::parse(name)));
        let channels = names.collect();
        Grants {
            subscribe: self.patterns(&at("subscribe"), &section.subscribe),
            publish: self.patterns(&at("publish"), &section.publish),
            presence: self.patterns(&at("presence"), &section.presence),
            history: self.patterns(&at("history"), &section.history),
            channels,
        }
    }

    fn patterns(&mut self, key: &str, texts: &[String]) -> Vec<ChannelPattern> {
        let parse = |text: &String| {
            ChannelPattern::parse(text).map_err(|error| format!("{text:?}: {error}"))
        };
        texts
            .iter()
            .filter_map(|text| self.take(key, parse(text)))
            .collect()
    }

    pub(super) fn tls(
        &mut self,
        section: &str,
        cert: Option<&PathBuf>,
        key: Option<&PathBuf>,
    ) -> Option<tls::PemFiles> {
        match (cert, key) {
            (None, None) => None,
            (Some(cert), Some(key)) => {
                let cert = self.text(&format!("{section}.tls_cert_file"), cert);
                let key = self.text(&format!("{section}.tls_key_file"), key);
                cert.zip(key).map(|(cert, key)| tls::PemFiles {
                    cert,
                    key,
                    client_ca: None,
                })
            }
            _ => {
                self.refuse(
                    &format!("{section}.tls_cert_file"),
                    "tls_cert_file and tls_key_file go together",
                );
                None
            }
        }
    }
}
