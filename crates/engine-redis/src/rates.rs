//! What is limited in how often it may happen, on all nodes together: a key each, one script, one round trip. The clock is the
//! server's, so nodes' clocks need not agree.

use std::time::Duration;

use switchboard_core::RateLimit;
use switchboard_engine::EngineError;

use crate::deadline::unavailable;
use crate::scripts::{self, number};
use crate::shards::Shards;

/// Takes one, or tells how long to wait.
pub(crate) async fn take(
    shards: &Shards,
    what: &str,
    limit: RateLimit,
) -> Result<Option<Duration>, EngineError> {
    let Some(step_us) = limit.step_us() else {
        return Ok(None);
    };
    let (partition, key) = shards.keys.rate(what);
    let arguments = [number(step_us), number(limit.tolerance_us())];
    let waits = shards
        .run(partition, &scripts::TAKE, &[key], &arguments)
        .await
        .and_then(|waits| waits.number());
    match waits.map_err(unavailable)? {
        0 => Ok(None),
        waits => Ok(Some(Duration::from_micros(waits))),
    }
}
