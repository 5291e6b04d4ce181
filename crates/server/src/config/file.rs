//! The shapes that a checked document takes: one struct a section, every default filled in.
//!
//! Unknown keys, kinds and ranges are not looked at here: [`super::check`] has done that with better words.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use switchboard_core::{Limits, Policy, Retention, SlowConsumer};

use super::redis::RedisSection;
use super::secret::Secret;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct File {
    pub(crate) clients: Clients,
    pub(crate) api: Api,
    pub(crate) admin: Admin,
    pub(crate) tokens: Tokens,
    #[serde(default)]
    pub(crate) namespaces: BTreeMap<String, PolicySection>,
    pub(crate) namespace_default: Option<PolicySection>,
    pub(crate) limits: LimitsSection,
    pub(crate) node: NodeSection,
    pub(crate) engine: EngineSection,
    pub(crate) drain: Drain,
    pub(crate) log: Log,
}

/// `[clients]`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Clients {
    pub(crate) listen: SocketAddr,
    pub(crate) tls_cert_file: Option<PathBuf>,
    pub(crate) tls_key_file: Option<PathBuf>,
    pub(crate) allowed_origins: Vec<String>,
    pub(crate) cookie_name: Option<String>,
    pub(crate) trusted_proxies: Vec<String>,
    pub(crate) compression: bool,
    pub(crate) body_bytes_max: usize,
    pub(crate) connections_max: usize,
    pub(crate) anonymous: Option<Anonymous>,
}

/// `[clients.anonymous]`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Anonymous {
    pub(crate) subscribe: Vec<String>,
    pub(crate) publish: Vec<String>,
    pub(crate) presence: Vec<String>,
    pub(crate) history: Vec<String>,
    pub(crate) channels: Vec<String>,
}

/// `[api]`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Api {
    pub(crate) listen: SocketAddr,
    pub(crate) tls_cert_file: Option<PathBuf>,
    pub(crate) tls_key_file: Option<PathBuf>,
    pub(crate) tls_client_ca_file: Option<PathBuf>,
    #[serde(default)]
    pub(crate) keys: Vec<ApiKey>,
}

/// `[[api.keys]]`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ApiKey {
    pub(crate) name: String,
    pub(crate) secret: Option<Secret>,
    pub(crate) secret_file: Option<PathBuf>,
    pub(crate) secret_sha256: Option<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) channels: Vec<String>,
}

/// `[admin]`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Admin {
    pub(crate) listen: SocketAddr,
}

/// `[tokens]`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Tokens {
    pub(crate) issuer: Vec<String>,
    pub(crate) audience: Vec<String>,
    pub(crate) require_exp: bool,
    #[serde(rename = "leeway_s", deserialize_with = "seconds")]
    pub(crate) leeway: Duration,
    pub(crate) cache_len_max: usize,
    pub(crate) signing_key: Option<String>,
    #[serde(rename = "ttl_default_s", deserialize_with = "seconds")]
    pub(crate) ttl_default: Duration,
    #[serde(rename = "ttl_max_s", deserialize_with = "seconds")]
    pub(crate) ttl_max: Duration,
    #[serde(default)]
    pub(crate) keys: Vec<TokenKey>,
}

/// `[[tokens.keys]]`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct TokenKey {
    pub(crate) id: Option<String>,
    pub(crate) algorithms: Vec<String>,
    pub(crate) secret: Option<Secret>,
    pub(crate) secret_file: Option<PathBuf>,
    pub(crate) public_key_file: Option<PathBuf>,
    pub(crate) private_key_file: Option<PathBuf>,
}

/// `[namespaces.NAME]` and `[namespace_default]`.
#[derive(Clone, Debug, Deserialize)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own in the file"
)]
pub(crate) struct PolicySection {
    history_count: u32,
    history_bytes: usize,
    #[serde(deserialize_with = "seconds")]
    history_age_s: Duration,
    #[serde(deserialize_with = "seconds")]
    idempotency_window_s: Duration,
    presence: bool,
    join_leave: bool,
    #[serde(deserialize_with = "seconds")]
    presence_grace_s: Duration,
    slow_consumer: SlowConsumerName,
    public: bool,
    durable: bool,
    #[serde(deserialize_with = "seconds")]
    durable_ttl_s: Duration,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SlowConsumerName {
    Close,
    DropOldest,
    KeepLatest,
}

impl PolicySection {
    /// The policy that it describes.
    pub(crate) fn policy(&self) -> Policy {
        Policy {
            retention: Retention {
                count_max: self.history_count,
                bytes_max: self.history_bytes,
                age_max: self.history_age_s,
            },
            idempotency_window: self.idempotency_window_s,
            presence: self.presence,
            join_leave: self.join_leave,
            presence_grace: self.presence_grace_s,
            slow_consumer: match self.slow_consumer {
                SlowConsumerName::Close => SlowConsumer::Close,
                SlowConsumerName::DropOldest => SlowConsumer::DropOldest,
                SlowConsumerName::KeepLatest => SlowConsumer::KeepLatest,
            },
            public: self.public,
            durable: self.durable,
            durable_ttl: self.durable_ttl_s,
        }
    }
}

/// `[node]`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct NodeSection {
    pub(crate) shards: u16,
    pub(crate) io_uring: IoUring,
    pub(crate) http_threads: usize,
}

