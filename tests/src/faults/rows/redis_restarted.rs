//! Redis dies and comes back with all that it acknowledged: nodes say at once that they are not ready, and nothing is lost.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::Hub;
use crate::faults::load::{Load, all_are};
use crate::faults::{Figures, MENDED, NOTICED, Plan};

/// Whoever publishes while Redis is away is told within this.
const REFUSED: Duration = Duration::from_secs(6);

pub(super) async fn run(plan: &Plan) -> Result<Figures> {
    let mut cluster = super::cluster(plan, 2).await?;
    let mut load = Load::start(&cluster.nodes, plan, true).await?;
    loop {
        load.flows().await;
        load.strikes("Redis is killed");
        cluster.redis.kill()?;
        all_are(&cluster.nodes, false, NOTICED).await?;
        refused_soon(&cluster.nodes[0]).await?;
        load.flows().await;
        cluster.redis.restart().await?;
        all_are(&cluster.nodes, true, MENDED).await?;
        if !load.goes_on() {
            break;
        }
    }
    load.flows().await;
    load.end().await
}

/// A publication is refused, soon, and as something to be tried again.
async fn refused_soon(node: &Hub) -> Result<()> {
    let services = node.services().await?;
    let started = Instant::now();
    let answer = services.publish("chat:refused", &json!(0)).await;
    let refused = answer.err().context("published without Redis")?;
    let status = refused.downcast_ref::<tonic::Status>();
    let code = status.map(tonic::Status::code);
    ensure!(code == Some(tonic::Code::Unavailable), "{refused:?}");
    let took = started.elapsed();
    ensure!(took < REFUSED, "it took {took:?} to say so");
    Ok(())
}
