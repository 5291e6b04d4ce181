//! A primary with replicas, watched by Sentinels.

use std::sync::Arc;

use anyhow::{Context, Result};

use super::{DURABLE, Guard, Redis, engine_at};
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
        Self::start_as(None).await
    }

    /// Starts them to let in only who the guard knows.
    ///
    /// # Errors
    /// They do not know each other.
    pub async fn start_guarded(guard: &Arc<Guard>) -> Result<Self> {
        Self::start_as(Some(guard)).await
    }

    async fn start_as(guard: Option<&Arc<Guard>>) -> Result<Self> {
        let primary = Redis::start_guarded(DURABLE, guard).await?;
        let port = primary.hub_port;
        let replica = format!("{DURABLE} --replicaof 127.0.0.1 {port}");
        let servers = vec![primary, Redis::start_guarded(&replica, guard).await?];
        let known = guard.map(|guard| guard.sentinel_text("hub"));
        let monitor = format!(
            "sentinel monitor hub 127.0.0.1 {port} 2\n\
             sentinel down-after-milliseconds hub 500\n\
             sentinel failover-timeout hub 3000\n{}",
            known.unwrap_or_default()
        );
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            sentinels.push(Redis::start_from(Some(&monitor), "--sentinel", guard).await?);
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
        let named = |server: &Redis| {
            answer
                .lines()
                .any(|line| line == server.hub_port.to_string())
        };
        let primary = self.servers.iter().position(named);
        primary.with_context(|| format!("no server of ours: {answer}"))
    }

    /// Has a hub find its server by the Sentinels.
    pub fn engine_of(&self, config: &mut Config) {
        engine_at(config, &self.sentinels);
        config
            .set("engine.redis.topology", "\"sentinel\"")
            .set("engine.redis.sentinel_service", "\"hub\"");
        let guard = self.sentinels.first();
        if let Some(guard) = guard.and_then(|sentinel| sentinel.guard.as_ref()) {
            guard.tell_sentinels(config);
        }
    }
}
