//! `[engine.redis]`: its shape, and the Redis engine's configuration that it describes.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use switchboard_engine_redis::{
    Address, Password, Reconnect, RedisConfig, TlsConfig, TlsIdentity, Topology,
};

use super::file::{EngineSection, seconds};
use super::secret::Secret;
use super::settings::Reader;

const SECTION: &str = "engine.redis";

/// `[engine.redis]`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RedisSection {
    topology: TopologyName,
    servers: Vec<String>,
    user: Option<String>,
    password: Option<Secret>,
    password_file: Option<PathBuf>,
    database: u8,
    sentinel_service: Option<String>,
    sentinel_user: Option<String>,
    sentinel_password: Option<Secret>,
    tls_ca_file: Option<PathBuf>,
    tls_cert_file: Option<PathBuf>,
    tls_key_file: Option<PathBuf>,
    prefix: String,
    partitions: u16,
    #[serde(rename = "connect_timeout_s", deserialize_with = "seconds")]
    connect_timeout: Duration,
    #[serde(rename = "reconnect_delay_min_s", deserialize_with = "seconds")]
    reconnect_delay_min: Duration,
    #[serde(rename = "reconnect_delay_max_s", deserialize_with = "seconds")]
    reconnect_delay_max: Duration,
    commands_queued_max: usize,
    publication_bytes_queued_max: usize,
    #[serde(rename = "canary_interval_s", deserialize_with = "seconds")]
    canary_interval: Duration,
    #[serde(rename = "linger_s", deserialize_with = "seconds")]
    linger: Duration,
    #[serde(rename = "compare_interval_s", deserialize_with = "seconds")]
    compare_interval: Duration,
    channels_followed_max: usize,
    deliveries_queued_max: usize,
    delivery_bytes_queued_max: usize,
    #[serde(rename = "lease_s", deserialize_with = "seconds")]
    lease: Duration,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum TopologyName {
    Standalone,
    Sentinel,
    Cluster,
}

/// Whether what is said to Redis stays on this machine.
pub(super) fn is_local(config: &RedisConfig) -> bool {
    let addresses = match &config.topology {
        Topology::Standalone(server) => std::slice::from_ref(server),
        Topology::Sentinel { sentinels, .. } => sentinels,
        Topology::Cluster(seeds) => seeds,
    };
    addresses.iter().all(|Address { host, .. }| {
        let ip = host.parse::<IpAddr>();
        host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
    })
}

impl Reader<'_> {
    /// The Redis engine's configuration; nothing where something is wrong, which the reader notes.
    pub(super) fn redis(
        &mut self,
        engine: &EngineSection,
        operation_timeout: Duration,
    ) -> Option<RedisConfig> {
        let section = &engine.redis;
        if section.reconnect_delay_max < section.reconnect_delay_min {
            let message = "must be reconnect_delay_min_s at least";
            self.refuse(&at("reconnect_delay_max_s"), message);
        }
        let topology = self.topology(section)?;
        let config = RedisConfig {
            user: section.user.clone(),
            password: self.password(section),
            database: (section.database > 0).then_some(section.database),
            tls: self.redis_tls(section),
            prefix: section.prefix.clone(),
            partitions: section.partitions,
            operation_timeout,
            connect_timeout: section.connect_timeout,
            reconnect: Reconnect {
                delay_min: section.reconnect_delay_min,
                delay_max: section.reconnect_delay_max,
            },
            commands_queued_max: section.commands_queued_max,
            publication_bytes_queued_max: section.publication_bytes_queued_max,
            canary_interval: section.canary_interval,
            linger: section.linger,
            compare_interval: section.compare_interval,
            channels_followed_max: section.channels_followed_max,
            deliveries_queued_max: section.deliveries_queued_max,
            delivery_bytes_queued_max: section.delivery_bytes_queued_max,
            idle_channel_ttl: engine.idle_channel_ttl,
            lease: section.lease,
            ..RedisConfig::new(topology)
        };
        self.take(SECTION, config.check())?;
        Some(config)
    }

    fn topology(&mut self, section: &RedisSection) -> Option<Topology> {
        let addresses: Vec<Address> = section
            .servers
            .iter()
            .filter_map(|text| self.take(&at("servers"), address(text)))
            .collect();
        let mut alone = |name: &str, is_set: bool| {
            if is_set && section.topology != TopologyName::Sentinel {
                self.refuse(&at(name), "is for topology = \"sentinel\"");
            }
        };
        alone("sentinel_service", section.sentinel_service.is_some());
        alone("sentinel_user", section.sentinel_user.is_some());
        alone("sentinel_password", section.sentinel_password.is_some());
        if addresses.len() != section.servers.len() {
            return None;
        }
        match section.topology {
            TopologyName::Standalone => {
                if let Ok([server]) = <[Address; 1]>::try_from(addresses) {
                    return Some(Topology::Standalone(server));
                }
                let message = "topology = \"standalone\" has one server";
                self.refuse(&at("servers"), message);
                None
            }
            TopologyName::Sentinel => {
                let Some(service) = section.sentinel_service.clone() else {
                    let message =
                        "topology = \"sentinel\" needs it: the name in `sentinel monitor NAME …`";
                    self.refuse(&at("sentinel_service"), message);
                    return None;
                };
                let password = section.sentinel_password.as_ref();
                Some(Topology::Sentinel {
                    sentinels: addresses,
                    service,
                    user: section.sentinel_user.clone(),
                    password: password.map(|secret| Password(secret.expose().to_owned())),
                })
            }
            TopologyName::Cluster => {
                if section.database > 0 {
                    self.refuse(&at("database"), "a Cluster has only database 0");
                }
                Some(Topology::Cluster(addresses))
            }
        }
    }

    fn password(&mut self, section: &RedisSection) -> Option<Password> {
        match (&section.password, &section.password_file) {
            (Some(secret), None) => Some(Password(secret.expose().to_owned())),
            (None, Some(file)) => self
                .text(&at("password_file"), file)
                .map(|text| Password(text.trim().to_owned())),
            (None, None) => None,
            (Some(_), Some(_)) => {
                self.refuse(&at("password_file"), "password is set as well: one of them");
                None
            }
        }
    }

    fn redis_tls(&mut self, section: &RedisSection) -> Option<TlsConfig> {
        let own = self.tls(
            SECTION,
            section.tls_cert_file.as_ref(),
            section.tls_key_file.as_ref(),
        );
        let Some(authorities) = &section.tls_ca_file else {
            if own.is_some() {
                let message = "tls_cert_file and tls_key_file need it";
                self.refuse(&at("tls_ca_file"), message);
            }
            return None;
        };
        Some(TlsConfig {
            authorities_pem: self.text(&at("tls_ca_file"), authorities)?.into(),
            identity: own.map(|files| TlsIdentity {
                chain_pem: files.cert.into(),
                key_pem: files.key.into(),
            }),
        })
    }
}

fn at(name: &str) -> String {
    format!("{SECTION}.{name}")
}

fn address(text: &str) -> Result<Address, String> {
    let refused = || format!("{text:?} is no host:port");
    let (host, port) = text.rsplit_once(':').ok_or_else(refused)?;
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let port: u16 = port.parse().map_err(|_| refused())?;
    if host.is_empty() || port == 0 {
        return Err(refused());
    }
    Ok(Address::new(host, port))
}
