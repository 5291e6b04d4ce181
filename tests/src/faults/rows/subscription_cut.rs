//! The connections by which nodes hear are cut, again and again, while commands go on: what was not heard is read from history.

use std::time::Duration;

use anyhow::Result;

use crate::faults::load::{Load, all_are};
use crate::faults::{Figures, MENDED, Plan};

/// Between two cuts: long enough for connections to be made anew, so that they can be cut again.
const BETWEEN: Duration = Duration::from_millis(150);

pub(super) async fn run(plan: &Plan) -> Result<Figures> {
    let cluster = super::cluster(plan, 2).await?;
    let mut load = Load::start(&cluster.nodes, plan, true).await?;
    loop {
        load.flows().await;
        load.strikes("subscriptions are cut");
        for _ in 0..5 {
            cluster.redis.command("CLIENT KILL TYPE pubsub").await?;
            // waits: so that there is something to be cut again
            tokio::time::sleep(BETWEEN).await;
        }
        all_are(&cluster.nodes, true, MENDED).await?;
        if !load.goes_on() {
            break;
        }
    }
    load.flows().await;
    load.end().await
}
