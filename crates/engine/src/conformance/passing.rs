//! Publications that are not for history: who listens gets them, and they leave no trace.

use switchboard_core::Position;

use super::outcome::{Outcome, Verdict};
use super::trial::{Trial, offsets, publication, publish_numbers, read};
use crate::request::{EngineError, Published, ReadFrom};

pub(super) async fn has_no_place(trial: &Trial<'_>) -> Outcome {
    let (engine, sink) = trial.engine().await;
    let channel = trial.channel("a");
    engine.follow(&channel).await?;
    let mut passing = publication(&channel, "passing");
    passing.skip_history = true;
    let start = engine.read(&channel, read(ReadFrom::Newest, 0)).await?.top;
    let first = engine.publish(passing.clone()).await?;
    let stands = |position, duplicate| Published {
        position,
        duplicate,
    };
    ensure_eq!(
        first,
        stands(start, false),
        "where an unused channel stands"
    );
    let third = publish_numbers(&engine, &channel, 3).await?;
    ensure_eq!(third.offset, 3, "offset");
    let second = engine.publish(passing.clone()).await?;
    ensure_eq!(second, stands(third, false), "where the channel stands");
    // It moves nobody's position: whoever compares with the third may still publish.
    let mut fourth = publication(&channel, "4");
    fourth.expected_position = Some(third);
    let fourth = engine.publish(fourth).await?.position;
    ensure_eq!(fourth, Position { offset: 4, ..third }, "position");
    let seen = sink.wait_for_publications(&channel, 6).await?;
    ensure_eq!(offsets(&seen), [0, 1, 2, 3, 0, 4], "delivered offsets");
    ensure!(
        seen.iter()
            .all(|publication| publication.epoch == third.epoch),
        "the epoch changed on the way"
    );
    ensure_eq!(seen[4].payload, passing.payload, "payload");
    for (offset, expected) in [(0, vec![1, 2, 3, 4]), (3, vec![4])] {
        let from = ReadFrom::After(Position { offset, ..third });
        let history = engine.read(&channel, read(from, 10)).await?;
        let found = (offsets(&history.publications), history.complete);
        ensure_eq!(found, (expected, true), format!("read after {offset}"));
    }
    Ok(Verdict::Held)
}

pub(super) async fn keeps_to_conditions(trial: &Trial<'_>) -> Outcome {
    let (engine, sink) = trial.engine().await;
    let channel = trial.channel("a");
    engine.follow(&channel).await?;
    let first = publish_numbers(&engine, &channel, 1).await?;
    let mut passing = publication(&channel, "passing");
    passing.skip_history = true;
    passing.expected_position = Some(Position { offset: 0, ..first });
    let refused = engine.publish(passing.clone()).await;
    let mismatch = EngineError::PositionMismatch { current: first };
    ensure_eq!(refused, Err(mismatch), "a late write");
    passing.expected_position = Some(first);
    passing.id = Some("order 1".into());
    for duplicate in [false, true] {
        let published = engine.publish(passing.clone()).await?;
        let position = first;
        ensure_eq!(
            published,
            Published {
                position,
                duplicate
            },
            "an id published again"
        );
    }
    publish_numbers(&engine, &channel, 1).await?;
    let seen = sink.wait_for_publications(&channel, 3).await?;
    ensure_eq!(offsets(&seen), [1, 0, 2], "delivered offsets");
    Ok(Verdict::Held)
}
