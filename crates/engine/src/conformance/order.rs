//! Promises 1 to 3: order, agreement, positions.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use switchboard_core::{ChannelPattern, Origin, Payload, Position, UserId};

use super::capture::Event;
use super::outcome::{Failure, Outcome, Verdict};
use super::trial::{
    Trial, delivered_and_kept, join, offsets, publication, publish_numbers, read, session,
};
use crate::request::{EngineError, ReadFrom};

pub(super) async fn offsets_count_from_one(trial: &Trial<'_>) -> Outcome {
    let (engine, sink) = trial.engine().await;
    let channel = trial.channel("a");
    engine.follow(&channel).await?;
    let last = publish_numbers(&engine, &channel, 50).await?;
    ensure_eq!(last.offset, 50, "the last offset");
    let seen = sink.wait_for_publications(&channel, 50).await?;
    ensure_eq!(
        offsets(&seen),
        (1..=50).collect::<Vec<_>>(),
        "delivered offsets"
    );
    ensure!(
        seen.iter().all(|p| p.epoch == last.epoch),
        "the epoch changed on the way"
    );
    for (number, publication) in (1..).zip(&seen) {
        let text = format!("\"{number}\"");
        ensure!(
            publication.payload.bytes() == text.as_bytes(),
            "payloads were reordered at {number}"
        );
    }
    Ok(Verdict::Held)
}

pub(super) async fn concurrent_publishers(trial: &Trial<'_>) -> Outcome {
    const PUBLISHERS: usize = 16;
    const CHANNELS: usize = 8;
    const EACH: usize = 25;
    let (engine, sink) = trial.engine().await;
    let channels: Vec<_> = (0..CHANNELS)
        .map(|n| trial.channel(&format!("c{n}")))
        .collect();
    for channel in &channels {
        engine.follow(channel).await?;
    }
    let publisher = |publisher: usize| {
        let (engine, channels) = (Arc::clone(&engine), channels.clone());
        tokio::spawn(async move {
            for number in 0..EACH {
                for channel in &channels {
                    let request = publication(channel, &format!("{publisher}-{number}"));
                    engine.publish(request).await?;
                    tokio::task::yield_now().await;
                }
            }
            Ok::<(), EngineError>(())
        })
    };
    let publishers: Vec<_> = (0..PUBLISHERS).map(publisher).collect();
    for publisher in publishers {
        publisher.await??;
    }
    let total = PUBLISHERS * EACH;
    for channel in &channels {
        let seen = delivered_and_kept(&engine, &sink, channel, total).await?;
        let distinct: BTreeSet<_> = seen.iter().map(|p| p.payload.bytes().clone()).collect();
        ensure_eq!(distinct.len(), total, "distinct publications");
    }
    Ok(Verdict::Held)
}

pub(super) async fn nodes_agree(trial: &Trial<'_>) -> Outcome {
    const EACH: u64 = 100;
    if !trial.hooks.shares_channels() {
        return Ok(Verdict::Skipped);
    }
    let (one, one_sink) = trial.engine().await;
    let (two, two_sink) = trial.engine().await;
    let channel = trial.channel("a");
    one.follow(&channel).await?;
    two.follow(&channel).await?;
    let publish = |engine: &Arc<_>| {
        let (engine, channel) = (Arc::clone(engine), channel.clone());
        tokio::spawn(async move { publish_numbers(&engine, &channel, EACH).await })
    };
    let (from_one, from_two) = (publish(&one), publish(&two));
    from_one.await??;
    from_two.await??;
    let at_one = one_sink
        .wait_for_publications(&channel, 2 * EACH as usize)
        .await?;
    let at_two = two_sink
        .wait_for_publications(&channel, 2 * EACH as usize)
        .await?;
    ensure_eq!(
        offsets(&at_one),
        (1..=2 * EACH).collect::<Vec<_>>(),
        "delivered offsets"
    );
    ensure!(at_one == at_two, "two nodes saw different orders");
    Ok(Verdict::Held)
}

