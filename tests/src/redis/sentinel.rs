//! A primary with replicas, watched by Sentinels.

use anyhow::{Context, Result};

use super::{Redis, engine_at};
use crate::config::Config;
use crate::waiting::SOON;

/// A primary, a replica, three Sentinels that agree by two.
#[derive(Debug)]
pub struct Watched {
    /// Which of them is the primary changes.
    pub servers: Vec<Redis>,
    sentinels: Vec<Redis>,
}

impl Watched {
    /// Starts them and waits until all know each other.
    ///
    /// # Errors
    /// They do not.
    pub async fn start() -> Result<Self> {
        let primary = Redis::start().await?;
        let replica = format!("--replicaof 127.0.0.1 {}", primary.port);
        let mut servers = vec![primary];
        servers.push(Redis::start_with(&format!("{} {replica}", super::DURABLE)).await?);
        let monitor = format!(
            "sentinel monitor hub 127.0.0.1 {} 2\n\
             sentinel down-after-milliseconds hub 500\n\
             sentinel failover-timeout hub 3000\n",
            servers[0].port
        );
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            sentinels.push(Redis::start_from(Some(&monitor), "--sentinel").await?);
        }
        let watched = Self { servers, sentinels };
        watched.are_whole().await?;
        Ok(watched)
    }

    /// Waits until there is a primary with a replica that has everything, and all Sentinels know it.
    ///
    /// # Errors
    /// There is none soon.
    pub async fn are_whole(&self) -> Result<()> {
        let known = ["num-slaves\r\n$1\r\n1", "num-other-sentinels\r\n$1\r\n2"];
        for sentinel in &self.sentinels {
            let is_whole = |answer: &str| known.iter().all(|part| answer.contains(part));
            sentinel
                .until("SENTINEL MASTER hub", SOON * 2, is_whole)
                .await?;
        }
        let primary = self.primary().await?;
        let synced = |answer: &str| answer.contains("state=online");
        let primary = &self.servers[primary];
        primary.until("INFO replication", SOON * 2, synced).await
    }

    /// Which server is the primary by what the Sentinels say.
    ///
    /// # Errors
    /// They name none of them.
    pub async fn primary(&self) -> Result<usize> {
        let asked = self.sentinels[0].command("SENTINEL GET-MASTER-ADDR-BY-NAME hub");
        let answer = asked.await?;
        let named = |server: &Redis| answer.lines().any(|line| line == server.port.to_string());
        let primary = self.servers.iter().position(named);
        primary.with_context(|| format!("no server of ours: {answer}"))
    }

    /// Has a hub find its server by the Sentinels.
    pub fn engine_of(&self, config: &mut Config) {
        engine_at(config, &self.sentinels);
        config
            .set("engine.redis.topology", "\"sentinel\"")
            .set("engine.redis.sentinel_service", "\"hub\"");
    }
}
