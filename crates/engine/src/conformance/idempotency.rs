//! Promise 4: the same id publishes once.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::outcome::{Outcome, Verdict};
use super::trial::{Trial, offsets, publication, publish_numbers};
use crate::request::Published;

pub(super) async fn publishes_once(trial: &Trial<'_>) -> Outcome {
    let (engine, sink) = trial.engine().await;
    let (channel, other) = (trial.channel("a"), trial.channel("b"));
    engine.follow(&channel).await?;
    let mut request = publication(&channel, "x");
    request.id = Some("order 1".into());
    let first = engine.publish(request.clone()).await?;
    ensure!(!first.duplicate, "the first was called a duplicate");
    publish_numbers(&engine, &channel, 3).await?;
    let again = engine.publish(request.clone()).await?;
    ensure_eq!(
        again,
        Published {
            position: first.position,
            duplicate: true
        },
        "a retry"
    );
    request.id = Some("order 2".into());
    ensure!(
        !engine.publish(request.clone()).await?.duplicate,
        "another id was called a duplicate"
    );
    request.channel = other;
    ensure!(
        !engine.publish(request).await?.duplicate,
        "another channel's id was called a duplicate"
    );
    let seen = sink.wait_for_publications(&channel, 5).await?;
    ensure_eq!(offsets(&seen), vec![1, 2, 3, 4, 5], "delivered offsets");
    Ok(Verdict::Held)
}

pub(super) async fn concurrent_retries(trial: &Trial<'_>) -> Outcome {
    let (engine, _sink) = trial.engine().await;
    let channel = trial.channel("a");
    let mut request = publication(&channel, "x");
    request.id = Some("order 1".into());
    let retry = |_| {
        let (engine, request) = (Arc::clone(&engine), request.clone());
        tokio::spawn(async move { engine.publish(request).await })
    };
    let retries: Vec<_> = (0..20).map(retry).collect();
    let (mut firsts, mut last) = (0, None);
    for retry in retries {
        let published = retry.await??;
        firsts += usize::from(!published.duplicate);
        let before = last.replace(published.position);
        ensure!(
            before.is_none_or(|before| before == published.position),
            "retries got two positions"
        );
    }
    ensure_eq!(firsts, 1, "publications that were no duplicates");
    let next = engine.publish(publication(&channel, "next")).await?;
    ensure_eq!(next.position.offset, 2, "the next offset");
    Ok(Verdict::Held)
}

pub(super) async fn window_ends(trial: &Trial<'_>) -> Outcome {
    const WINDOW: Duration = Duration::from_millis(400);
    /// What a loaded machine may add. Shorter than any sweep: the window itself is to end.
    const SLACK: Duration = Duration::from_millis(600);
    let (engine, _sink) = trial.engine().await;
    let channel = trial.channel("a");
    let mut request = publication(&channel, "x");
    request.id = Some("order 1".into());
    request.idempotency_window = WINDOW;
    let started = Instant::now();
    engine.publish(request.clone()).await?;
    ensure!(
        engine.publish(request.clone()).await?.duplicate,
        "an id was forgotten within its window"
    );
    let again = loop {
        let published = engine.publish(request.clone()).await?;
        if !published.duplicate {
            break published;
        }
        let waited = started.elapsed();
        ensure!(
            waited < WINDOW + SLACK,
            "an id is remembered {waited:?} for a window of {WINDOW:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    ensure_eq!(again.position.offset, 2, "the offset after the window");
    ensure!(
        engine.publish(request).await?.duplicate,
        "the second window does not hold"
    );
    Ok(Verdict::Held)
}

pub(super) async fn retry_of_compare_and_set(trial: &Trial<'_>) -> Outcome {
    let (engine, _sink) = trial.engine().await;
    let channel = trial.channel("a");
    let mut request = publication(&channel, "x");
    request.id = Some("order 1".into());
    request.expected_position = Some(publish_numbers(&engine, &channel, 1).await?);
    let first = engine.publish(request.clone()).await?;
    let again = engine.publish(request).await?;
    ensure_eq!(
        again,
        Published {
            position: first.position,
            duplicate: true
        },
        "a retry"
    );
    Ok(Verdict::Held)
}
