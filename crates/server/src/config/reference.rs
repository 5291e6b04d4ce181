//! Every option: type, unit, default, range, purpose.

mod limits;
mod policy;
mod redis;

use super::options::Preset::{Is, Required, Unset};
use super::options::{Kind, Preset, Section, Setting, Shape};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;
const DAY_S: f64 = 86_400.0;

/// All sections, in the order in which they are explained.
pub(crate) const SECTIONS: &[Section] = &[
    Section {
        path: "clients",
        shape: Shape::Table,
        about: "Where browsers and apps connect: WebSocket, SSE and long poll.",
        options: &[
            option(
                "listen",
                Kind::Address,
                Is("\"127.0.0.1:8000\""),
                "Where to listen.",
            ),
            option(
                "tls_cert_file",
                Kind::File,
                Unset,
                "Certificate chain, PEM. Without it the listener speaks plain HTTP.",
            ),
            option(
                "tls_key_file",
                Kind::File,
                Unset,
                "Private key of that certificate, PEM, not encrypted.",
            ),
            option(
                "allowed_origins",
                Kind::TextList,
                Is("[]"),
                "Origins whose pages may use the cookie, and may read responses (CORS): https://app.example.com, https://*.example.com.",
            ),
            option(
                "cookie_name",
                Kind::Text,
                Unset,
                "Cookie that may hold a token. Without it cookies are not looked at.",
            ),
            option(
                "trusted_proxies",
                Kind::TextList,
                Is("[]"),
                "Addresses or networks (10.0.0.0/8) of proxies whose X-Forwarded-For is believed.",
            ),
            option(
                "compression",
                Kind::Flag,
                Is("true"),
                "Whether permessage-deflate is agreed to where a client offers it. A publication is compressed once for all.",
            ),
            option(
                "body_bytes_max",
                number(KIB, GIB, "bytes"),
                Is("262_144"),
                "The body of one POST of commands.",
            ),
            option(
                "connections_max",
                number(0, 10_000_000, "connections"),
                Is("0"),
                "Connections that speak HTTP at once, parked polls among them; open WebSockets and SSE streams are not. 0: as many as limits.sessions_max.",
            ),
        ],
    },
    Section {
        path: "clients.anonymous",
        shape: Shape::Optional,
        about: "Lets clients in without a token, with these grants. Leave the section out to ask everyone for a token.",
        options: &[
            option(
                "subscribe",
                Kind::TextList,
                Is("[]"),
                "Patterns of channels they may subscribe to.",
            ),
            option(
                "publish",
                Kind::TextList,
                Is("[]"),
                "Patterns of channels they may publish to.",
            ),
            option(
                "presence",
                Kind::TextList,
                Is("[]"),
                "Patterns of channels whose members they may list.",
            ),
            option(
                "history",
                Kind::TextList,
                Is("[]"),
                "Patterns of channels whose history they may read.",
            ),
            option(
                "channels",
                Kind::TextList,
                Is("[]"),
                "Channels they are subscribed to at once.",
            ),
        ],
    },
    Section {
        path: "api",
        shape: Shape::Table,
        about: "Where services connect: gRPC.",
        options: &[
            option(
                "listen",
                Kind::Address,
                Is("\"127.0.0.1:9000\""),
                "Where to listen.",
            ),
            option(
                "tls_cert_file",
                Kind::File,
                Unset,
                "Certificate chain, PEM. Without it the listener speaks plain HTTP/2.",
            ),
            option(
                "tls_key_file",
                Kind::File,
                Unset,
                "Private key of that certificate, PEM, not encrypted.",
            ),
            option(
                "tls_client_ca_file",
                Kind::File,
                Unset,
                "Certificates, PEM, one of which must have signed a caller's own (mutual TLS).",
            ),
        ],
    },
    Section {
        path: "api.keys",
        shape: Shape::List,
        about: "API keys: who may call, and what for. Exactly one of secret, secret_file and secret_sha256.",
        options: &[
            option("name", Kind::Text, Required, "What logs call it."),
            option(
                "secret",
                Kind::Secret,
                Unset,
                "What callers send: 16 bytes at least, no spaces.",
            ),
            option(
                "secret_file",
                Kind::File,
                Unset,
                "File that holds the secret; white space around it is passed over.",
            ),
            option(
                "secret_sha256",
                Kind::Text,
                Unset,
                "SHA-256 of the secret, 64 hex digits: printf %s SECRET | sha256sum.",
            ),
            option(
                "scopes",
                Kind::TextList,
                Required,
                "What it is for: publish, read, sessions, tokens, admin. None implies another.",
            ),
            option(
                "channels",
                Kind::TextList,
                Is("[\"*\"]"),
                "Patterns of channels it is for.",
            ),
        ],
    },
    Section {
        path: "admin",
        shape: Shape::Table,
        about: "Where operators look: /livez, /readyz, /metrics. It asks for no credentials, so keep it off public networks.",
        options: &[option(
            "listen",
            Kind::Address,
            Is("\"127.0.0.1:9100\""),
            "Where to listen.",
        )],
    },
    Section {
        path: "tokens",
        shape: Shape::Table,
        about: "How clients' tokens (JWT) are checked and issued.",
        options: &[
            option(
                "issuer",
                Kind::TextList,
                Is("[]"),
                "Issuers (iss) that are accepted; a token must name one. Empty: whoever holds a key. Issued tokens get the first.",
            ),
            option(
                "audience",
                Kind::TextList,
                Is("[]"),
                "Audiences (aud) that are ours; a token must name one. Empty: a token must name none. Issued tokens get the first.",
            ),
            option(
                "require_exp",
                Kind::Flag,
                Is("true"),
                "Whether a token must say when it expires.",
            ),
            option(
                "leeway_s",
                seconds(0.0, 300.0),
                Is("5"),
                "How far the clocks of issuer and hub may be apart.",
            ),
            option(
                "cache_len_max",
                number(0, 10_000_000, "tokens"),
                Is("10_000"),
                "Verified tokens that are remembered until they expire, about 1 KiB each.",
            ),
            option(
                "signing_key",
                Kind::Text,
                Unset,
                "Id of the key that issued tokens are signed with. Without it the first that can sign.",
            ),
            option(
                "ttl_default_s",
                seconds(1.0, 365.0 * DAY_S),
                Is("60"),
                "How long an issued token is good when the request does not say.",
            ),
            option(
                "ttl_max_s",
                seconds(1.0, 365.0 * DAY_S),
                Is("86_400"),
                "How long an issued token may be good at most.",
            ),
        ],
    },
    Section {
        path: "tokens.keys",
        shape: Shape::List,
        about: "Keys that tokens are signed with. Either secret or secret_file, or public_key_file and, to issue tokens, private_key_file.",
        options: &[
            option("id", Kind::Text, Unset, "What tokens name it by (kid)."),
            option(
                "algorithms",
                Kind::TextList,
                Is("[\"HS256\"]"),
                "What it may be used with, all of one family: HS256, RS256, PS256, ES256, EdDSA and their kin.",
            ),
            option(
                "secret",
                Kind::Secret,
                Unset,
                "Shared secret: 32 bytes at least for HS256, 48 for HS384, 64 for HS512.",
            ),
            option(
                "secret_file",
                Kind::File,
                Unset,
                "File that holds the secret; a line end after it is passed over.",
            ),
            option("public_key_file", Kind::File, Unset, "Public key, PEM."),
            option(
                "private_key_file",
                Kind::File,
                Unset,
                "Private key, PEM (PKCS #8, not encrypted).",
            ),
        ],
    },
    Section {
        path: "namespaces",
        shape: Shape::Named,
        about: "What the channels of a namespace offer: [namespaces.chat] is for chat:42 and all other chat:... channels.",
        options: policy::POLICY,
    },
    Section {
        path: "namespace_default",
        shape: Shape::Optional,
        about: "What channels of all other namespaces offer. Leave the section out to refuse them.",
        options: policy::POLICY,
    },
    Section {
        path: "limits",
        shape: Shape::Table,
        about: "Every bound of the node.",
        options: limits::LIMITS,
    },
    Section {
        path: "node",
        shape: Shape::Table,
        about: "How the process is laid out.",
        options: &[
            option(
                "shards",
                number(0, 64, "threads"),
                Is("0"),
                "Threads that hold the sessions. 0: one for each processor.",
            ),
            option(
                "io_uring",
                Kind::Choice(&["auto", "off"]),
                Is("\"auto\""),
                "Whether messages to many sockets leave in one system call. auto: where the kernel permits io_uring.",
            ),
            option(
                "http_threads",
                number(0, 256, "threads"),
                Is("0"),
                "Threads for handshakes, polls and gRPC. 0: one for each processor.",
            ),
        ],
    },
    Section {
        path: "engine",
        shape: Shape::Table,
        about: "What keeps history and presence.",
        options: &[
            option(
                "kind",
                Kind::Choice(&["memory", "redis"]),
                Is("\"memory\""),
                "memory: within this process, for a node that stands alone. redis: any number of nodes are one hub; see [engine.redis].",
            ),
            option(
                "history_bytes_max",
                number(MIB, 1024 * GIB, "bytes"),
                Is("1_073_741_824"),
                "memory: all channels' histories together; above it channels that are published to give up their oldest.",
            ),
            option(
                "channels_max",
                number(1, 1_000_000_000, "channels"),
                Is("10_000_000"),
                "memory: channels; a further one is refused. An empty one costs less than 256 bytes.",
            ),
            option(
                "ids_per_channel_max",
                number(0, 100_000_000, "ids"),
                Is("100_000"),
                "memory: publication ids remembered for a channel.",
            ),
            option(
                "marks_max",
                number(0, 1_000_000_000, "marks"),
                Is("1_000_000"),
                "memory: marks of users in durable channels; a further one is refused. One costs some 150 bytes.",
            ),
            option(
                "idle_channel_ttl_s",
                seconds(1.0, 365.0 * DAY_S),
                Is("3600"),
                "How long a channel without history, members, marks or subscribers keeps its position.",
            ),
        ],
    },
    Section {
        path: "engine.redis",
        shape: Shape::Table,
        about: "Where Redis is (7.0 or newer, or Valkey), for engine.kind = \"redis\".",
        options: redis::REDIS,
    },
    Section {
        path: "drain",
        shape: Shape::Table,
        about: "How the process ends after SIGTERM or SIGINT. A second signal ends it at once.",
        options: &[
            option(
                "ready_delay_s",
                seconds(0.0, 600.0),
                Is("5"),
                "How long it is not ready, but serves everybody, before the drain: balancers need it to look away.",
            ),
            option(
                "window_s",
                seconds(0.0, 3600.0),
                Is("15"),
                "How long the drain takes: sessions leave spread over it.",
            ),
            option(
                "deadline_s",
                seconds(0.0, 7200.0),
                Is("25"),
                "When whatever is left is cut, counted from the signal. At least ready_delay_s + window_s, better 4 s more for clients that are between two polls, and below what the supervisor allows (Kubernetes: 30 s).",
            ),
        ],
    },
    Section {
        path: "log",
        shape: Shape::Table,
        about: "Logs, on standard error.",
        options: &[
            option(
                "format",
                Kind::Choice(&["text", "json"]),
                Is("\"text\""),
                "text for people, json (an object a line) for machines.",
            ),
            option(
                "level",
                Kind::Text,
                Is("\"info\""),
                "error, warn, info, debug or trace; or directives such as info,switchboard_node=debug.",
            ),
        ],
    },
];

const fn option(name: &'static str, kind: Kind, default: Preset, about: &'static str) -> Setting {
    Setting {
        name,
        kind,
        default,
        about,
    }
}

const fn number(min: u64, max: u64, unit: &'static str) -> Kind {
    Kind::Number { min, max, unit }
}

const fn seconds(min: f64, max: f64) -> Kind {
    Kind::Seconds { min, max }
}
