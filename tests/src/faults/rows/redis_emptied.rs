//! Redis dies and comes back with nothing: everybody is told, and what comes after that is whole again.

use anyhow::Result;

use crate::faults::load::{Load, all_are};
use crate::faults::{Figures, MENDED, Plan};

pub(super) async fn run(plan: &Plan) -> Result<Figures> {
    let mut cluster = super::cluster(plan, 2).await?;
    // Redis has forgotten the ids, too: who repeats what may have happened would publish it twice.
    let mut load = Load::start(&cluster.nodes, plan, false).await?;
    loop {
        load.flows().await;
        load.strikes("Redis is killed, and its data removed");
        cluster.redis.kill()?;
        cluster.redis.forget()?;
        cluster.redis.restart().await?;
        load.flows().await;
        all_are(&cluster.nodes, true, MENDED).await?;
        if !load.goes_on() {
            break;
        }
    }
    load.flows().await;
    load.end().await
}