pub(super) async fn carries_everything(trial: &Trial<'_>) -> Outcome {
    let (engine, sink) = trial.engine().await;
    let channel = trial.channel("a");
    engine.follow(&channel).await?;
    let mut request = publication(&channel, "");
    request.payload = Payload::Binary(Bytes::from_static(&[0, 0xff, b'\n', b'"']));
    request.id = Some("id 1".into());
    request.from = Some(Origin {
        user: Some(UserId::from("alice")),
        session: session(7),
    });
    request.tags = vec![("trace".into(), "1".into()), ("kind".into(), "ü".into())];
    request.exclude = Some(session(8));
    engine.publish(request.clone()).await?;
    let live = Arc::clone(&sink.wait_for_publications(&channel, 1).await?[0]);
    ensure_eq!(live.payload, request.payload, "payload");
    ensure_eq!(live.id, request.id, "id");
    ensure_eq!(live.from, request.from, "origin");
    ensure_eq!(live.tags, request.tags, "tags");
    ensure_eq!(live.exclude, request.exclude, "exclude");
    ensure!(
        live.time_ms > 1_600_000_000_000,
        "{} is no time of today",
        live.time_ms
    );
    let history = engine.read(&channel, read(ReadFrom::Newest, 1)).await?;
    ensure_eq!(history.publications, vec![live], "history");
    Ok(Verdict::Held)
}

pub(super) async fn publisher_is_told_the_position(trial: &Trial<'_>) -> Outcome {
    let (engine, sink) = trial.engine().await;
    let channel = trial.channel("a");
    engine.follow(&channel).await?;
    let publish = |number: usize| {
        let (engine, request) = (
            Arc::clone(&engine),
            publication(&channel, &number.to_string()),
        );
        tokio::spawn(async move {
            let payload = request.payload.clone();
            engine
                .publish(request)
                .await
                .map(|published| (published, payload))
        })
    };
    let publishing: Vec<_> = (0..40).map(publish).collect();
    let seen = sink.wait_for_publications(&channel, 40).await?;
    for published in publishing {
        let (published, payload) = published.await??;
        ensure!(
            !published.duplicate,
            "a first publication was called a duplicate"
        );
        let delivered = seen.iter().find(|p| p.position() == published.position);
        ensure_eq!(
            delivered.map(|p| &p.payload),
            Some(&payload),
            "what stands at the position told"
        );
    }
    Ok(Verdict::Held)
}

pub(super) async fn compare_and_set(trial: &Trial<'_>) -> Outcome {
    let (engine, sink) = trial.engine().await;
    let channel = trial.channel("a");
    engine.follow(&channel).await?;
    let from = |position: Position, text: &str| {
        let mut request = publication(&channel, text);
        request.expected_position = Some(position);
        engine.publish(request)
    };
    let start = engine.read(&channel, read(ReadFrom::Newest, 1)).await?.top;
    ensure_eq!(start.offset, 0, "offset of a channel never published to");
    let first = from(start, "first").await?.position;
    ensure_eq!(first.offset, 1, "offset");
    let refused = from(start, "late").await;
    ensure_eq!(
        refused,
        Err(EngineError::PositionMismatch { current: first }),
        "a late write"
    );
    let foreign = Position {
        epoch: switchboard_core::Epoch(first.epoch.0 ^ 1),
        ..first
    };
    let refused = from(foreign, "foreign").await;
    ensure_eq!(
        refused,
        Err(EngineError::PositionMismatch { current: first }),
        "another epoch"
    );
    let second = from(first, "second").await?.position;
    ensure_eq!(second.offset, 2, "offset");
    let seen = sink.wait_for_publications(&channel, 2).await?;
    ensure_eq!(offsets(&seen), vec![1, 2], "delivered offsets");
    Ok(Verdict::Held)
}

