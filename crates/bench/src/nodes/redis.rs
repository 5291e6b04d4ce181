//! Real redis-servers on free ports that keep nothing on disk: one, or a Cluster of three masters.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::process::Process;

const START_MAX: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);
/// The slots of a Cluster.
const SLOTS: u32 = 16_384;
const MASTERS: u32 = 3;

/// What clients send, as against what scripts call: the names of both are in one statistic.
const SENT: [&str; 8] = [
    "evalsha",
    "eval",
    "script",
    "ssubscribe",
    "sunsubscribe",
    "ping",
    "echo",
    "cluster",
];

/// One server.
struct Server {
    port: u16,
    child: Child,
    _directory: TempDir,
}

/// All servers that nodes are given.
pub(super) struct Redis {
    servers: Vec<Server>,
}

impl Redis {
    /// Starts one server.
    pub(super) async fn one() -> Result<Self> {
        let servers = vec![Server::start(&[]).await?];
        Ok(Self { servers })
    }

    /// Starts a Cluster of three masters.
    pub(super) async fn cluster() -> Result<Self> {
        let mut servers = Vec::new();
        for _ in 0..MASTERS {
            servers.push(Server::start_for_cluster().await?);
        }
        for (number, server) in (0..).zip(&servers) {
            let (from, to) = (SLOTS * number / MASTERS, SLOTS * (number + 1) / MASTERS - 1);
            server
                .ok(&format!("CLUSTER ADDSLOTSRANGE {from} {to}"))
                .await?;
            let (first, bus) = (servers[0].port, bus_of(&servers[0]).await?);
            server
                .ok(&format!("CLUSTER MEET 127.0.0.1 {first} {bus}"))
                .await?;
        }
        let begun = Instant::now();
        for server in &servers {
            let is_whole = |info: &str| {
                info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
            };
            while !is_whole(&server.command("CLUSTER INFO").await?) {
                ensure!(
                    begun.elapsed() < START_MAX,
                    "the Cluster does not come together"
                );
                tokio::time::sleep(LOOK).await;
            }
        }
        Ok(Self { servers })
    }

    pub(super) fn port(&self) -> u16 {
        self.servers[0].port
    }

    /// What a hub's configuration says of it.
    pub(super) fn configuration(&self) -> String {
        let servers: Vec<String> = self
            .servers
            .iter()
            .map(|server| format!("\"127.0.0.1:{}\"", server.port))
            .collect();
        let topology = if servers.len() > 1 {
            "cluster"
        } else {
            "standalone"
        };
        format!(
            "[engine]\nkind = \"redis\"\n[engine.redis]\ntopology = \"{topology}\"\nservers = [{}]\n",
            servers.join(", ")
        )
    }

    /// Commands that clients have sent, all servers together.
    pub(super) async fn commands(&self) -> Result<u64> {
        let mut commands = 0;
        for server in &self.servers {
            let stats = server.command("INFO commandstats").await?;
            let calls = stats.lines().filter_map(|line| {
                let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
                // Subcommands are `cluster|slots`.
                let name = name.split('|').next()?;
                SENT.contains(&name)
                    .then(|| rest.split(',').next()?.parse::<u64>().ok())?
            });
            commands += calls.sum::<u64>();
        }
        Ok(commands)
    }

    /// CPU seconds, all servers together.
    pub(super) fn cpu_s(&self) -> Result<f64> {
        let each = self.servers.iter().map(|server| {
            let pid = server.child.id();
            Process { pid }.cpu_s()
        });
        each.sum()
    }
}

impl Server {
    async fn start_for_cluster() -> Result<Self> {
        let bus = free_port()?.to_string();
        let options = [
            "--cluster-enabled",
            "yes",
            "--cluster-announce-ip",
            "127.0.0.1",
            "--cluster-port",
            &bus,
        ];
        Self::start(&options).await
    }

    async fn start(options: &[&str]) -> Result<Self> {
        let directory = TempDir::with_prefix("switchboard-bench-redis-")?;
        let port = free_port()?;
        let told = std::env::var_os("SWITCHBOARD_REDIS_SERVER");
        let child = Command::new(told.unwrap_or_else(|| "redis-server".into()))
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .args(options)
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("redis-server cannot be started: install it (apt-get install redis-server)")?;
        let mut server = Self {
            port,
            child,
            _directory: directory,
        };
        let begun = Instant::now();
        while !server
            .command("PING")
            .await
            .is_ok_and(|answer| answer.contains("PONG"))
        {
            let ended = server.child.try_wait()?;
            ensure!(ended.is_none(), "redis-server has ended: {ended:?}");
            ensure!(begun.elapsed() < START_MAX, "redis-server does not answer");
            tokio::time::sleep(LOOK).await;
        }
        Ok(server)
    }

    async fn ok(&self, command: &str) -> Result<()> {
        let answer = self.command(command).await?;
        if answer.starts_with("+OK") {
            return Ok(());
        }
        bail!("{command}: {answer}")
    }

    /// Sends a command in its inline form and gives the answer's text.
    async fn command(&self, command: &str) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream
            .write_all(format!("{command}\r\nQUIT\r\n").as_bytes())
            .await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The port on which a server of a Cluster talks to the others.
async fn bus_of(server: &Server) -> Result<String> {
    let answer = server.command("CONFIG GET cluster-port").await?;
    let port = answer.lines().nth(4).context("no cluster-port")?;
    Ok(port.trim().to_owned())
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
