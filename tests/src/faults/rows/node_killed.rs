//! A node is gone without a word: its clients go on at the others, and nothing is lost but their connections.

use anyhow::Result;

use crate::faults::load::Load;
use crate::faults::{Figures, MENDED, Plan};

pub(super) async fn run(plan: &Plan) -> Result<Figures> {
    let mut cluster = super::cluster(plan, 3).await?;
    let mut load = Load::start(&cluster.nodes, plan, true).await?;
    for turn in 0.. {
        load.flows().await;
        let index = turn % cluster.nodes.len();
        load.strikes("a node is killed");
        cluster.nodes[index].signal("KILL")?;
        cluster.nodes[index].ended(MENDED).await?;
        load.flows().await;
        super::replace(&mut cluster, &load, plan, index).await?;
        if !load.goes_on() {
            break;
        }
    }
    load.flows().await;
    load.end().await
}
