//! Redis is there and does nothing: nodes notice, publishers are told that it may have happened, and when it goes on nothing is lost.

use anyhow::Result;

use super::AWAY;
use crate::faults::load::{Load, all_are};
use crate::faults::{Figures, MENDED, NOTICED, Plan};

pub(super) async fn run(plan: &Plan) -> Result<Figures> {
    let cluster = super::cluster(plan, 2).await?;
    let mut load = Load::start(&cluster.nodes, plan, true).await?;
    loop {
        load.flows().await;
        load.strikes("Redis is stopped");
        cluster.redis.signal("STOP")?;
        all_are(&cluster.nodes, false, NOTICED).await?;
        // waits: Redis is away for a while, with publications under way
        tokio::time::sleep(AWAY).await;
        cluster.redis.signal("CONT")?;
        all_are(&cluster.nodes, true, MENDED).await?;
        if !load.goes_on() {
            break;
        }
    }
    load.flows().await;
    load.end().await
}
