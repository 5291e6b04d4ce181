//! Marks of durable subscriptions.

use std::sync::Arc;
use std::time::Duration;

use switchboard_core::{ChannelName, Epoch, Position};
use tokio::time::Instant;

use super::outcome::{Failure, Outcome, Verdict};
use super::trial::{Trial, join, offsets, publish_numbers, read, session};
use crate::engine::{Engine, Sink};
use crate::request::{Leaving, Mark, MarkOf, ReadFrom};

fn of(channel: &ChannelName, user: &str) -> MarkOf {
    MarkOf {
        channel: channel.clone(),
        user: user.into(),
        ttl: Duration::from_mins(10),
    }
}

/// Where a mark is that must be there already.
async fn stands(engine: &Arc<dyn Engine>, of: &MarkOf) -> Result<Position, Failure> {
    let Mark { position, made } = engine.mark(of, None).await?;
    ensure!(!made, "{}'s mark was forgotten", of.user);
    Ok(position)
}

pub(super) async fn first_subscription(trial: &Trial<'_>) -> Outcome {
    let (engine, _sink) = trial.engine().await;
    let channel = trial.channel("a");
    let third = publish_numbers(&engine, &channel, 3).await?;
    let alice = of(&channel, "alice");
    let first = engine.mark(&alice, None).await?;
    let made = Mark {
        position: third,
        made: true,
    };
    ensure_eq!(first, made, "the first mark");
    publish_numbers(&engine, &channel, 2).await?;
    ensure_eq!(stands(&engine, &alice).await?, third, "an unused mark");
    let history = engine
        .read(&channel, read(ReadFrom::After(third), 10))
        .await?;
    ensure_eq!(offsets(&history.publications), vec![4, 5], "what follows");
    // Each user and each channel has its own, whatever their names put together spell.
    for (channel, user) in [
        (trial.channel("a"), "bob"),
        (trial.channel("a:b"), "c"),
        (trial.channel("a"), "b:c"),
        (trial.channel("b"), "alice"),
    ] {
        let mark = engine.mark(&of(&channel, user), None).await?;
        ensure!(mark.made, "{user} had a mark in {channel} before the first");
    }
    // Where nothing was published yet, the first publication follows.
    let empty = trial.channel("empty");
    let mark = engine.mark(&of(&empty, "alice"), None).await?;
    publish_numbers(&engine, &empty, 1).await?;
    let history = engine
        .read(&empty, read(ReadFrom::After(mark.position), 10))
        .await?;
    ensure_eq!(
        (history.complete, offsets(&history.publications)),
        (true, vec![1]),
        "after a mark in an empty channel"
    );
    Ok(Verdict::Held)
}

pub(super) async fn never_backwards(trial: &Trial<'_>) -> Outcome {
    let (engine, _sink) = trial.engine().await;
    let channel = trial.channel("a");
    let alice = of(&channel, "alice");
    engine.mark(&alice, None).await?;
    let top = publish_numbers(&engine, &channel, 9).await?;
    let at = move |offset| Position { offset, ..top };
    for (acknowledged, expected) in [(4, 4), (4, 4), (2, 4), (0, 4), (9, 9), (8, 9)] {
        engine.acknowledge(&alice, at(acknowledged)).await?;
        let stands = stands(&engine, &alice).await?;
        ensure_eq!(
            stands,
            at(expected),
            format!("the mark after {acknowledged}")
        );
    }
    // What the channel never had moves nothing.
    engine.acknowledge(&alice, at(10)).await?;
    ensure_eq!(stands(&engine, &alice).await?, at(9), "the mark after 10");
    // All at once, in whatever order: the highest wins.
    let bob = of(&channel, "bob");
    let acks = (0..9).rev().map(|offset| {
        let (engine, bob) = (Arc::clone(&engine), bob.clone());
        tokio::spawn(async move { engine.acknowledge(&bob, at(offset)).await })
    });
    for ack in acks.collect::<Vec<_>>() {
        ack.await??;
    }
    ensure_eq!(stands(&engine, &bob).await?, at(8), "the highest of many");
    Ok(Verdict::Held)
}

pub(super) async fn explicit_start(trial: &Trial<'_>) -> Outcome {
    let (engine, _sink) = trial.engine().await;
    let channel = trial.channel("a");
    let top = publish_numbers(&engine, &channel, 5).await?;
    let at = |offset| Position { offset, ..top };
    let foreign = Position {
        epoch: Epoch(top.epoch.0 ^ 1),
        offset: 2,
    };
    for (user, start, made_at) in [
        ("alice", at(2), at(2)),
        ("bob", at(6), top),
        // Of an epoch that is over: whoever was there has missed something, and is to be told.
        ("carol", foreign, foreign),
    ] {
        let user = of(&channel, user);
        let mark = engine.mark(&user, Some(start)).await?;
        let made = Mark {
            position: made_at,
            made: true,
        };
        ensure_eq!(mark, made, format!("{}'s mark", user.user));
    }
    let history = engine
        .read(&channel, read(ReadFrom::After(foreign), 10))
        .await?;
    ensure!(!history.complete, "carol was told that she missed nothing");
    let alice = of(&channel, "alice");
    let again = engine.mark(&alice, Some(at(4))).await?;
    ensure_eq!(
        (again.position, again.made),
        (at(2), false),
        "a start does not move a mark that is there"
    );
    Ok(Verdict::Held)
}

