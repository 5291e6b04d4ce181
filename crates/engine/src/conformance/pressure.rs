//! Promise 9: nothing blocks for ever, and nothing is lost for want of room.

use std::sync::Arc;
use std::time::Duration;

use super::outcome::{Failure, Outcome, Verdict};
use super::trial::{Trial, join, offsets, publication, publish_numbers, read};
use crate::request::{EngineError, ReadFrom};

pub(super) async fn waits_for_room(trial: &Trial<'_>) -> Outcome {
    let (engine, sink) = trial.engine().await;
    let channel = trial.channel("a");
    engine.follow(&channel).await?;
    publish_numbers(&engine, &channel, 1).await?;
    sink.wait_for_publications(&channel, 1).await?;
    sink.set_room(false);
    let publish = |number: usize| {
        let (engine, request) = (
            Arc::clone(&engine),
            publication(&channel, &number.to_string()),
        );
        tokio::spawn(async move { engine.publish(request).await })
    };
    let publishing: Vec<_> = (0..20).map(publish).collect();
    sink.wait_for_waiter().await;
    ensure_eq!(
        sink.publications(&channel).len(),
        1,
        "publications delivered without room"
    );
    sink.set_room(true);
    for published in publishing {
        published.await??;
    }
    let seen = sink.wait_for_publications(&channel, 21).await?;
    ensure_eq!(
        offsets(&seen),
        (1..=21).collect::<Vec<_>>(),
        "delivered offsets"
    );
    Ok(Verdict::Held)
}

pub(super) async fn ends_without_room(trial: &Trial<'_>) -> Outcome {
    let (engine, sink) = trial.engine().await;
    let channel = trial.channel("a");
    engine.follow(&channel).await?;
    sink.set_room(false);
    let publishing = tokio::time::timeout(
        Duration::from_secs(20),
        engine.publish(publication(&channel, "1")),
    );
    let answer = publishing
        .await
        .map_err(|_| Failure::new("a publisher waits for ever"))?;
    sink.set_room(true);
    let top = engine.read(&channel, read(ReadFrom::Newest, 0)).await?.top;
    match answer {
        Ok(published) => ensure_eq!(published.position, top, "where the channel stands"),
        Err(EngineError::Unavailable {
            may_have_happened, ..
        }) => {
            ensure!(
                may_have_happened || top.offset == 0,
                "what certainly did not happen, happened"
            );
        }
        Err(error) => return Err(error.into()),
    }
    let next = engine.publish(publication(&channel, "2")).await?.position;
    let seen = sink
        .wait_for_publications(&channel, next.offset as usize)
        .await?;
    ensure_eq!(
        offsets(&seen),
        (1..=next.offset).collect::<Vec<_>>(),
        "delivered offsets"
    );
    Ok(Verdict::Held)
}

pub(super) async fn shutdown(trial: &Trial<'_>) -> Outcome {
    let (engine, _sink) = trial.engine().await;
    let channel = trial.channel("a");
    publish_numbers(&engine, &channel, 1).await?;
    engine.check().await?;
    let ended = tokio::time::timeout(Duration::from_secs(10), engine.shutdown()).await;
    ensure!(ended.is_ok(), "shutdown does not end");
    let operations = async {
        let publish = engine.publish(publication(&channel, "late")).await.is_err();
        publish
            && engine.join(join(&channel, 1, None)).await.is_err()
            && engine.check().await.is_err()
    };
    let refused = tokio::time::timeout(Duration::from_secs(20), operations).await;
    ensure_eq!(
        refused,
        Ok(true),
        "whether an engine that has shut down says so"
    );
    Ok(Verdict::Held)
}
