//! All nodes are replaced in turn, as an upgrade does it: each drains, ends well, and is there again before the next goes.

use anyhow::{Result, ensure};

use crate::faults::load::Load;
use crate::faults::{Figures, MENDED, Plan};

pub(super) async fn run(plan: &Plan) -> Result<Figures> {
    let mut cluster = super::cluster(plan, 3).await?;
    let mut load = Load::start(&cluster.nodes, plan, true).await?;
    loop {
        for index in 0..cluster.nodes.len() {
            load.flows().await;
            load.strikes("a node drains");
            cluster.nodes[index].signal("TERM")?;
            let status = cluster.nodes[index].ended(MENDED).await?;
            ensure!(status.success(), "a drained node ended with {status}");
            super::replace(&mut cluster, &load, plan, index).await?;
        }
        if !load.goes_on() {
            break;
        }
    }
    load.flows().await;
    load.end().await
}
