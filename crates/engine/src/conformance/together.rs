//! Publications that are handed over together, or come while others are on their way: each is as if it had come alone.

use std::sync::Arc;

use bytes::Bytes;
use switchboard_core::{Payload, Position};

use super::outcome::{Outcome, Verdict};
use super::trial::{Trial, delivered_and_kept, offsets, publication, publish_numbers, read};
use crate::request::{EngineError, PublishRequest, Published, ReadFrom};

pub(super) async fn each_has_its_own_answer(trial: &Trial<'_>) -> Outcome {
    let (engine, sink) = trial.engine().await;
    let (channel, other) = (trial.channel("a"), trial.channel("b"));
    engine.follow(&channel).await?;
    let start = publish_numbers(&engine, &channel, 1).await?;
    let at = |offset| Position { offset, ..start };
    let plain = |text: &str| publication(&channel, text);
    let with_id = |text: &str| PublishRequest {
        id: Some("order 1".into()),
        ..plain(text)
    };
    let expecting = |offset, text: &str| PublishRequest {
        expected_position: Some(at(offset)),
        ..plain(text)
    };
    let passing = |text: &str| PublishRequest {
        skip_history: true,
        ..plain(text)
    };
    let together = vec![
        plain("two"),
        with_id("three"),
        expecting(2, "too late"),
        publication(&other, "one"),
        with_id("again"),
        passing("passing"),
        expecting(3, "four"),
        plain("five"),
        with_id("and again"),
    ];
    let published = |offset| {
        Ok(Published {
            position: at(offset),
            duplicate: false,
        })
    };
    let duplicate = Ok(Published {
        position: at(3),
        duplicate: true,
    });
    let mut answers = engine.publish_all(together).await;
    ensure_eq!(answers.len(), 9, "answers");
    let elsewhere = answers.remove(3)?;
    ensure_eq!(
        (elsewhere.position.offset, elsewhere.duplicate),
        (1, false),
        "the other channel's"
    );
    let current = at(3);
    let expected = vec![
        published(2),
        published(3),
        Err(EngineError::PositionMismatch { current }),
        duplicate.clone(),
        published(3),
        published(4),
        published(5),
        duplicate,
    ];
    ensure_eq!(answers, expected, "answers");
    let seen = sink.wait_for_publications(&channel, 6).await?;
    ensure_eq!(offsets(&seen), [1, 2, 3, 0, 4, 5], "delivered offsets");
    let texts = ["1", "two", "three", "passing", "four", "five"];
    for (publication, text) in seen.iter().zip(texts) {
        let text = format!("\"{text}\"");
        ensure_eq!(publication.payload.bytes(), text.as_bytes(), "payload");
    }
    let kept: Vec<_> = seen.iter().filter(|p| p.offset > 0).cloned().collect();
    let history = engine.read(&channel, read(ReadFrom::Oldest, 10)).await?;
    ensure!(
        history.publications == kept,
        "history and deliveries differ"
    );
    Ok(Verdict::Held)
}

pub(super) async fn too_large_in_the_middle(trial: &Trial<'_>) -> Outcome {
    let (engine, sink) = trial.engine().await;
    let channel = trial.channel("a");
    engine.follow(&channel).await?;
    let of_len = |len: usize| {
        let mut request = publication(&channel, "");
        request.payload = Payload::Binary(Bytes::from(vec![b'x'; len]));
        request.retention.bytes_max = 100;
        request
    };
    // The last three are kept: what is too large takes with it what stood before it.
    let together = [40, 40, 101, 30, 40, 30].map(of_len).to_vec();
    let mut answers = Vec::new();
    for answer in engine.publish_all(together).await {
        answers.push(answer?.position.offset);
    }
    ensure_eq!(answers, [1, 2, 3, 4, 5, 6], "offsets");
    let seen = sink.wait_for_publications(&channel, 6).await?;
    ensure_eq!(offsets(&seen), [1, 2, 3, 4, 5, 6], "delivered offsets");
    let history = engine.read(&channel, read(ReadFrom::Oldest, 10)).await?;
    ensure_eq!(offsets(&history.publications), [4, 5, 6], "kept");
    for (lens, kept) in [([40, 20], vec![6, 7, 8]), ([40, 101], vec![])] {
        engine.publish_all(lens.map(of_len).to_vec()).await;
        let history = engine.read(&channel, read(ReadFrom::Oldest, 10)).await?;
        ensure_eq!(offsets(&history.publications), kept, "kept");
    }
    Ok(Verdict::Held)
}

pub(super) async fn stay_in_order(trial: &Trial<'_>) -> Outcome {
    const PUBLISHERS: usize = 4;
    const CHANNELS: usize = 3;
    const EACH: usize = 200;
    let (engine, sink) = trial.engine().await;
    let channels: Vec<_> = (0..CHANNELS)
        .map(|n| trial.channel(&format!("c{n}")))
        .collect();
    for channel in &channels {
        engine.follow(channel).await?;
    }
    sink.set_room(false);
    let publisher = |publisher: usize| {
        let (engine, channels) = (Arc::clone(&engine), channels.clone());
        tokio::spawn(async move {
            let numbers = (0..EACH).flat_map(|number| {
                let text = format!("{publisher} {number:03}");
                channels
                    .iter()
                    .map(move |channel| publication(channel, &text))
            });
            engine.publish_all(numbers.collect()).await
        })
    };
    let publishing: Vec<_> = (0..PUBLISHERS).map(publisher).collect();
    sink.wait_for_waiter().await;
    sink.set_room(true);
    for answers in publishing {
        for answer in answers.await? {
            answer?;
        }
    }
    let total = PUBLISHERS * EACH;
    for channel in &channels {
        let seen = delivered_and_kept(&engine, &sink, channel, total).await?;
        for publisher in 0..PUBLISHERS {
            let prefix = format!("\"{publisher} ");
            let own = seen
                .iter()
                .map(|p| p.payload.bytes())
                .filter(|bytes| bytes.starts_with(prefix.as_bytes()));
            ensure!(
                own.is_sorted(),
                "publisher {publisher}'s publications to {channel} were reordered"
            );
        }
    }
    Ok(Verdict::Held)
}
