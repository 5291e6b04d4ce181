//! Several nodes that are one hub: they share a Redis, tokens and API keys, and nothing else.

use std::ops::Index;

use anyhow::Result;

use crate::Hub;
use crate::config::Config;
use crate::redis::Redis;

/// Nodes and their Redis.
#[derive(Debug)]
pub struct Cluster {
    /// The nodes; the first is as good as any.
    pub nodes: Vec<Hub>,
    /// What they share.
    pub redis: Redis,
}

impl Cluster {
    /// Starts so many nodes.
    ///
    /// # Errors
    /// One did not get ready.
    pub async fn start(nodes: usize) -> Result<Self> {
        Self::start_with(nodes, |_| {}).await
    }

    /// Starts so many nodes, each with a configuration changed alike.
    ///
    /// # Errors
    /// One did not get ready.
    pub async fn start_with(nodes: usize, change: impl Fn(&mut Config)) -> Result<Self> {
        let redis = Redis::start().await?;
        let of = |config: &mut Config| {
            redis.engine_of(config);
            change(config);
        };
        let mut started = vec![Hub::start_with(of).await?];
        while started.len() < nodes {
            started.push(started[0].start_beside(of).await?);
        }
        Ok(Self {
            nodes: started,
            redis,
        })
    }
}

impl Index<usize> for Cluster {
    type Output = Hub;

    fn index(&self, index: usize) -> &Hub {
        &self.nodes[index]
    }
}