pub(super) async fn epoch_changes(trial: &Trial<'_>) -> Outcome {
    let (engine, sink) = trial.engine().await;
    let channel = trial.channel("a");
    let old = publish_numbers(&engine, &channel, 5).await?;
    let alice = of(&channel, "alice");
    engine.mark(&alice, Some(old)).await?;
    let sink: Arc<dyn Sink> = sink;
    let Some(engine) = trial.hooks.lose_data(&engine, &sink).await else {
        return Ok(Verdict::Skipped);
    };
    trial.keep(&engine);
    let new = publish_numbers(&engine, &channel, 7).await?;
    let mark = engine.mark(&alice, Some(old)).await?;
    let history = engine
        .read(&channel, read(ReadFrom::After(mark.position), 10))
        .await?;
    ensure!(
        !history.complete,
        "a mark of the old epoch was taken for one of the new: {mark:?}"
    );
    engine.acknowledge(&alice, new).await?;
    ensure_eq!(
        stands(&engine, &alice).await?,
        new,
        "the mark in the new epoch"
    );
    // Late word of the old epoch moves nothing, though its number is higher than the mark.
    let at = |offset| Position { offset, ..new };
    let bob = of(&channel, "bob");
    engine.mark(&bob, Some(at(3))).await?;
    engine.acknowledge(&bob, old).await?;
    ensure_eq!(stands(&engine, &bob).await?, at(3), "the mark after it");
    engine.acknowledge(&bob, at(4)).await?;
    ensure_eq!(stands(&engine, &bob).await?, at(4), "the mark after 4");
    Ok(Verdict::Held)
}

pub(super) async fn expires(trial: &Trial<'_>) -> Outcome {
    const TTL: Duration = Duration::from_millis(600);
    /// What a loaded machine may add. Shorter than any sweep: the mark itself is to end.
    const SLACK: Duration = Duration::from_millis(600);
    let (engine, _sink) = trial.engine().await;
    let channel = trial.channel("a");
    let top = publish_numbers(&engine, &channel, 5).await?;
    let at = |offset| Position { offset, ..top };
    let alice = MarkOf {
        ttl: TTL,
        ..of(&channel, "alice")
    };
    let bob = of(&channel, "bob");
    engine.mark(&bob, Some(at(1))).await?;
    engine.mark(&alice, Some(at(1))).await?;
    // Each use keeps it, whichever: together they take longer than it would last by itself.
    let started = Instant::now();
    let mut used = started;
    for turn in 0..6 {
        tokio::time::sleep(TTL / 3).await;
        let late = used.elapsed() >= TTL;
        let before = Instant::now();
        if turn % 2 == 0 {
            engine.acknowledge(&alice, at(1)).await?;
        } else {
            let mark = engine.mark(&alice, None).await?;
            ensure!(late || !mark.made, "a mark in use has expired");
        }
        used = before;
    }
    ensure!(started.elapsed() > TTL, "nothing was shown");
    // A look is a use: so each waits a whole ttl.
    tokio::time::sleep(TTL + SLACK).await;
    let mark = engine.mark(&alice, None).await?;
    ensure_eq!(
        (mark.position, mark.made),
        (top, true),
        "a mark that nobody used"
    );
    // Expired and acknowledged all the same: it is made where that says.
    tokio::time::sleep(TTL + SLACK).await;
    engine.acknowledge(&alice, at(3)).await?;
    ensure_eq!(stands(&engine, &alice).await?, at(3), "the mark made anew");
    ensure_eq!(stands(&engine, &bob).await?, at(1), "the other's mark");
    Ok(Verdict::Held)
}

pub(super) async fn outlives_members(trial: &Trial<'_>) -> Outcome {
    let (engine, _sink) = trial.engine().await;
    let channel = trial.channel("a");
    let top = publish_numbers(&engine, &channel, 5).await?;
    let alice = of(&channel, "alice");
    engine.join(join(&channel, 1, Some("alice"))).await?;
    engine.mark(&alice, Some(top)).await?;
    engine.leave(&channel, session(1), Leaving::Now).await?;
    engine.remove_history(&channel).await?;
    ensure_eq!(stands(&engine, &alice).await?, top, "the mark");
    let history = engine
        .read(&channel, read(ReadFrom::After(top), 10))
        .await?;
    ensure!(
        history.complete,
        "nothing followed the mark, and yet something was missed"
    );
    Ok(Verdict::Held)
}

pub(super) async fn shared_by_nodes(trial: &Trial<'_>) -> Outcome {
    if !trial.hooks.shares_channels() {
        return Ok(Verdict::Skipped);
    }
    let (one, _) = trial.engine().await;
    let (other, _) = trial.engine().await;
    let channel = trial.channel("a");
    let alice = of(&channel, "alice");
    let top = publish_numbers(&one, &channel, 5).await?;
    let at = |offset| Position { offset, ..top };
    one.mark(&alice, Some(at(0))).await?;
    one.acknowledge(&alice, at(2)).await?;
    ensure_eq!(stands(&other, &alice).await?, at(2), "on the other node");
    other.acknowledge(&alice, at(4)).await?;
    one.acknowledge(&alice, at(3)).await?;
    ensure_eq!(stands(&one, &alice).await?, at(4), "on the first node");
    Ok(Verdict::Held)
}
