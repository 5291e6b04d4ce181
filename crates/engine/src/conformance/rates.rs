//! Rates: what may happen how often, on all nodes together.

use std::time::Duration;

use switchboard_core::RateLimit;

use super::outcome::{Outcome, Verdict};
use super::trial::Trial;

/// One every half second, and five at once.
const LIMIT: RateLimit = RateLimit {
    per_minute: 120,
    burst: 5,
};

/// The pause that one takes.
const STEP: Duration = Duration::from_millis(500);

pub(super) async fn burst_then_rate(trial: &Trial<'_>) -> Outcome {
    let (engine, _sink) = trial.engine().await;
    // Any text is a name.
    let what = format!("{}: \u{e9} {{1}}", trial.channel("user"));
    for number in 1..=5 {
        let taken = engine.take(&what, LIMIT).await?;
        ensure!(taken.is_none(), "number {number} is to wait {taken:?}");
    }
    let sixth = engine.take(&what, LIMIT).await?;
    let wait = sixth.unwrap_or_default();
    ensure!(
        !wait.is_zero() && wait <= STEP,
        "after the burst it is told to wait {sixth:?}"
    );
    let other = format!("{what} of another");
    ensure_eq!(engine.take(&other, LIMIT).await?, None, "another's first");
    // What was refused has cost nothing, and what it said is when the next is allowed.
    tokio::time::sleep(wait + Duration::from_millis(2)).await;
    ensure_eq!(engine.take(&what, LIMIT).await?, None, "after the wait");
    let unlimited = RateLimit {
        per_minute: 0,
        burst: 0,
    };
    for _ in 0..10 {
        ensure_eq!(
            engine.take(&what, unlimited).await?,
            None,
            "without a limit"
        );
    }
    Ok(Verdict::Held)
}

pub(super) async fn nodes_share(trial: &Trial<'_>) -> Outcome {
    if !trial.hooks.shares_channels() {
        return Ok(Verdict::Skipped);
    }
    let (first, _sink) = trial.engine().await;
    let (second, _sink) = trial.engine().await;
    let what = trial.channel("user").to_string();
    let mut allowed = 0;
    for number in 0..20 {
        let engine = if number % 2 == 0 { &first } else { &second };
        allowed += u32::from(engine.take(&what, LIMIT).await?.is_none());
    }
    // Half a second gives one more; twenty round trips may take some of those.
    ensure!(
        (5..=8).contains(&allowed),
        "{allowed} of 20 were allowed by two nodes"
    );
    let waits = (
        first.take(&what, LIMIT).await?,
        second.take(&what, LIMIT).await?,
    );
    ensure!(
        waits.0.is_some() || waits.1.is_some(),
        "both allow more at once"
    );
    Ok(Verdict::Held)
}
