//! A hub under test: a release build with the feature `bench`, configured as a hub in service is (tokens, history,
//! metrics), on free ports, ended by its process id.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::Process;

const TOKEN_SECRET: &str = "a secret that only this machine's benchmark knows";
pub(crate) const API_KEY: &str = "sk_bench_0123456789abcdef0123456789abcdef";
const START_MAX: Duration = Duration::from_secs(20);

/// A running hub.
pub(crate) struct Hub {
    pub(crate) clients: SocketAddr,
    pub(crate) api: SocketAddr,
    admin: SocketAddr,
    /// From the start of the process to the first 200 of `/livez`.
    pub(crate) started_in: Duration,
    child: Child,
    http: reqwest::Client,
    /// Removed with the hub.
    _directory: TempDir,
}

/// The configuration that all scenarios start from: history on, slow consumers closed, limits out of the way.
const CONFIGURATION: &str = r#"
[clients]
listen = "127.0.0.1:0"

[api]
listen = "127.0.0.1:0"

[[api.keys]]
name = "bench"
secret = "{api_key}"
scopes = ["publish", "read", "sessions", "tokens", "admin"]

[admin]
listen = "127.0.0.1:0"

[[tokens.keys]]
id = "bench"
algorithms = ["HS256"]
secret = "{token_secret}"

[limits]
commands_per_second_max = 0

[namespaces.b]
history_count = 100

[namespaces.quiet]
history_count = 0

[drain]
ready_delay_s = 0
window_s = 0
deadline_s = 5

[log]
level = "warn"
"#;

impl Hub {
    /// Starts a hub.
    pub(crate) async fn start(binary: &Path) -> Result<Self> {
        Self::start_with(binary, "").await
    }

    /// Starts a hub with more sections in its configuration.
    pub(crate) async fn start_with(binary: &Path, more: &str) -> Result<Self> {
        let directory = TempDir::with_prefix("switchboard-bench-")?;
        let configuration = CONFIGURATION
            .replace("{api_key}", API_KEY)
            .replace("{token_secret}", TOKEN_SECRET)
            + more;
        fs::write(directory.path().join("hub.toml"), configuration)?;
        let log = File::create(directory.path().join("log"))?;
        let begun = Instant::now();
        let mut child = Command::new(binary)
            .args([
                "serve",
                "--config",
                "hub.toml",
                "--ready-file",
                "ready.json",
            ])
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} cannot be started", binary.display()))?;
        let http = reqwest::Client::builder().no_proxy().http1_only().build()?;
        let path = directory.path().join("ready.json");
        let ready: Value = loop {
            let text = fs::read_to_string(&path).unwrap_or_default();
            if let Ok(ready) = serde_json::from_str(&text) {
                break ready;
            }
            if child.try_wait()?.is_some() || begun.elapsed() > START_MAX {
                let log = fs::read_to_string(directory.path().join("log"))?;
                bail!("the hub did not start:\n{log}");
            }
            tokio::time::sleep(Duration::from_micros(500)).await;
        };
        let address = |name: &str| -> Result<SocketAddr> {
            Ok(ready[name].as_str().context("ready file")?.parse()?)
        };
        let admin = address("admin")?;
        let alive = http.get(format!("http://{admin}/livez")).send().await?;
        ensure!(alive.status().is_success(), "/livez: {}", alive.status());
        let started_in = begun.elapsed();
        // A node with others comes in once it has heard from Redis.
        let ready_at = format!("http://{admin}/readyz");
        while !http.get(&ready_at).send().await?.status().is_success() {
            ensure!(begun.elapsed() < START_MAX, "the hub does not get ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Self {
            clients: address("clients")?,
            api: address("grpc")?,
            admin,
            started_in,
            child,
            http,
            _directory: directory,
        })
    }

    /// What it costs.
    pub(crate) fn process(&self) -> Process {
        Process {
            pid: self.child.id(),
        }
    }

    /// Writes `frame` to every session's socket by a plain loop in the hub's own shards; says how many sends that were.
    pub(crate) async fn bare(&self, frame: &[u8], rounds: u32) -> Result<u64> {
        let url = format!("http://{}/bench/bare?rounds={rounds}", self.admin);
        let answer = self.http.post(url).body(frame.to_vec()).send().await?;
        ensure!(
            answer.status().is_success(),
            "no bare loop in this hub: build it with `--features bench`"
        );
        let text = answer.text().await?;
        let (sends, short) = text.split_once(' ').context("the bare loop's answer")?;
        ensure!(
            short == "0",
            "{short} sends of the bare loop did not fit their sockets"
        );
        Ok(sends.parse()?)
    }

    /// How often its shards have called send.
    pub(crate) async fn send_calls(&self) -> Result<u64> {
        let url = format!("http://{}/bench/sends", self.admin);
        Ok(self.http.get(url).send().await?.text().await?.parse()?)
    }

    /// Checks that so many sessions find a place.
    pub(crate) async fn check_room(&self, sessions: usize) -> Result<()> {
        let max = self.metric("switchboard_sessions_max").await?;
        ensure!(
            sessions > 0 && sessions as f64 <= max,
            "{sessions} sessions, where this hub takes 1 to {max}: its hard limit on descriptors bounds them (`ulimit -Hn`); \
             raise that, or take fewer sessions"
        );
        Ok(())
    }

    /// The value of a metric without labels, or with exactly these.
    pub(crate) async fn metric(&self, name: &str) -> Result<f64> {
        let url = format!("http://{}/metrics", self.admin);
        let text = self.http.get(url).send().await?.text().await?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line
            .with_context(|| format!("no metric {name}"))?
            .trim()
            .parse()?)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A token that may do everything, for an hour.
pub(crate) fn token(user: &str) -> Result<String> {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let claims = json!({
        "sub": user,
        "exp": now_s + 3600,
        "switchboard": {"subscribe": ["*"], "publish": ["*"], "presence": ["*"], "history": ["*"]},
    });
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some("bench".to_owned());
    let key = EncodingKey::from_secret(TOKEN_SECRET.as_bytes());
    Ok(jsonwebtoken::encode(&header, &claims, &key)?)
}
