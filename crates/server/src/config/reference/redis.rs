//! `[engine.redis]`: where Redis is, how it is spoken to, and the Redis engine's times and bounds.

use super::{DAY_S, GIB, MIB, number, option, seconds};
use crate::config::options::Preset::{Is, Unset};
use crate::config::options::{Kind, Setting};

/// The options.
pub(super) const REDIS: &[Setting] = &[
    option(
        "topology",
        Kind::Choice(&["standalone", "sentinel", "cluster"]),
        Is("\"standalone\""),
        "standalone: one server. sentinel: Sentinels know the primary. cluster: a Redis Cluster.",
    ),
    option(
        "servers",
        Kind::TextList,
        Is("[\"127.0.0.1:6379\"]"),
        "host:port of the server, of the Sentinels, or of some servers of the Cluster.",
    ),
    option(
        "user",
        Kind::Text,
        Unset,
        "The user of an ACL. It needs ~sb* &sb* -@all +@read +@write +@scripting +@pubsub +@connection +time +info, besides +role under Sentinels and +cluster in a Cluster; sb is the prefix. Without it the default user.",
    ),
    option(
        "password",
        Kind::Secret,
        Unset,
        "The password of that user.",
    ),
    option(
        "password_file",
        Kind::File,
        Unset,
        "A file that holds the password, instead of password.",
    ),
    option(
        "database",
        number(0, 255, "number"),
        Is("0"),
        "The database. A Cluster has only 0.",
    ),
    option(
        "sentinel_service",
        Kind::Text,
        Unset,
        "The name under which Sentinels watch the primary.",
    ),
    option(
        "sentinel_user",
        Kind::Text,
        Unset,
        "The user for the Sentinels themselves. It needs -@all +auth +hello +info +client|id +sentinel|get-master-addr-by-name +sentinel|sentinels.",
    ),
    option(
        "sentinel_password",
        Kind::Secret,
        Unset,
        "The password for the Sentinels themselves.",
    ),
    option(
        "tls_ca_file",
        Kind::File,
        Unset,
        "Certificates of the authorities that servers are checked against, PEM. With it TLS is spoken, to Sentinels as well.",
    ),
    option(
        "tls_cert_file",
        Kind::File,
        Unset,
        "Certificate chain shown to servers that ask for one, PEM.",
    ),
    option(
        "tls_key_file",
        Kind::File,
        Unset,
        "Private key of that certificate, PEM, not encrypted.",
    ),
    option(
        "prefix",
        Kind::Text,
        Is("\"sb\""),
        "What every key begins with, letters and digits: hubs that share a Redis have different ones, nodes of a hub the same.",
    ),
    option(
        "partitions",
        number(1, 16_384, "partitions"),
        Is("512"),
        "Into how many parts channels are hashed; a part lives in one slot of a Cluster. All nodes must have the same.",
    ),
    option(
        "connect_timeout_s",
        seconds(0.05, 60.0),
        Is("2"),
        "How long making a connection may take, TLS and authentication included.",
    ),
    option(
        "reconnect_delay_min_s",
        seconds(0.001, 60.0),
        Is("0.05"),
        "The bound on the first wait before a connection is made anew; doubled after each failure, with full jitter.",
    ),
    option(
        "reconnect_delay_max_s",
        seconds(0.001, 600.0),
        Is("1"),
        "The bound on every such wait.",
    ),
    option(
        "commands_queued_max",
        number(1, 100_000_000, "commands"),
        Is("65_536"),
        "Commands that may wait to be written, and publications that may wait for their answer; a further one is refused.",
    ),
    option(
        "publication_bytes_queued_max",
        number(MIB, 64 * GIB, "bytes"),
        Is("67_108_864"),
        "Bytes of publications that may wait for their answer; what would be more is refused.",
    ),
    option(
        "canary_interval_s",
        seconds(0.05, 0.9),
        Is("0.7"),
        "How often the node publishes to itself to know that it hears. Three missed: it is not ready, listens anew, and looks for what it missed.",
    ),
    option(
        "linger_s",
        seconds(0.0, 3600.0),
        Is("10"),
        "How long a channel that nobody follows any more stays subscribed, in case somebody comes back.",
    ),
    option(
        "compare_interval_s",
        seconds(1.0, DAY_S),
        Is("30"),
        "How often the positions of followed channels are compared with what Redis has.",
    ),
    option(
        "channels_followed_max",
        number(1, 1_000_000_000, "channels"),
        Is("10_000_000"),
        "Channels followed at once; a further one is refused.",
    ),
    option(
        "deliveries_queued_max",
        number(1, 100_000_000, "deliveries"),
        Is("65_536"),
        "Deliveries that may wait for the shards. Above it some are dropped and read again from history.",
    ),
    option(
        "delivery_bytes_queued_max",
        number(MIB, 64 * GIB, "bytes"),
        Is("67_108_864"),
        "Bytes of deliveries that may wait for the shards.",
    ),
    option(
        "lease_s",
        seconds(0.5, 3600.0),
        Is("10"),
        "How long a node's members stay after the last sign of it. Renewed every third of it.",
    ),
];
