//! A Redis Cluster of three primaries, each with a replica.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};

use super::{Guard, Redis, engine_at};
use crate::config::Config;
use crate::tools;
use crate::waiting::{SOON, until};

/// Settings that have a Cluster agree quickly, and serve what it can meanwhile.
const OPTIONS: &str = "--cluster-enabled yes --cluster-node-timeout 1000 --cluster-replica-validity-factor 0 \
    --cluster-require-full-coverage no --cluster-allow-pubsubshard-when-down yes --cluster-announce-ip 127.0.0.1";

/// Three primaries and three replicas.
#[derive(Debug)]
pub struct RedisCluster {
    /// Which of them are primaries changes.
    pub servers: Vec<Redis>,
}

impl RedisCluster {
    /// Starts one and waits until it is whole.
    ///
    /// # Errors
    /// It does not get there.
    pub async fn start() -> Result<Self> {
        Self::start_as(None).await
    }

    /// Starts one whose servers let in only who the guard knows.
    ///
    /// # Errors
    /// It does not get there.
    pub async fn start_guarded(guard: &Arc<Guard>) -> Result<Self> {
        Self::start_as(Some(guard)).await
    }

    async fn start_as(guard: Option<&Arc<Guard>>) -> Result<Self> {
        let tls = guard.map_or("", |_| "--tls-cluster yes");
        let options = format!("{OPTIONS} {tls}");
        let mut servers = Vec::new();
        for _ in 0..6 {
            servers.push(Redis::start_guarded(&options, guard).await?);
        }
        let cli = tools::program("SWITCHBOARD_REDIS_CLI", &["redis-cli"])?;
        let created = Command::new(cli)
            .args(guard.map(|guard| guard.cli_arguments()).unwrap_or_default())
            .args(["--cluster", "create"])
            .args((servers.iter()).map(|server| format!("127.0.0.1:{}", server.hub_port)))
            .args(["--cluster-replicas", "1", "--cluster-yes"])
            .stdin(Stdio::null())
            .output()?;
        let said = String::from_utf8_lossy(&created.stdout);
        ensure!(created.status.success(), "{said}");
        let cluster = Self { servers };
        cluster.is_whole().await?;
        Ok(cluster)
    }

    /// Waits until all servers know six, of which three are replicas that have everything.
    ///
    /// # Errors
    /// It does not get there.
    pub async fn is_whole(&self) -> Result<()> {
        for server in &self.servers {
            let knows = |answer: &str| {
                answer.matches(" connected").count() == 6
                    && answer.matches("slave ").count() == 3
                    && !answer.contains("fail")
            };
            server.until("CLUSTER NODES", SOON * 2, knows).await?;
            let is_well = |answer: &str| answer.contains("cluster_state:ok");
            server.until("CLUSTER INFO", SOON * 2, is_well).await?;
        }
        for server in &self.servers {
            let synced = |answer: &str| {
                answer.contains("state=online") || answer.contains("master_link_status:up")
            };
            server.until("INFO replication", SOON * 2, synced).await?;
        }
        Ok(())
    }

    /// Has a hub use it.
    pub fn engine_of(&self, config: &mut Config) {
        engine_at(config, &self.servers);
        config.set("engine.redis.topology", "\"cluster\"");
    }

    /// The primary that has a channel, and the channel's slot.
    ///
    /// # Errors
    /// None has it.
    pub async fn owner(&self, channel: &str) -> Result<(usize, u16)> {
        let (index, key) = self.has(&format!("*}}m:{channel}")).await?;
        let command = format!("CLUSTER KEYSLOT {key}");
        let slot = self.servers[index].command(&command).await?;
        let slot = slot.trim_start_matches(':').lines().next();
        Ok((index, slot.context("a slot")?.parse()?))
    }

    /// The primary that has a key like this, and the key.
    ///
    /// # Errors
    /// None has one.
    pub async fn has(&self, pattern: &str) -> Result<(usize, String)> {
        for (index, server) in self.servers.iter().enumerate() {
            if !self.is_primary(index).await {
                continue;
            }
            let keys = server.command(&format!("KEYS {pattern}")).await?;
            if let Some(key) = keys.lines().find(|line| line.contains('}')) {
                return Ok((index, key.to_owned()));
            }
        }
        anyhow::bail!("no primary has {pattern}")
    }

    /// Whether a server takes writes; not if it is away.
    pub async fn is_primary(&self, index: usize) -> bool {
        let role = self.servers[index].command("ROLE").await;
        role.is_ok_and(|role| role.contains("master"))
    }

    /// Moves a slot with all its keys from one primary to another, as `redis-cli --cluster reshard` does, and waits until all
    /// servers know: one that has heard only of an older move would take the slot back, and delete its keys.
    ///
    /// # Errors
    /// One of them refuses a step, or they do not agree.
    pub async fn move_slot(&self, slot: u16, from: usize, to: usize) -> Result<()> {
        let (old, new) = (self.id(from).await?, self.id(to).await?);
        self.ask(to, &format!("CLUSTER SETSLOT {slot} IMPORTING {old}"))
            .await?;
        self.ask(from, &format!("CLUSTER SETSLOT {slot} MIGRATING {new}"))
            .await?;
        loop {
            let keys = format!("CLUSTER GETKEYSINSLOT {slot} 100");
            let keys = self.ask(from, &keys).await?;
            let keys: Vec<_> = keys.lines().filter(|line| line.contains('}')).collect();
            if keys.is_empty() {
                break;
            }
            let (port, keys) = (self.servers[to].port, keys.join(" "));
            let migrate = format!("MIGRATE 127.0.0.1 {port} \"\" 0 5000 KEYS {keys}");
            self.ask(from, &migrate).await?;
        }
        for index in [to, from] {
            self.ask(index, &format!("CLUSTER SETSLOT {slot} NODE {new}"))
                .await?;
        }
        until("all servers to agree on the slots", SOON, || async {
            let mut views = BTreeSet::new();
            for server in &self.servers {
                views.insert(owners(&server.command("CLUSTER NODES").await?));
            }
            Ok((views.len() == 1).then_some(()))
        })
        .await
    }

    async fn id(&self, index: usize) -> Result<String> {
        let answer = self.ask(index, "CLUSTER MYID").await?;
        Ok(answer.lines().nth(1).context("an id")?.to_owned())
    }

    async fn ask(&self, index: usize, command: &str) -> Result<String> {
        let answer = self.servers[index].command(command).await?;
        ensure!(!answer.starts_with('-'), "{command}: {answer}");
        Ok(answer)
    }
}

/// Who owns which slots since when, as a server sees it: the lines of primaries without what differs from server to server.
fn owners(nodes: &str) -> Vec<String> {
    let lines = nodes.lines().filter(|line| line.contains("master"));
    let mut owners: Vec<String> = lines
        .map(|line| {
            let fields: Vec<_> = line.split(' ').collect();
            let (id, rest) = (fields.first(), fields.get(6..).unwrap_or_default());
            // The owner alone names moves that are under way, in brackets.
            let settled = rest.iter().filter(|field| !field.starts_with('['));
            id.into_iter()
                .chain(settled)
                .copied()
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    owners.sort();
    owners
}
