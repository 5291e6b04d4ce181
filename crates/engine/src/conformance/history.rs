//! Promise 5: a read gives exactly what followed, or says that it cannot.

use std::sync::Arc;
use std::time::Duration;

use switchboard_core::{ChannelName, Epoch, Position, Retention};
use tokio::time::Instant;

use super::outcome::{Failure, Outcome, Verdict};
use super::trial::{ROOMY, Trial, offsets, publication, publish_numbers, read};
use crate::engine::Engine;
use crate::request::{History, ReadFrom};

/// Reads after an offset of `top`'s epoch.
async fn read_after(
    engine: &Arc<dyn Engine>,
    channel: &ChannelName,
    top: Position,
    offset: u64,
    limit: usize,
) -> Result<History, Failure> {
    let from = ReadFrom::After(Position { offset, ..top });
    Ok(engine.read(channel, read(from, limit)).await?)
}

async fn publish_with(
    engine: &Arc<dyn Engine>,
    channel: &ChannelName,
    text: &str,
    retention: Retention,
) -> Result<Position, Failure> {
    let mut request = publication(channel, text);
    request.retention = retention;
    Ok(engine.publish(request).await?.position)
}

pub(super) async fn after(trial: &Trial<'_>) -> Outcome {
    let (engine, _sink) = trial.engine().await;
    let channel = trial.channel("a");
    let top = publish_numbers(&engine, &channel, 10).await?;
    for (offset, limit, expected) in [
        (0, 100, (1..=10).collect()),
        (0, 10, (1..=10).collect()),
        (4, 100, (5..=10).collect()),
        (4, 3, vec![5, 6, 7]),
        (9, 1, vec![10]),
        (10, 5, vec![]),
        (4, 0, vec![]),
    ] {
        let history = read_after(&engine, &channel, top, offset, limit).await?;
        let what = format!("read after {offset}, at most {limit}");
        ensure_eq!(offsets(&history.publications), expected, what);
        ensure_eq!((history.top, history.complete), (top, true), what);
    }
    Ok(Verdict::Held)
}

pub(super) async fn windows(trial: &Trial<'_>) -> Outcome {
    let (engine, _sink) = trial.engine().await;
    let channel = trial.channel("a");
    let top = publish_numbers(&engine, &channel, 10).await?;
    for (from, limit, expected) in [
        (ReadFrom::Newest, 3, vec![8, 9, 10]),
        (ReadFrom::Newest, 100, (1..=10).collect()),
        (ReadFrom::Newest, 0, vec![]),
        (ReadFrom::Oldest, 3, vec![1, 2, 3]),
        (ReadFrom::Before(u64::MAX), 3, vec![10, 9, 8]),
        (ReadFrom::Before(8), 3, vec![7, 6, 5]),
        (ReadFrom::Before(2), 3, vec![1]),
        (ReadFrom::Before(1), 3, vec![]),
        (ReadFrom::Before(0), 3, vec![]),
    ] {
        let history = engine.read(&channel, read(from, limit)).await?;
        ensure_eq!(
            offsets(&history.publications),
            expected,
            format!("{from:?}, at most {limit}")
        );
        ensure_eq!(
            (history.top, history.complete),
            (top, true),
            format!("{from:?}")
        );
    }
    Ok(Verdict::Held)
}

pub(super) async fn never_published(trial: &Trial<'_>) -> Outcome {
    let (engine, _sink) = trial.engine().await;
    let channel = trial.channel("a");
    let newest = engine.read(&channel, read(ReadFrom::Newest, 10)).await?;
    ensure_eq!(
        (
            newest.publications.len(),
            newest.top.offset,
            newest.complete
        ),
        (0, 0, true),
        "newest"
    );
    let start = newest.top;
    let history = read_after(&engine, &channel, start, 0, 10).await?;
    ensure_eq!(
        (history.publications.len(), history.complete),
        (0, true),
        "after the start"
    );
    // Whoever subscribed before the first publication misses nothing.
    let first = publish_numbers(&engine, &channel, 1).await?;
    ensure_eq!(
        first.epoch,
        start.epoch,
        "the epoch of the first publication"
    );
    let history = read_after(&engine, &channel, start, 0, 10).await?;
    ensure_eq!(
        (offsets(&history.publications), history.complete),
        (vec![1], true),
        "after the start"
    );
    Ok(Verdict::Held)
}