/// Whether io_uring is used.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum IoUring {
    /// Where the kernel permits it.
    Auto,
    /// Never.
    Off,
}

/// `[engine]`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct EngineSection {
    pub(crate) kind: EngineKind,
    pub(crate) history_bytes_max: usize,
    pub(crate) channels_max: usize,
    pub(crate) ids_per_channel_max: usize,
    pub(crate) marks_max: usize,
    #[serde(rename = "idle_channel_ttl_s", deserialize_with = "seconds")]
    pub(crate) idle_channel_ttl: Duration,
    pub(crate) redis: RedisSection,
}

/// The engines there are.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EngineKind {
    /// Within this process.
    Memory,
    /// Shared by any number of nodes.
    Redis,
}

/// `[drain]`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Drain {
    #[serde(rename = "ready_delay_s", deserialize_with = "seconds")]
    pub(crate) ready_delay: Duration,
    #[serde(rename = "window_s", deserialize_with = "seconds")]
    pub(crate) window: Duration,
    #[serde(rename = "deadline_s", deserialize_with = "seconds")]
    pub(crate) deadline: Duration,
}

/// `[log]`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Log {
    pub(crate) format: LogFormat,
    pub(crate) level: String,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// An object a line.
    Json,
}

macro_rules! limits_section {
    ($($field:ident: $kind:ty),* ; $($duration:ident = $key:literal),* $(,)?) => {
        /// `[limits]`.
        #[derive(Clone, Debug, Deserialize)]
        pub(crate) struct LimitsSection {
            $($field: $kind,)*
            $(#[serde(rename = $key, deserialize_with = "seconds")] $duration: Duration,)*
        }

        impl LimitsSection {
            /// The limits that it describes.
            pub(crate) fn limits(&self) -> Limits {
                Limits { $($field: self.$field,)* $($duration: self.$duration,)* }
            }
        }
    };
}

// The compiler refuses this where a field of `Limits` is missing.
limits_section! {
    sessions_max: usize,
    sessions_per_user_max: usize,
    openings_per_minute_per_ip_max: u32,
    opening_burst_per_ip_max: u32,
    openings_per_minute_per_user_max: u32,
    opening_burst_per_user_max: u32,
    subscriptions_per_session_max: usize,
    command_bytes_max: usize,
    fragments_max: u32,
    commands_per_body_max: usize,
    payload_bytes_max: usize,
    publication_id_bytes_max: usize,
    tags_max: usize,
    tags_bytes_max: usize,
    outbox_bytes_max: usize,
    header_bytes_max: usize,
    headers_max: usize,
    cursor_bytes_max: usize,
    streams_per_connection_max: u32,
    unsent_bytes_max: u32,
    refusals_lingering_max: usize,
    commands_per_second_max: u32,
    command_burst_max: u32,
    commands_per_minute_per_user_max: u32,
    command_burst_per_user_max: u32,
    history_page_max: u32,
    presence_page_max: u32,
    mailbox_len_max: usize,
    fan_out_slice_max: usize,
    sync_parked_max: usize,
    deflate_bytes_min: usize,
    watch_queue_max: usize,
    opening_channels_max: usize,
    token_bytes_max: usize,
    info_bytes_max: usize,
    api_message_bytes_max: usize,
    batch_items_max: usize,
    publish_window_items_max: usize,
    publish_window_bytes_max: usize,
    channels_page_max: usize,
    sessions_page_max: usize,
    count_channels_max: usize,
    api_connections_max: usize,
    api_calls_max: usize,
    api_calls_per_connection_max: u32;
    outbox_age_max = "outbox_age_max_s",
    handshake_timeout = "handshake_timeout_s",
    ping_interval = "ping_interval_s",
    pong_timeout = "pong_timeout_s",
    close_timeout = "close_timeout_s",
    tcp_user_timeout = "tcp_user_timeout_s",
    poll_wait_max = "poll_wait_max_s",
    poll_linger = "poll_linger_s",
    expiring_notice = "expiring_notice_s",
    expiry_grace = "expiry_grace_s",
    engine_timeout = "engine_timeout_s",
    api_call_timeout = "api_call_timeout_s",
    api_shutdown_grace = "api_shutdown_grace_s",
}

pub(super) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom)
}
