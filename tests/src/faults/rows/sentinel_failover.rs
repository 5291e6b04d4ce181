//! The primary dies, and its Sentinels make the replica the primary. What only the dead one had is told as lost.

use anyhow::{Result, ensure};

use crate::faults::load::{Load, all_are};
use crate::faults::{Figures, MENDED, NOTICED, Plan};
use crate::redis::Watched;

pub(super) async fn run(plan: &Plan) -> Result<Figures> {
    let mut watched = Watched::start().await?;
    let nodes = super::nodes(plan, 2, |config| watched.engine_of(config)).await?;
    // An id may be gone with the primary: nobody repeats what may have happened.
    let mut load = Load::start(&nodes, plan, false).await?;
    loop {
        load.flows().await;
        let primary = watched.primary().await?;
        load.strikes("the primary is killed");
        watched.servers[primary].kill()?;
        all_are(&nodes, false, NOTICED).await?;
        all_are(&nodes, true, MENDED).await?;
        let successor = watched.primary().await?;
        ensure!(
            successor != primary,
            "ready, and the primary is the dead one"
        );
        load.flows().await;
        if !load.goes_on() {
            break;
        }
        (plan.tell)("the old primary comes back as a replica");
        watched.servers[primary].restart().await?;
        watched.are_whole().await?;
    }
    load.end().await
}