pub(super) async fn foreign_positions(trial: &Trial<'_>) -> Outcome {
    let (engine, _sink) = trial.engine().await;
    for (name, count) in [("a", 5), ("unpublished", 0)] {
        let channel = trial.channel(name);
        for number in 0..count {
            engine
                .publish(publication(&channel, &number.to_string()))
                .await?;
        }
        let top = engine.read(&channel, read(ReadFrom::Newest, 0)).await?.top;
        let beyond = read_after(&engine, &channel, top, top.offset + 1, 10).await?;
        ensure_eq!(
            (beyond.complete, beyond.top),
            (false, top),
            "beyond the top"
        );
        let beyond = read_after(&engine, &channel, top, u64::MAX, 10).await?;
        ensure_eq!(
            (beyond.complete, beyond.top),
            (false, top),
            "far beyond the top"
        );
        for offset in [0, top.offset] {
            let foreign = Position {
                epoch: Epoch(top.epoch.0 ^ 1),
                offset,
            };
            let foreign = read_after(&engine, &channel, foreign, offset, 10).await?;
            ensure_eq!(
                (foreign.complete, foreign.top),
                (false, top),
                "another epoch"
            );
        }
    }
    Ok(Verdict::Held)
}

pub(super) async fn bounded_by_count(trial: &Trial<'_>) -> Outcome {
    let (engine, _sink) = trial.engine().await;
    let channel = trial.channel("a");
    let five = Retention {
        count_max: 5,
        ..ROOMY
    };
    let mut top = None;
    for number in 1..=12 {
        top = Some(publish_with(&engine, &channel, &number.to_string(), five).await?);
    }
    let top = top.ok_or_else(|| Failure::new("nothing was published"))?;
    let oldest = engine.read(&channel, read(ReadFrom::Oldest, 100)).await?;
    ensure_eq!(
        offsets(&oldest.publications),
        vec![8, 9, 10, 11, 12],
        "what is kept"
    );
    for (offset, complete) in [(0, false), (6, false), (7, true), (9, true), (12, true)] {
        for limit in [0, 1, 100] {
            let history = read_after(&engine, &channel, top, offset, limit).await?;
            ensure_eq!(
                history.complete,
                complete,
                format!("read after {offset}, at most {limit}")
            );
        }
    }
    Ok(Verdict::Held)
}

pub(super) async fn bounded_by_bytes(trial: &Trial<'_>) -> Outcome {
    let (engine, _sink) = trial.engine().await;
    let channel = trial.channel("a");
    // With its quotes a text has two bytes more.
    let thirty = Retention {
        bytes_max: 30,
        ..ROOMY
    };
    for text in ["12345678", "12345678", "12345678", "123"] {
        publish_with(&engine, &channel, text, thirty).await?;
    }
    let oldest = engine.read(&channel, read(ReadFrom::Oldest, 100)).await?;
    ensure_eq!(offsets(&oldest.publications), vec![2, 3, 4], "what is kept");
    let top = publish_with(&engine, &channel, &"x".repeat(40), thirty).await?;
    let oldest = engine.read(&channel, read(ReadFrom::Oldest, 100)).await?;
    ensure!(
        oldest.publications.is_empty(),
        "more bytes are kept than asked for"
    );
    let history = read_after(&engine, &channel, top, 4, 100).await?;
    ensure!(
        !history.complete,
        "a publication too large to keep was skipped silently"
    );
    Ok(Verdict::Held)
}

