//! The channels' slots move to other primaries of a Redis Cluster while they are published to: their subscriptions follow.

use anyhow::{Context, Result, ensure};

use crate::faults::load::{Load, all_are};
use crate::faults::{Figures, MENDED, Plan};
use crate::redis::RedisCluster;

/// A subscription is made anew within milliseconds of its slot's move: at the common pace nothing is published meanwhile.
const DENSER: u32 = 5;

/// How often each slot moves in a round: a move that takes nothing with it shows nothing.
const MOVES: usize = 4;

pub(super) async fn run(plan: &Plan) -> Result<Figures> {
    let plan = &Plan {
        pace: plan.pace / DENSER,
        ..plan.clone()
    };
    let cluster = RedisCluster::start().await?;
    let nodes = super::nodes(plan, 2, |config| cluster.engine_of(config)).await?;
    let mut load = Load::start(&nodes, plan, true).await?;
    loop {
        load.flows().await;
        for number in 0..plan.channels * MOVES {
            let channel = format!("chat:{}", number % plan.channels);
            let (from, slot) = cluster.owner(&channel).await?;
            let mut to = None;
            for step in 1..cluster.servers.len() {
                let index = (from + step) % cluster.servers.len();
                if cluster.is_primary(index).await {
                    to = Some(index);
                    break;
                }
            }
            let to = to.context("another primary")?;
            load.strikes("a slot moves");
            cluster.move_slot(slot, from, to).await?;
            ensure!(cluster.owner(&channel).await?.0 == to, "{channel} stayed");
        }
        load.flows().await;
        all_are(&nodes, true, MENDED).await?;
        if !load.goes_on() {
            break;
        }
    }
    load.flows().await;
    load.end().await
}
