//! A real redis-server, with a directory of its own, ended with the test; by itself, watched by Sentinels, or in a Cluster, and
//! guarded by TLS and passwords where a test asks for that. `SWITCHBOARD_REDIS_SERVER` names another program, such as Valkey's.

mod cluster;
mod guard;
mod sentinel;

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::config::Config;
use crate::tools;
use crate::waiting::{SOON, until};

pub use cluster::RedisCluster;
pub use guard::Guard;
pub use sentinel::Watched;

/// A server that writes everything down before it answers.
const DURABLE: &str = "--appendonly yes --appendfsync always";

/// A server process.
#[derive(Debug)]
pub struct Redis {
    port: u16,
    /// Where a hub is to connect to: another port where that takes TLS.
    hub_port: u16,
    guard: Option<Arc<Guard>>,
    directory: TempDir,
    options: Vec<String>,
    process: Child,
}

impl Redis {
    /// Starts one that loses nothing on a free port and waits until it answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn start() -> Result<Self> {
        Self::start_with(DURABLE).await
    }

    /// Starts one with these options, separated by spaces.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn start_with(options: &str) -> Result<Self> {
        Self::start_from(None, options, None).await
    }

    /// Starts one with these options that lets in only who its guard knows.
    async fn start_guarded(options: &str, guard: Option<&Arc<Guard>>) -> Result<Self> {
        let Some(known) = guard else {
            return Self::start_with(options).await;
        };
        let options = format!("{options} {}", known.server_options());
        Self::start_from(None, &options, guard).await
    }

    /// The same with a configuration file, which the server may write to.
    async fn start_from(
        file: Option<&str>,
        options: &str,
        guard: Option<&Arc<Guard>>,
    ) -> Result<Self> {
        // Between choosing a port and binding it another process may take it.
        for _ in 0..5 {
            let port = free_port()?;
            let mut hub_port = port;
            let directory = TempDir::with_prefix("switchboard-redis-")?;
            let mut all = Vec::new();
            if let Some(text) = file {
                let path = directory.path().join("redis.conf");
                fs::write(&path, text)?;
                all.push(path.to_str().context("a plain path")?.to_owned());
            }
            all.extend(options.split_whitespace().map(str::to_owned));
            if let Some(guard) = guard {
                hub_port = free_port()?;
                let options = guard.options(hub_port)?;
                all.extend(options.split_whitespace().map(str::to_owned));
            }
            let process = launch(port, &directory, &all)?;
            let mut redis = Self {
                port,
                hub_port,
                guard: guard.cloned(),
                directory,
                options: all,
                process,
            };
            if redis.answers().await? {
                return Ok(redis);
            }
        }
        bail!("redis-server found no port to listen on")
    }

    /// Its port on the loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Has a hub use it, with times for tests: what is lost is noticed as in production, the rest goes faster.
    pub fn engine_of(&self, config: &mut Config) {
        engine_at(config, std::slice::from_ref(self));
    }

    /// Sends a signal, such as `STOP`.
    ///
    /// # Errors
    /// The process is gone.
    pub fn signal(&self, name: &str) -> Result<()> {
        let script = format!("kill -{name} {}", self.process.id());
        let status = Command::new("sh").args(["-c", &script]).status()?;
        ensure!(status.success(), "cannot send SIG{name}: {status}");
        Ok(())
    }

    /// Ends it as kill -9 does.
    ///
    /// # Errors
    /// It is gone already.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Removes what it has written.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn forget(&self) -> Result<()> {
        for entry in fs::read_dir(self.directory.path())? {
            let path = entry?.path();
            if path.is_dir() {
                fs::remove_dir_all(&path)?;
            } else {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Starts it again on its port, with what is in its directory.
    ///
    /// # Errors
    /// It does not start.
    pub async fn restart(&mut self) -> Result<()> {
        self.process = launch(self.port, &self.directory, &self.options)?;
        ensure!(self.answers().await?, "redis-server does not start again");
        Ok(())
    }

    /// Sends a command in its inline form and gives the answer's text.
    ///
    /// # Errors
    /// It cannot be reached, or does not answer.
    pub async fn command(&self, command: &str) -> Result<String> {
        ask_as(self.guard.as_deref(), self.port, command).await
    }

    /// Waits until the answer to a command is as it should be.
    ///
    /// # Errors
    /// It is not within the deadline.
    pub async fn until(
        &self,
        command: &str,
        within: Duration,
        is_so: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let last = std::cell::RefCell::new(String::new());
        let outcome = until(command, within, || async {
            let answer = self.command(command).await.unwrap_or_default();
            let found = is_so(&answer).then_some(());
            last.replace(answer);
            Ok(found)
        });
        outcome.await.with_context(|| last.borrow().clone())
    }

    /// Waits until a replica of this primary has everything that the primary has now.
    ///
    /// # Errors
    /// It does not get there.
    pub async fn is_replicated(&self) -> Result<()> {
        let number = |answer: &str, name: &str| {
            let (_, rest) = answer.split_once(name)?;
            let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
            digits.parse::<u64>().ok()
        };
        let now = self.command("INFO replication").await?;
        let now = number(&now, "master_repl_offset:").context("no offset")?;
        let has_it = |answer: &str| number(answer, ",offset=").is_some_and(|has| has >= now);
        self.until("INFO replication", SOON, has_it).await
    }

    /// Whether it answers, once it does; false when it has ended instead.
    async fn answers(&mut self) -> Result<bool> {
        let (port, guard) = (self.port, self.guard.as_deref());
        until("an answer of redis-server", SOON, || {
            let ended = self.process.try_wait();
            async move {
                if ended?.is_some() {
                    return Ok(Some(false));
                }
                // Until it listens a connection is refused, and while it loads its data an error is answered.
                let answer = ask_as(guard, port, "PING").await.unwrap_or_default();
                Ok(answer.starts_with("+PONG").then_some(true))
            }
        })
        .await
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Sends one command, and reads until the server closes the connection: it does once it has answered and hears no more. A Sentinel knows
/// no `QUIT`. Nothing is closed before the answer begins: Valkey has `CLUSTER SETSLOT` wait for its replicas, and drops what waits when
/// whoever sent it closes.
///
/// # Errors
/// It cannot be reached, or does not answer.
pub async fn ask(port: u16, command: &str) -> Result<String> {
    let asking = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let text = format!("{command}\r\n");
        stream.write_all(text.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_buf(&mut answer).await?;
        stream.shutdown().await?;
        stream.read_to_end(&mut answer).await?;
        anyhow::Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = tokio::time::timeout(SOON, asking).await;
    answer.with_context(|| format!("no answer to {command}"))?
}

/// The same of a server that may have a guard.
async fn ask_as(guard: Option<&Guard>, port: u16, command: &str) -> Result<String> {
    let Some(guard) = guard else {
        return ask(port, command).await;
    };
    let answers = ask(port, &format!("AUTH {}\r\n{command}", guard.own)).await?;
    let answer = answers.strip_prefix("+OK\r\n").map(str::to_owned);
    answer.context(answers)
}

/// Has a hub use these servers.
fn engine_at(config: &mut Config, servers: &[Redis]) {
    let addresses: Vec<String> = servers
        .iter()
        .map(|server| format!("\"127.0.0.1:{}\"", server.hub_port))
        .collect();
    if let Some(guard) = servers.first().and_then(|server| server.guard.as_ref()) {
        guard.tell(config);
    }
    config
        .set("engine.kind", "\"redis\"")
        .set(
            "engine.redis.servers",
            &format!("[{}]", addresses.join(", ")),
        )
        .set("engine.redis.linger_s", "0.3")
        .set("engine.redis.compare_interval_s", "2")
        .set("engine.redis.lease_s", "3");
}

/// A port that is free, as is the one 10,000 above it, which a Cluster's servers speak to each other by.
///
/// # Errors
/// There is none.
pub fn free_port() -> Result<u16> {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        if port < 55_000 && TcpListener::bind(("127.0.0.1", port + 10_000)).is_ok() {
            return Ok(port);
        }
    }
}

fn launch(port: u16, directory: &TempDir, options: &[String]) -> Result<Child> {
    let program = tools::program("SWITCHBOARD_REDIS_SERVER", &["redis-server"])?;
    // A file stands before all options.
    let (file, options) = match options.split_first() {
        Some((file, rest)) if !file.starts_with('-') => (Some(file), rest),
        _ => (None, options),
    };
    Command::new(program)
        .args(file)
        .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
        .args(["--save", "", "--repl-diskless-sync-delay", "0"])
        .args(options)
        .arg("--dir")
        .arg(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("redis-server cannot be started")
}
