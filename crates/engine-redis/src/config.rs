//! What the engine is told: plain structs, no files and no environment.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::connect::check_tls;

/// Everything that the Redis engine can be told. Times and bounds have defaults; only the servers must be named.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    /// Where Redis is.
    pub topology: Topology,
    /// The user of an ACL; nothing for the default user. With the prefix `sb` it needs
    /// `~sb* &sb* -@all +@read +@write +@scripting +@pubsub +@connection +time +info`, besides `+role` under Sentinels and
    /// `+cluster` in a Cluster.
    pub user: Option<String>,
    /// The password of that user.
    pub password: Option<Password>,
    /// The database number. A Cluster has only 0.
    pub database: Option<u8>,
    /// TLS to the servers and Sentinels; nothing for plain TCP.
    pub tls: Option<TlsConfig>,
    /// What every key and pub/sub channel begins with, so that several hubs can share a Redis. Letters and digits.
    pub prefix: String,
    /// Into how many partitions channels are hashed. The keys of a partition live in one hash slot. All nodes must have the same.
    pub partitions: u16,
    /// How long an operation may take.
    pub operation_timeout: Duration,
    /// How long making a connection may take, TLS and authentication included.
    pub connect_timeout: Duration,
    /// How long to wait before connections are made anew.
    pub reconnect: Reconnect,
    /// Commands that may wait to be written, and publications that may wait for their answer; a further one is refused.
    pub commands_queued_max: usize,
    /// Bytes of publications that may wait for their answer; what would be more is refused.
    pub publication_bytes_queued_max: usize,
    /// How often a node publishes to itself on each shard's pub/sub path. Three missed make the path deaf, and a deaf path
    /// must be told within three seconds: so less than a second.
    pub canary_interval: Duration,
    /// How long a channel that nobody follows any more stays subscribed, in case somebody comes back.
    pub linger: Duration,
    /// How often the positions of followed channels are compared with what Redis has, in case a last publication was lost; give
    /// or take a quarter.
    pub compare_interval: Duration,
    /// Channels followed at once; a further one is refused.
    pub channels_followed_max: usize,
    /// Deliveries that may wait for the node to have room. Above it some are dropped, the node is told, and refills.
    pub deliveries_queued_max: usize,
    /// Bytes of deliveries that may wait for the node to have room.
    pub delivery_bytes_queued_max: usize,
    /// How long a channel without publications, members or followers keeps its position.
    pub idle_channel_ttl: Duration,
    /// How long a node's members stay after the last sign of it. Renewed every third of it.
    pub lease: Duration,
}

/// Where Redis is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topology {
    /// One server.
    Standalone(Address),
    /// A primary with replicas, and Sentinels that know which one it is.
    Sentinel {
        /// Some or all of the Sentinels.
        sentinels: Vec<Address>,
        /// The name under which they watch the primary.
        service: String,
        /// The user for the Sentinels themselves. It needs `-@all +auth +hello +info +client|id +sentinel|get-master-addr-by-name
        /// +sentinel|sentinels`.
        user: Option<String>,
        /// The password for the Sentinels themselves.
        password: Option<Password>,
    },
    /// A Redis Cluster.
    Cluster(Vec<Address>),
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// A name or an IP address.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Address {
    /// Names a server.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A password, never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// TLS to Redis.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// The certificates of the authorities that servers are checked against, PEM.
    pub authorities_pem: Bytes,
    /// What the engine shows for itself where servers ask for it (`tls-auth-clients`).
    pub identity: Option<TlsIdentity>,
}

/// A client certificate.
#[derive(Clone)]
pub struct TlsIdentity {
    /// The certificate and those between it and its authority, PEM.
    pub chain_pem: Bytes,
    /// Its private key, PEM.
    pub key_pem: Bytes,
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// How long to wait before connections are made anew: doubled after each failure, with full jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconnect {
    /// The bound on the first wait.
    pub delay_min: Duration,
    /// The bound on every wait.
    pub delay_max: Duration,
}

impl RedisConfig {
    /// The defaults for these servers.
    pub fn new(topology: Topology) -> Self {
        Self {
            topology,
            user: None,
            password: None,
            database: None,
            tls: None,
            prefix: "sb".into(),
            partitions: 512,
            operation_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(2),
            reconnect: Reconnect {
                delay_min: Duration::from_millis(50),
                delay_max: Duration::from_secs(1),
            },
            commands_queued_max: 65_536,
            publication_bytes_queued_max: 64 * 1024 * 1024,
            canary_interval: Duration::from_millis(700),
            linger: Duration::from_secs(10),
            compare_interval: Duration::from_secs(30),
            channels_followed_max: 10_000_000,
            deliveries_queued_max: 65_536,
            delivery_bytes_queued_max: 64 * 1024 * 1024,
            idle_channel_ttl: Duration::from_hours(24),
            lease: Duration::from_secs(10),
        }
    }

    /// Checks what the types do not: what passes can be started with.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn check(&self) -> Result<(), ConfigError> {
        let servers = match &self.topology {
            Topology::Standalone(_) => 1,
            Topology::Sentinel { sentinels, .. } => sentinels.len(),
            Topology::Cluster(seeds) => seeds.len(),
        };
        if servers == 0 {
            return Err(ConfigError::NoServers);
        }
        if self.prefix.is_empty() || !self.prefix.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(ConfigError::Prefix);
        }
        if self.partitions == 0 || self.partitions > PARTITIONS_MAX {
            return Err(ConfigError::Partitions);
        }
        let millisecond = Duration::from_millis(1);
        let times = [
            self.operation_timeout,
            self.connect_timeout,
            self.canary_interval,
            self.compare_interval,
            self.idle_channel_ttl,
            self.lease,
        ];
        if times.iter().any(|&time| time < millisecond) {
            return Err(ConfigError::Time);
        }
        self.tls.as_ref().map(check_tls).transpose()?;
        Ok(())
    }
}

/// More than hash slots would put several partitions into one slot for nothing.
const PARTITIONS_MAX: u16 = 16_384;

/// Why a configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No server is named.
    #[error("no redis server is named")]
    NoServers,
    /// The prefix would break keys.
    #[error("the redis prefix must be letters and digits")]
    Prefix,
    /// There are no partitions, or too many.
    #[error("redis partitions must be between 1 and 16384")]
    Partitions,
    /// A time is zero.
    #[error("a time of the redis engine is zero")]
    Time,
    /// The PEM texts are none, or do not fit together.
    #[error("the TLS settings for redis cannot be used: {0}")]
    Tls(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> RedisConfig {
        RedisConfig::new(Topology::Standalone(Address::new("localhost", 6379)))
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut config = config();
        config.password = Some(Password("hunter2".into()));
        config.tls = Some(TlsConfig {
            authorities_pem: Bytes::new(),
            identity: Some(TlsIdentity {
                chain_pem: Bytes::new(),
                key_pem: Bytes::from_static(b"hunter2"),
            }),
        });
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn what_cannot_work_is_refused() {
        assert_eq!(config().check(), Ok(()));
        let refused = |change: fn(&mut RedisConfig)| {
            let mut config = config();
            change(&mut config);
            config.check().expect_err("refused")
        };
        let no_seeds = |config: &mut RedisConfig| config.topology = Topology::Cluster(Vec::new());
        assert_eq!(refused(no_seeds), ConfigError::NoServers);
        assert_eq!(refused(|c| c.prefix = "a{".into()), ConfigError::Prefix);
        assert_eq!(refused(|c| c.partitions = 0), ConfigError::Partitions);
        assert_eq!(refused(|c| c.lease = Duration::ZERO), ConfigError::Time);
    }
}