pub(super) async fn bounded_by_age(trial: &Trial<'_>) -> Outcome {
    const AGE_MAX: Duration = Duration::from_millis(500);
    /// What a loaded machine may add. Shorter than any sweep: a read is not to show what is too old.
    const SLACK: Duration = Duration::from_secs(1);
    let (engine, _sink) = trial.engine().await;
    let channel = trial.channel("a");
    let short = Retention {
        age_max: AGE_MAX,
        ..ROOMY
    };
    let started = Instant::now();
    let top = publish_with(&engine, &channel, "1", short).await?;
    let history = read_after(&engine, &channel, top, 0, 10).await?;
    ensure_eq!(
        (history.publications.len(), history.complete),
        (1, true),
        "before its age"
    );
    loop {
        let history = read_after(&engine, &channel, top, 0, 10).await?;
        if !history.complete {
            ensure!(history.publications.is_empty(), "what is too old is shown");
            break;
        }
        ensure_eq!(offsets(&history.publications), vec![1], "a complete read");
        let waited = started.elapsed();
        ensure!(
            waited < AGE_MAX + SLACK,
            "what may be {AGE_MAX:?} old is shown after {waited:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let history = read_after(&engine, &channel, top, 1, 10).await?;
    ensure_eq!(
        (history.top, history.complete),
        (top, true),
        "a read from the top"
    );
    let next = publish_with(&engine, &channel, "2", short).await?;
    ensure_eq!(
        next,
        Position { offset: 2, ..top },
        "the position after all has aged"
    );
    Ok(Verdict::Held)
}

pub(super) async fn holes(trial: &Trial<'_>) -> Outcome {
    let (engine, sink) = trial.engine().await;
    let channel = trial.channel("a");
    engine.follow(&channel).await?;
    publish_numbers(&engine, &channel, 3).await?;
    let skipped = publish_with(&engine, &channel, "skipped", Retention::NONE).await?;
    ensure_eq!(
        skipped.offset,
        4,
        "the offset of a publication that skips history"
    );
    // A hole at the end: nothing newer shows it.
    let history = read_after(&engine, &channel, skipped, 3, 10).await?;
    ensure!(
        !history.complete,
        "a hole at the top was passed over silently"
    );
    for (limit, complete) in [(10, false), (1, true)] {
        let history = read_after(&engine, &channel, skipped, 2, limit).await?;
        let what = format!("read up to a hole at the top, at most {limit}");
        ensure_eq!(
            (offsets(&history.publications), history.complete),
            (vec![3], complete),
            what
        );
    }
    let top = publish_numbers(&engine, &channel, 2).await?;
    let seen = sink.wait_for_publications(&channel, 6).await?;
    ensure_eq!(offsets(&seen), vec![1, 2, 3, 4, 5, 6], "delivered offsets");
    for (offset, limit, complete) in [
        (0, 100, false),
        (0, 4, false),
        // What limit cuts off does not count: the next page tells of the hole.
        (0, 3, true),
        (2, 1, true),
        (3, 100, false),
        (3, 1, false),
        (4, 100, true),
        (6, 100, true),
    ] {
        let history = read_after(&engine, &channel, top, offset, limit).await?;
        ensure_eq!(
            history.complete,
            complete,
            format!("read after {offset}, at most {limit}")
        );
    }
    let newest = engine.read(&channel, read(ReadFrom::Newest, 3)).await?;
    ensure_eq!(offsets(&newest.publications), vec![3, 5, 6], "the newest");
    Ok(Verdict::Held)
}

pub(super) async fn removed(trial: &Trial<'_>) -> Outcome {
    let (engine, _sink) = trial.engine().await;
    let channel = trial.channel("a");
    engine.remove_history(&channel).await?;
    let mut request = publication(&channel, "x");
    request.id = Some("order 1".into());
    engine.publish(request.clone()).await?;
    let before = publish_numbers(&engine, &channel, 4).await?;
    engine.remove_history(&channel).await?;
    let newest = engine.read(&channel, read(ReadFrom::Newest, 10)).await?;
    ensure_eq!(
        (newest.publications.len(), newest.top),
        (0, before),
        "after removal"
    );
    for (offset, complete) in [(0, false), (4, false), (5, true)] {
        let history = read_after(&engine, &channel, before, offset, 10).await?;
        ensure_eq!(history.complete, complete, format!("read after {offset}"));
    }
    let next = engine
        .publish(publication(&channel, "next"))
        .await?
        .position;
    ensure_eq!(
        next,
        Position {
            offset: 6,
            ..before
        },
        "the next position"
    );
    let history = read_after(&engine, &channel, before, 5, 10).await?;
    ensure_eq!(
        (offsets(&history.publications), history.complete),
        (vec![6], true),
        "after the removal"
    );
    let history = read_after(&engine, &channel, before, 4, 10).await?;
    ensure!(
        !history.complete,
        "removed history was passed over silently"
    );
    ensure!(
        engine.publish(request).await?.duplicate,
        "removing history forgot an id"
    );
    Ok(Verdict::Held)
}
