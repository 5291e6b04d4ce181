//! The faults, one a file, and what each may cost.

mod cluster_failover;
mod cluster_resharding;
mod node_killed;
mod redis_emptied;
mod redis_restarted;
mod redis_stalled;
mod rolling_restart;
mod sentinel_failover;
mod subscription_cut;

use std::fmt;
use std::time::Duration;

use anyhow::Result;

use super::load::{Load, all_are};
use super::{Figures, MENDED, Plan};
use crate::config::Config;
use crate::{Cluster, Hub};

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    /// A node is ended by SIGKILL, and another started.
    NodeKilled,
    /// Redis is ended by SIGKILL, and started with its data.
    RedisRestarted,
    /// Redis is ended by SIGKILL, and started without its data.
    RedisEmptied,
    /// Redis is stopped by SIGSTOP for a while.
    RedisStalled,
    /// Redis ends the connections that nodes subscribe by.
    SubscriptionCut,
    /// A primary under Sentinels is ended by SIGKILL.
    SentinelFailover,
    /// A primary of a Cluster is ended by SIGKILL.
    ClusterFailover,
    /// The slots of the load's channels move to other primaries of a Cluster.
    ClusterResharding,
    /// Three nodes are drained by SIGTERM and replaced in turn.
    RollingRestart,
}

/// What a row may tell by gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gaps {
    /// Nothing is gone, so nobody is told of any.
    None,
    /// Everything is gone, so everybody is told.
    Everywhere,
    /// Replication is asynchronous: what was acknowledged last may be gone.
    Perhaps,
}

impl Row {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::NodeKilled,
        Self::RedisRestarted,
        Self::RedisEmptied,
        Self::RedisStalled,
        Self::SubscriptionCut,
        Self::SentinelFailover,
        Self::ClusterFailover,
        Self::ClusterResharding,
        Self::RollingRestart,
    ];

    /// Its name, as the command line has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NodeKilled => "node-killed",
            Self::RedisRestarted => "redis-restarted",
            Self::RedisEmptied => "redis-emptied",
            Self::RedisStalled => "redis-stalled",
            Self::SubscriptionCut => "subscription-cut",
            Self::SentinelFailover => "sentinel-failover",
            Self::ClusterFailover => "cluster-failover",
            Self::ClusterResharding => "cluster-resharding",
            Self::RollingRestart => "rolling-restart",
        }
    }

    /// Does it, and counts.
    ///
    /// # Errors
    /// It could not be done, or a promise that is none of the ledger's was broken, such as the time to notice.
    pub async fn run(self, plan: &Plan) -> Result<Figures> {
        match self {
            Self::NodeKilled => node_killed::run(plan).await,
            Self::RedisRestarted => redis_restarted::run(plan).await,
            Self::RedisEmptied => redis_emptied::run(plan).await,
            Self::RedisStalled => redis_stalled::run(plan).await,
            Self::SubscriptionCut => subscription_cut::run(plan).await,
            Self::SentinelFailover => sentinel_failover::run(plan).await,
            Self::ClusterFailover => cluster_failover::run(plan).await,
            Self::ClusterResharding => cluster_resharding::run(plan).await,
            Self::RollingRestart => rolling_restart::run(plan).await,
        }
    }

    /// Whether the figures are what was promised.
    ///
    /// # Errors
    /// They are not; the text says what is wrong.
    pub fn judge(self, figures: &Figures) -> Result<(), String> {
        if !figures.whole() {
            return Err(figures.findings.join("; "));
        }
        match self.gaps() {
            Gaps::None if figures.gaps > 0 => {
                Err(format!("{} gaps, and nothing was gone", figures.gaps))
            }
            Gaps::Everywhere if figures.gaps == 0 => {
                Err("everything was gone, and nobody was told".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn gaps(self) -> Gaps {
        match self {
            Self::NodeKilled
            | Self::RedisRestarted
            | Self::RedisStalled
            | Self::SubscriptionCut
            | Self::ClusterResharding
            | Self::RollingRestart => Gaps::None,
            Self::RedisEmptied => Gaps::Everywhere,
            Self::SentinelFailover | Self::ClusterFailover => Gaps::Perhaps,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for Row {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let row = Self::ALL.into_iter().find(|row| row.name() == name);
        row.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("there is no fault {name}; there are {names}")
        })
    }
}

/// For how long a row keeps Redis from a node: longer than a canary may be missed.
const AWAY: Duration = Duration::from_millis(1500);

/// So many nodes on whatever Redis `engine` says.
async fn nodes(plan: &Plan, count: usize, engine: impl Fn(&mut Config)) -> Result<Vec<Hub>> {
    let mut nodes: Vec<Hub> = Vec::new();
    while nodes.len() < count {
        let mut node = match nodes.first() {
            None => Hub::start_with(&engine).await?,
            Some(first) => first.start_beside(&engine).await?,
        };
        node.quiet = plan.quiet;
        nodes.push(node);
    }
    Ok(nodes)
}

/// So many nodes on a redis-server of their own.
async fn cluster(plan: &Plan, count: usize) -> Result<Cluster> {
    let redis = crate::redis::Redis::start().await?;
    let nodes = nodes(plan, count, |config| redis.engine_of(config)).await?;
    Ok(Cluster { nodes, redis })
}

/// Starts a node in place of one that has ended, and waits until all are ready.
async fn replace(cluster: &mut Cluster, load: &Load, plan: &Plan, index: usize) -> Result<()> {
    let beside = &cluster.nodes[(index + 1) % cluster.nodes.len()];
    let mut next = beside
        .start_beside(|config| cluster.redis.engine_of(config))
        .await?;
    next.quiet = plan.quiet;
    load.replace(index, &next);
    cluster.nodes[index] = next;
    all_are(&cluster.nodes, true, MENDED).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_judged_by_what_the_fault_takes() {
        let check = |row: Row, change: fn(&mut Figures), holds: bool| {
            let mut figures = Figures {
                sent: 10,
                received: 10,
                ..Figures::default()
            };
            change(&mut figures);
            assert_eq!(row.judge(&figures).is_ok(), holds, "{row}: {figures:?}");
        };
        check(Row::NodeKilled, |_| {}, true);
        check(Row::NodeKilled, |figures| figures.gaps = 1, false);
        check(Row::RedisEmptied, |_| {}, false);
        check(Row::RedisEmptied, |figures| figures.gaps = 1, true);
        check(Row::SentinelFailover, |figures| figures.gaps = 1, true);
        check(Row::SentinelFailover, |_| {}, true);
        for row in Row::ALL {
            check(row, |figures| figures.unknown = 5, row != Row::RedisEmptied);
            for harm in [
                (|figures| figures.lost = 1) as fn(&mut Figures),
                |figures| figures.duplicated = 1,
                |figures| figures.disordered = 1,
            ] {
                check(row, harm, false);
            }
        }
    }

    #[test]
    fn rows_are_known_by_their_names() {
        for row in Row::ALL {
            assert_eq!(row.name().parse(), Ok(row));
        }
        assert!(
            "no-such"
                .parse::<Row>()
                .unwrap_err()
                .contains("node-killed")
        );
    }
}
