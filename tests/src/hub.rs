//! One `switchboard` process a test: started with a configuration of its own, killed by its id, its log looked through at
//! the end.

mod development;
mod shipped;

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::config::Config;
use crate::metrics::Metrics;
use crate::redis::Redis;
use crate::secrets::Secrets;
use crate::services::Services;
use crate::tokens::{Claims, Minter};
use crate::waiting::{SOON, until};
use crate::{Client, Opening, Transport, tools};

const ANY_PORT: &str = "127.0.0.1:0";

/// A running hub.
#[derive(Debug)]
pub struct Hub {
    /// Where clients connect.
    pub clients: SocketAddr,
    /// Where services connect.
    pub api: SocketAddr,
    /// Where operators look.
    pub admin: SocketAddr,
    /// Signs tokens that this hub accepts.
    pub minter: Minter,
    /// What its log must not show.
    pub secrets: Secrets,
    /// An HTTP client that goes through no proxy.
    pub http: reqwest::Client,
    /// The secret of the API key `tests`.
    pub api_key: String,
    token_secret: String,
    child: Child,
    directory: TempDir,
    /// The engine's server, where [`ENGINE`] asks for one: a hub of a test that is about something else has its own.
    pub redis: Option<Redis>,
    /// Its log is not told at its end: whoever uses it is no test, whose output is shown only when it fails.
    pub quiet: bool,
}

/// The variable that says which engine hubs run on that do not care: `redis`, or memory.
pub const ENGINE: &str = "SWITCHBOARD_TEST_ENGINE";

impl Hub {
    /// Starts a hub with the base configuration.
    ///
    /// # Errors
    /// It did not get ready.
    pub async fn start() -> Result<Self> {
        Self::start_with(|_| {}).await
    }