pub(super) async fn compare_and_set_races(trial: &Trial<'_>) -> Outcome {
    let (engine, _sink) = trial.engine().await;
    let channel = trial.channel("a");
    let start = publish_numbers(&engine, &channel, 1).await?;
    let racer = |number: usize| {
        let (engine, mut request) = (
            Arc::clone(&engine),
            publication(&channel, &number.to_string()),
        );
        request.expected_position = Some(start);
        tokio::spawn(async move { engine.publish(request).await })
    };
    let racing: Vec<_> = (0..20).map(racer).collect();
    let mut winners = 0;
    for racer in racing {
        match racer.await? {
            Ok(_) => winners += 1,
            Err(EngineError::PositionMismatch { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    ensure_eq!(winners, 1, "winners");
    Ok(Verdict::Held)
}

pub(super) async fn follow_and_unfollow(trial: &Trial<'_>) -> Outcome {
    let (engine, sink) = trial.engine().await;
    let (channel, other, fence) = (
        trial.channel("a"),
        trial.channel("other"),
        trial.channel("fence"),
    );
    engine.follow(&channel).await?;
    engine.follow(&fence).await?;
    engine.publish(publication(&other, "unheard")).await?;
    engine.join(join(&other, 1, Some("alice"))).await?;
    publish_numbers(&engine, &channel, 1).await?;
    sink.wait_for_publications(&channel, 1).await?;
    engine.unfollow(&channel).await;
    // What is under way may still come, and an engine may linger; but it must come to an end.
    let mut fences = 0;
    loop {
        let position = engine
            .publish(publication(&channel, "after"))
            .await?
            .position;
        engine.publish(publication(&fence, "fence")).await?;
        fences += 1;
        sink.wait_for_publications(&fence, fences).await?;
        let delivered = sink.publications(&channel);
        if delivered
            .last()
            .is_some_and(|last| last.position() != position)
        {
            break;
        }
        ensure!(fences < 300, "an unfollowed channel is still delivered");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    engine.follow(&channel).await?;
    let again = engine
        .publish(publication(&channel, "again"))
        .await?
        .position;
    let came = |event: &Event| matches!(event, Event::Publication(p) if p.channel == channel && p.position() == again);
    sink.until("a publication after following again", |events| {
        events.iter().any(came).then_some(())
    })
    .await?;
    ensure!(
        sink.publications(&other).is_empty(),
        "a channel that nobody follows was delivered"
    );
    ensure!(
        sink.presence_events(&other).is_empty(),
        "presence of a channel that nobody follows was delivered"
    );
    Ok(Verdict::Held)
}

pub(super) async fn channels_are_listed(trial: &Trial<'_>) -> Outcome {
    let (engine, _sink) = trial.engine().await;
    for name in ["m:1", "b:2", "z", "b:1", "b:3:x"] {
        publish_numbers(&engine, &trial.channel(name), 2).await?;
    }
    engine
        .join(join(&trial.channel("people"), 1, Some("alice")))
        .await?;
    engine.follow(&trial.channel("only-followed")).await?;
    let pattern = |text: &str| {
        let text = format!("{}:{text}", trial.namespace());
        ChannelPattern::parse(&text).map_err(|error| Failure::new(error.to_string()))
    };
    let all = pattern("*")?;
    let mut names = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = engine.channels(Some(&all), after.as_deref(), 2).await?;
        ensure!(
            page.channels.len() <= 2,
            "a page of 2 has {}",
            page.channels.len()
        );
        for info in &page.channels {
            let name = info
                .channel
                .as_str()
                .strip_prefix(trial.namespace())
                .unwrap_or_default();
            names.push(name.to_owned());
            let expected = if name == ":people" { (0, 1) } else { (2, 0) };
            ensure_eq!((info.position.offset, info.members), expected, name);
        }
        after = page
            .channels
            .last()
            .map(|info| info.channel.as_str().to_owned());
        if !page.more {
            break;
        }
        ensure!(names.len() < 20, "the listing does not end");
    }
    ensure_eq!(
        names,
        [":b:1", ":b:2", ":b:3:x", ":m:1", ":people", ":z"],
        "channels"
    );
    let some = engine.channels(Some(&pattern("b:*")?), None, 10).await?;
    ensure_eq!(
        (some.channels.len(), some.more),
        (3, false),
        "channels of a pattern"
    );
    Ok(Verdict::Held)
}
