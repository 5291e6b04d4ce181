//! A primary of a Redis Cluster dies, and its replica takes its slots. What only the dead one had is told as lost.

use anyhow::Result;

use crate::faults::load::{Load, all_are};
use crate::faults::{Figures, MENDED, NOTICED, Plan};
use crate::redis::RedisCluster;

pub(super) async fn run(plan: &Plan) -> Result<Figures> {
    let mut cluster = RedisCluster::start().await?;
    let nodes = super::nodes(plan, 2, |config| cluster.engine_of(config)).await?;
    // An id may be gone with the primary: nobody repeats what may have happened.
    let mut load = Load::start(&nodes, plan, false).await?;
    for turn in 0.. {
        load.flows().await;
        let channel = format!("chat:{}", turn % plan.channels);
        let (primary, _) = cluster.owner(&channel).await?;
        load.strikes("a primary is killed");
        cluster.servers[primary].kill()?;
        all_are(&nodes, false, NOTICED).await?;
        all_are(&nodes, true, MENDED).await?;
        load.flows().await;
        if !load.goes_on() {
            break;
        }
        (plan.tell)("the old primary comes back as a replica");
        cluster.servers[primary].restart().await?;
        cluster.is_whole().await?;
    }
    load.end().await
}