    /// Starts a hub with a changed configuration.
    ///
    /// # Errors
    /// It did not get ready; the error has its log.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Result<Self> {
        Self::start_within(None, |config, _| {
            change(config);
            Ok(())
        })
        .await
    }

    /// Starts a hub that may have so many descriptors, with a changed configuration; files that it names are written to
    /// the directory.
    ///
    /// # Errors
    /// It did not get ready; the error has its log.
    pub async fn start_within(
        descriptors_max: Option<u32>,
        change: impl FnOnce(&mut Config, &Path) -> Result<()>,
    ) -> Result<Self> {
        let own = (random_secret(), random_secret());
        if std::env::var_os(ENGINE).is_none_or(|engine| engine != "redis") {
            return Self::start_as(own, descriptors_max, change).await;
        }
        let redis = Redis::start().await?;
        let mut hub = Self::start_as(own, descriptors_max, |config, directory| {
            redis.engine_of(config);
            change(config, directory)
        })
        .await?;
        hub.redis = Some(redis);
        Ok(hub)
    }

    /// Starts another node that knows the same tokens and the same API key.
    ///
    /// # Errors
    /// It did not get ready; the error has its log.
    pub async fn start_beside(&self, change: impl FnOnce(&mut Config)) -> Result<Self> {
        let shared = (self.api_key.clone(), self.token_secret.clone());
        Self::start_as(shared, None, |config, _| {
            change(config);
            Ok(())
        })
        .await
    }

    async fn start_as(
        (api_key, token_secret): (String, String),
        descriptors_max: Option<u32>,
        change: impl FnOnce(&mut Config, &Path) -> Result<()>,
    ) -> Result<Self> {
        let secrets = Secrets::default();
        secrets.add(&api_key);
        secrets.add(&token_secret);
        let mut config = Config::base(&api_key, &token_secret);
        let directory = TempDir::with_prefix("switchboard-test-")?;
        change(&mut config, directory.path())?;
        fs::write(directory.path().join("hub.toml"), config.text()?)?;
        let minter = Minter::new("hs", token_secret.as_bytes(), secrets.clone());
        let mut hub = Self::run(
            directory,
            &["serve", "--config", "hub.toml"],
            &[],
            descriptors_max,
            minter,
            secrets,
            api_key,
        )
        .await?;
        hub.token_secret = token_secret;
        Ok(hub)
    }

    async fn run(
        directory: TempDir,
        arguments: &[&str],
        environment: &[(String, String)],
        descriptors_max: Option<u32>,
        minter: Minter,
        secrets: Secrets,
        api_key: String,
    ) -> Result<Self> {
        let log = File::create(directory.path().join("log"))?;
        let mut command = match descriptors_max {
            None => Command::new(tools::hub_binary()?),
            Some(max) => {
                let mut shell = Command::new("sh");
                // Both the soft and the hard limit: the hub raises the one to the other.
                let script = format!("ulimit -n {max} && exec \"$0\" \"$@\"");
                shell.args(["-c", &script]).arg(tools::hub_binary()?);
                shell
            }
        };
        command
            .args(arguments)
            .args(["--ready-file", "ready.json"])
            .current_dir(directory.path())
            .env("SWITCHBOARD_STATE_DIR", directory.path())
            .envs(environment.iter().cloned())
            .stdin(Stdio::null())
            // Development mode greets a person there, with a token to play with.
            .stdout(File::create(directory.path().join("greeting"))?)
            .stderr(log);
        let child = command.spawn();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        // No feature of reqwest chooses one; a second choice is the same.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().http1_only().build()?;
        let child = child.context("the hub cannot be started")?;
        let mut hub = Self {
            clients: nowhere,
            api: nowhere,
            admin: nowhere,
            minter,
            secrets,
            http,
            api_key,
            token_secret: String::new(),
            child,
            directory,
            redis: None,
            quiet: false,
        };
        hub.wait_until_ready()
            .await
            .with_context(|| format!("the hub's log:\n{}", hub.log()))?;
        Ok(hub)
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let path = self.directory.path().join("ready.json");
        let child = &mut self.child;
        let ready: Value = until("the ready file", SOON, || {
            let exited = child.try_wait();
            let ready = fs::read_to_string(&path)
                .ok()
                .and_then(|text| serde_json::from_str(&text).ok());
            async move {
                if let Some(status) = exited? {
                    bail!("it ended at once with {status}");
                }
                Ok(ready)
            }
        })
        .await?;
        self.clients = address_at(&ready, "clients")?;
        self.api = address_at(&ready, "grpc")?;
        self.admin = address_at(&ready, "admin")?;
        until("readiness", SOON, || async {
            Ok(self.readyz().await?.is_success().then_some(()))
        })
        .await
    }

    /// The content of the ready file.
    ///
    /// # Errors
    /// It is not there or no JSON.
    pub fn ready_file(&self) -> Result<Value> {
        let text = fs::read_to_string(self.directory.path().join("ready.json"))?;
        Ok(serde_json::from_str(&text)?)
    }

    /// What `/readyz` answers.
    ///
    /// # Errors
    /// It cannot be asked.
    pub async fn readyz(&self) -> Result<reqwest::StatusCode> {
        Ok(self
            .http
            .get(format!("http://{}/readyz", self.admin))
            .send()
            .await?
            .status())
    }

    /// The address of a path on the clients' side.
    pub fn url(&self, path_and_query: &str) -> String {
        format!("http://{}{path_and_query}", self.clients)
    }

    /// A token for `user` that grants everything and lasts an hour.
    pub fn token(&self, user: &str) -> String {
        self.minter.mint(&Claims::of(user))
    }

    /// An opening for `user` with a token that grants everything.
    pub fn opening(&self, user: &str) -> Opening {
        Opening::new(self.token(user))
    }

    /// Opens a session of `user` that is subscribed to `channels`; their `subscribed` frames are awaited.
    ///
    /// # Errors
    /// The hub refused it, or something else came than `open` and `subscribed`.
    pub async fn client(
        &self,
        transport: Transport,
        user: &str,
        channels: &[&str],
    ) -> Result<Client> {
        let mut opening = self.opening(user);
        for channel in channels {
            opening = opening.channel(channel);
        }
        self.open(transport, opening).await
    }

    /// Opens a session; the `subscribed` frames of the channels asked for are awaited.
    ///
    /// # Errors
    /// The hub refused it, or something else came than `open` and `subscribed`.
    pub async fn open(&self, transport: Transport, opening: Opening) -> Result<Client> {
        let mut client = Client::open(self, transport, opening).await?;
        client.await_subscribed().await?;
        Ok(client)
    }

    /// The services' side, with the API key `tests`.
    ///
    /// # Errors
    /// It cannot be connected to.
    pub async fn services(&self) -> Result<Services> {
        Services::connect(self.api, &self.api_key).await
    }

    /// What the hub counts.
    ///
    /// # Errors
    /// It cannot be asked.
    pub async fn metrics(&self) -> Result<Metrics> {
        Metrics::scrape(&self.http, self.admin).await
    }

    /// Waits until a metric, summed over its labels, is as wanted.
    ///
    /// # Errors
    /// It is not within [`SOON`]; the error has its value.
    pub async fn await_metric(&self, name: &str, wanted: impl Fn(f64) -> bool) -> Result<f64> {
        self.await_metric_within(name, SOON, wanted).await
    }

    /// The same with a deadline.
    ///
    /// # Errors
    /// It is not within the deadline; the error has its value.
    pub async fn await_metric_within(
        &self,
        name: &str,
        within: Duration,
        wanted: impl Fn(f64) -> bool,
    ) -> Result<f64> {
        let last = std::cell::Cell::new(f64::NAN);
        let outcome = until(name, within, || async {
            let value = self.metrics().await?.sum(name);
            last.set(value);
            Ok(wanted(value).then_some(value))
        });
        outcome
            .await
            .with_context(|| format!("{name} is {}", last.get()))
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Descriptors that the process has open.
    ///
    /// # Errors
    /// The process is gone.
    pub fn descriptors(&self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.pid()))?.count())
    }

    /// The processor time that the process has used.
    ///
    /// # Errors
    /// The process is gone.
    pub fn processor_time(&self) -> Result<Duration> {
        /// Linux counts it in hundredths of a second, whatever the kernel's own clock (`USER_HZ`).
        const TICK: Duration = Duration::from_millis(10);
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid()))?;
        // The name, in parentheses, may have spaces of its own.
        let (_, fields) = stat.rsplit_once(") ").context("no name in stat")?;
        let ticks = fields
            .split(' ')
            .skip(11)
            .take(2)
            .map(str::parse::<u32>)
            .sum::<Result<u32, std::num::ParseIntError>>()?;
        Ok(TICK * ticks)
    }

    /// The process's anonymous memory in RAM, in KiB.
    ///
    /// # Errors
    /// The process is gone.
    pub fn memory_kib(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"))
            .context("no RssAnon")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// Sends a signal, such as `TERM`, to this process alone.
    ///
    /// # Errors
    /// It is gone.
    pub fn signal(&self, name: &str) -> Result<()> {
        let script = format!("kill -{name} {}", self.pid());
        let status = Command::new("sh").args(["-c", &script]).status()?;
        ensure!(status.success(), "cannot send SIG{name}: {status}");
        Ok(())
    }

    /// Waits until the process has ended by itself.
    ///
    /// # Errors
    /// It has not within the deadline.
    pub async fn ended(&mut self, within: Duration) -> Result<ExitStatus> {
        let child = &mut self.child;
        until("the end of the process", within, || {
            let status = child.try_wait();
            async move { Ok(status?) }
        })
        .await
    }

    /// Everything it has logged so far.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.directory.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A directory of this test that goes with the hub.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let log = self.log();
        // Shown only when the test fails.
        let lines: Vec<&str> = log.lines().collect();
        if !self.quiet {
            eprintln!("the end of the hub's log ({} lines):", lines.len());
            for line in &lines[lines.len().saturating_sub(40)..] {
                eprintln!("  {line}");
            }
        }
        if !std::thread::panicking() {
            let leaks = self.secrets.leaks(&log);
            assert!(leaks.is_empty(), "the log shows a secret: {leaks:#?}");
            assert!(!log.contains("panicked at"), "the hub panicked:\n{log}");
        }
    }
}

/// Enough for any key.
fn random_secret() -> String {
    let word = || format!("{:032x}", rand::random::<u128>());
    word() + &word()
}

fn address_at(ready: &Value, side: &str) -> Result<SocketAddr> {
    let text =
        text_at(ready, side).ok_or_else(|| anyhow!("the ready file has no `{side}`: {ready}"))?;
    let text = text.trim_start_matches("http://").trim_end_matches('/');
    text.parse()
        .with_context(|| format!("`{side}` in the ready file: {text}"))
}

fn text_at(ready: &Value, name: &str) -> Option<String> {
    ready.get(name)?.as_str().map(str::to_owned)
}

/// A file of the test's own making, such as a key.
///
/// # Errors
/// It cannot be written.
pub fn write_file(directory: &Path, name: &str, content: &str) -> Result<PathBuf> {
    let path = directory.join(name);
    fs::write(&path, content)?;
    Ok(path)
}
