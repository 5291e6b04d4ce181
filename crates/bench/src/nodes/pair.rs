//! Two nodes that share a Redis: it is published at the one, and the clients are at the other.

use std::time::Instant;

use anyhow::Result;

use crate::fleet::Fleet;
use crate::hub::Hub;
use crate::load::percentile;
use crate::nodes::redis::Redis;
use crate::publisher::Publisher;
use crate::scenario::Setting;
use crate::scenario::crowd::Crowd;

/// What a block of publications came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub(super) per_s: f64,
    /// CPU microseconds of a publication, of both nodes and of Redis.
    pub(super) nodes_us: f64,
    pub(super) redis_us: f64,
}

/// Two nodes, a publisher at the one, and clients at the other.
pub(super) struct Pair {
    nodes: [Hub; 2],
    fleet: Fleet,
    publisher: Publisher,
}

impl Pair {
    pub(super) async fn start(setting: &Setting, redis: &Redis, crowd: Crowd) -> Result<Self> {
        let configuration = redis.configuration();
        let nodes = [
            Hub::start_with(&setting.hub, &configuration).await?,
            Hub::start_with(&setting.hub, &configuration).await?,
        ];
        let fleet = Fleet::open(nodes[1].clients, crowd.groups).await?;
        let publisher = Publisher::new(nodes[0].api, crowd.channels, super::PAYLOAD_LEN).await?;
        Ok(Self {
            nodes,
            fleet,
            publisher,
        })
    }

    /// Streams so many, and returns when all have come.
    pub(super) async fn saturated(&mut self, redis: &Redis, count: u64) -> Result<Block> {
        self.fleet.reset(true).await?;
        let cpu = || -> Result<(f64, f64)> {
            let nodes = self.nodes.iter().map(|node| node.process().cpu_s());
            Ok((nodes.sum::<Result<f64>>()?, redis.cpu_s()?))
        };
        let (before, start) = (cpu()?, Instant::now());
        self.publisher.stream(count).await?;
        self.fleet.arrived_in_all(count).await?;
        let (seconds, after) = (start.elapsed().as_secs_f64(), cpu()?);
        let report = self.fleet.report().await?;
        super::check(&report)?;
        let each = |seconds: f64| seconds * 1e6 / count as f64;
        Ok(Block {
            per_s: count as f64 / seconds,
            nodes_us: each(after.0 - before.0),
            redis_us: each(after.1 - before.1),
        })
    }

    /// Publishes so many, each when the one before has come; microseconds, half of them below and half above.
    pub(super) async fn one_at_a_time(&mut self, count: u64) -> Result<f64> {
        self.fleet.reset(true).await?;
        for number in 1..=count {
            self.publisher.one(0).await?;
            self.fleet.arrived_in_all(number).await?;
            tokio::time::sleep(super::PAUSE).await;
        }
        let report = self.fleet.report().await?;
        super::check(&report)?;
        Ok(percentile(&report.latency, 0.5) as f64)
    }

    pub(super) async fn close(self) -> Result<()> {
        self.fleet.close().await
    }
}
