//! Rates: what may happen how often, on all nodes together.

use std::time::Duration;

use switchboard_core::RateLimit;

use super::outcome::{Outcome, Verdict};
use super::trial::Trial;

/// So slow that nothing is allowed again while a check looks, and five at once.
const SLOW: RateLimit = RateLimit {
    per_minute: 1,
    burst: 5,
};

/// One every tenth of a second.
const QUICK: RateLimit = RateLimit {
    per_minute: 600,
    burst: 1,
};

pub(super) async fn burst_then_rate(trial: &Trial<'_>) -> Outcome {
    let (engine, _sink) = trial.engine().await;
    // Any text is a name.
    let what = format!("{}: \u{e9} {{1}}", trial.channel("user"));
    for number in 1..=5 {
        let taken = engine.take(&what, SLOW).await?;
        ensure!(taken.is_none(), "number {number} is to wait {taken:?}");
    }
    let sixth = engine.take(&what, SLOW).await?;
    let wait = sixth.unwrap_or_default();
    ensure!(
        !wait.is_zero() && wait <= Duration::from_mins(1),
        "after the burst it is told to wait {sixth:?}"
    );
    let other = format!("{what} of another");
    ensure_eq!(engine.take(&other, SLOW).await?, None, "another's first");
    let unlimited = RateLimit {
        per_minute: 0,
        burst: 0,
    };
    for _ in 0..10 {
        let taken = engine.take(&what, unlimited).await?;
        ensure_eq!(taken, None, "without a limit");
    }
    Ok(Verdict::Held)
}

/// What is refused costs nothing, and what it is told is when the next is allowed.
pub(super) async fn told_when(trial: &Trial<'_>) -> Outcome {
    let (engine, _sink) = trial.engine().await;
    let what = trial.channel("user").to_string();
    let mut told = None;
    // However slow this is: two at once are refused sooner or later.
    for _ in 0..100 {
        told = engine.take(&what, QUICK).await?;
        if told.is_some() {
            break;
        }
    }
    let wait = told.unwrap_or_default();
    ensure!(
        !wait.is_zero() && wait <= Duration::from_millis(100),
        "one of many is told to wait {told:?}"
    );
    tokio::time::sleep(wait + Duration::from_millis(2)).await;
    ensure_eq!(engine.take(&what, QUICK).await?, None, "after the wait");
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
        allowed += u32::from(engine.take(&what, SLOW).await?.is_none());
    }
    ensure_eq!(allowed, 5, "what two nodes allow of 20");
    Ok(Verdict::Held)
}
