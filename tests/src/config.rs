//! The configuration of a test's hub: sensible for tests, with anything overridden.

use anyhow::{Context, Result};
use toml::{Table, Value};

/// The issuer that tokens of tests name.
pub const ISSUER: &str = "https://issuer.test";
/// The audience that tokens of tests name.
pub const AUDIENCE: &str = "switchboard-tests";
/// The only origin that may use the cookie.
pub const ORIGIN: &str = "https://app.example.com";
/// The cookie that carries tokens.
pub const COOKIE: &str = "switchboard_session";

/// What a hub is started with.
#[derive(Clone, Debug)]
pub struct Config {
    table: Table,
}

impl Config {
    /// The base that all tests start from. Namespaces: `chat` (history), `room` (history, presence, joins and leaves are
    /// sent), `tiny` (three publications of history), `inbox` (durable), `live` (no history), and for slow consumers `close`, `drop`, `keep`.
    pub(crate) fn base(api_secret: &str, token_secret: &str) -> Self {
        let text = format!(
            r#"
[clients]
listen = "127.0.0.1:0"
allowed_origins = ["{ORIGIN}"]
cookie_name = "{COOKIE}"

[api]
listen = "127.0.0.1:0"

[[api.keys]]
name = "tests"
secret = "{api_secret}"
scopes = ["publish", "read", "sessions", "tokens", "admin"]

[admin]
listen = "127.0.0.1:0"

[tokens]
issuer = ["{ISSUER}"]
audience = ["{AUDIENCE}"]
leeway_s = 0

[[tokens.keys]]
id = "hs"
algorithms = ["HS256"]
secret = "{token_secret}"

[namespaces.chat]
history_count = 10_000
history_bytes = 67_108_864

[namespaces.room]
presence = true
join_leave = true
presence_grace_s = 0.3

[namespaces.tiny]
history_count = 3

[namespaces.inbox]
durable = true
history_count = 100_000
history_bytes = 67_108_864

[namespaces.live]
history_count = 0

[namespaces.close]
slow_consumer = "close"
history_count = 10_000
history_bytes = 67_108_864

[namespaces.drop]
slow_consumer = "drop_oldest"
history_count = 10_000
history_bytes = 67_108_864

[namespaces.keep]
slow_consumer = "keep_latest"
history_count = 10_000
history_bytes = 67_108_864

[drain]
ready_delay_s = 0.2
window_s = 1
deadline_s = 5

[log]
format = "json"
level = "info,switchboard=debug"
"#
        );
        Self {
            table: text.parse().expect("the base is TOML"),
        }
    }

    /// Sets one option by its path, such as `limits.ping_interval_s`; the value is TOML.
    ///
    /// # Panics
    /// The value is no TOML, or the path leads through something that is no section.
    pub fn set(&mut self, path: &str, value: &str) -> &mut Self {
        let mut parsed: Table = format!("value = {value}")
            .parse()
            .expect("the value is TOML");
        let value = parsed.remove("value").expect("it was just written");
        let (above, key) = path.rsplit_once('.').expect("a path has a section");
        let mut table = &mut self.table;
        for step in above.split('.') {
            let entry = table
                .entry(step)
                .or_insert_with(|| Value::Table(Table::new()));
            table = entry.as_table_mut().expect("a section");
        }
        table.insert(key.to_owned(), value);
        self
    }

    /// Appends an entry to a list of sections, such as `tokens.keys`; the entry is a TOML table's body.
    ///
    /// # Panics
    /// The entry is no TOML, or the path names no list.
    pub fn push(&mut self, path: &str, entry: &str) -> &mut Self {
        let entry: Table = entry.parse().expect("the entry is TOML");
        let (section, list) = path.split_once('.').expect("a path has a section");
        let list = self.table[section]
            .as_table_mut()
            .expect("a section")
            .entry(list);
        let list = list
            .or_insert_with(|| Value::Array(Vec::new()))
            .as_array_mut()
            .expect("a list");
        list.push(Value::Table(entry));
        self
    }

    pub(crate) fn text(&self) -> Result<String> {
        toml::to_string(&self.table).context("the configuration cannot be written as TOML")
    }
}
