//! A real redis-server, with a directory of its own, ended with the test.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::config::Config;
use crate::tools;
use crate::waiting::{SOON, until};

/// A server process that writes everything down before it answers.
#[derive(Debug)]
pub struct Redis {
    port: u16,
    directory: TempDir,
    process: Child,
}

impl Redis {
    /// Starts one on a free port and waits until it answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn start() -> Result<Self> {
        // Between choosing a port and binding it another process may take it.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            let directory = TempDir::with_prefix("switchboard-redis-")?;
            let process = launch(port, &directory)?;
            let mut redis = Self {
                port,
                directory,
                process,
            };
            if redis.answers().await? {
                return Ok(redis);
            }
        }
        bail!("redis-server found no port to listen on")
    }

    /// Has a hub use it, with times for tests: what is lost is noticed as in production, the rest goes faster.
    pub fn engine_of(&self, config: &mut Config) {
        config
            .set("engine.kind", "\"redis\"")
            .set(
                "engine.redis.servers",
                &format!("[\"127.0.0.1:{}\"]", self.port),
            )
            .set("engine.redis.linger_s", "0.3")
            .set("engine.redis.compare_interval_s", "2")
            .set("engine.redis.lease_s", "3");
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
        self.process = launch(self.port, &self.directory)?;
        ensure!(self.answers().await?, "redis-server does not start again");
        Ok(())
    }

    /// Sends a command in its inline form and gives the answer's text.
    ///
    /// # Errors
    /// It cannot be reached.
    pub async fn command(&self, command: &str) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        let text = format!("{command}\r\nQUIT\r\n");
        stream.write_all(text.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// Whether it answers, once it does; false when it has ended instead.
    async fn answers(&mut self) -> Result<bool> {
        until("an answer of redis-server", SOON, || {
            let ended = self.process.try_wait();
            let port = self.port;
            async move {
                if ended?.is_some() {
                    return Ok(Some(false));
                }
                // Until it listens a connection is refused, and while it loads its data an error is answered.
                let stream = TcpStream::connect(("127.0.0.1", port)).await;
                let Ok(mut stream) = stream else {
                    return Ok(None);
                };
                stream.write_all(b"PING\r\nQUIT\r\n").await?;
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).await?;
                Ok(answer.starts_with(b"+PONG").then_some(true))
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

fn launch(port: u16, directory: &TempDir) -> Result<Child> {
    let program = tools::program("SWITCHBOARD_REDIS_SERVER", &["redis-server"])?;
    Command::new(program)
        .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
        .args([
            "--save",
            "",
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
        ])
        .arg("--dir")
        .arg(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("redis-server cannot be started")
}
