//! Promises 6 to 8, with the faults that an engine's test supplies.

use std::sync::Arc;
use std::time::Duration;

use switchboard_core::{ChannelName, PresenceChange};
use tokio::time::Instant;

use super::capture::{Event, RecordingSink};
use super::follower::Follower;
use super::outcome::{Failure, Outcome, Verdict};
use super::trial::{Trial, join, publication, publish_numbers, read, session};
use crate::engine::{Engine, Sink};
use crate::request::{EngineError, Leaving, MemberQuery, ReadFrom};

/// Promise 6's bound, and what a loaded machine may add.
const ANNOUNCED_WITHIN: Duration = Duration::from_secs(4);

/// Publishes until the engine takes it: a fault may refuse some. With an id, so that a retry does not publish twice.
async fn publish_surely(
    engine: &Arc<dyn Engine>,
    channel: &ChannelName,
    text: &str,
) -> Result<(), Failure> {
    let mut request = publication(channel, text);
    request.id = Some(text.into());
    loop {
        match engine.publish(request.clone()).await {
            Ok(_) => return Ok(()),
            Err(EngineError::Unavailable { .. }) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits until a node that refills what it is told of stands at the channel's top.
async fn catches_up(
    follower: &mut Follower,
    engine: &Arc<dyn Engine>,
    sink: &RecordingSink,
    last: u64,
) -> Result<(), Failure> {
    let started = Instant::now();
    loop {
        follower.take(&**engine, &sink.events()).await?;
        if follower.position().offset >= last {
            return Ok(());
        }
        let at = follower.position().offset;
        ensure!(
            started.elapsed() < ANNOUNCED_WITHIN,
            "at {at} of {last}: a loss was not announced"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(super) async fn interruption_is_announced(trial: &Trial<'_>) -> Outcome {
    let (engine, sink) = trial.engine().await;
    let channel = trial.channel("a");
    engine.follow(&channel).await?;
    let start = engine.read(&channel, read(ReadFrom::Newest, 0)).await?.top;
    let mut follower = Follower::new(channel.clone(), start);
    for number in 1..=10 {
        publish_surely(&engine, &channel, &format!("before {number}")).await?;
    }
    if !trial.hooks.interrupt(&engine).await {
        return Ok(Verdict::Skipped);
    }
    for number in 1..=10 {
        publish_surely(&engine, &channel, &format!("during {number}")).await?;
    }
    // Nothing is published after these: the announcement alone must lead to them.
    catches_up(&mut follower, &engine, &sink, 20).await?;
    for number in 1..=10 {
        publish_surely(&engine, &channel, &format!("after {number}")).await?;
    }
    catches_up(&mut follower, &engine, &sink, 30).await?;
    ensure!(
        follower.gaps.is_empty(),
        "history was retained and yet there were gaps"
    );
    ensure!(
        follower.refilled > 0,
        "the fault lost nothing, so nothing was shown"
    );
    let passed_on: Vec<_> = follower.passed_on.iter().map(|p| p.offset).collect();
    ensure_eq!(passed_on, (1..=30).collect::<Vec<_>>(), "passed on");
    Ok(Verdict::Held)
}

pub(super) async fn lost_data_changes_the_epoch(trial: &Trial<'_>) -> Outcome {
    let (engine, sink) = trial.engine().await;
    let channel = trial.channel("a");
    let before = publish_numbers(&engine, &channel, 5).await?;
    let empty = trial.channel("empty");
    let empty_before = engine.read(&empty, read(ReadFrom::Newest, 0)).await?.top;
    engine.join(join(&channel, 1, Some("alice"))).await?;
    let presence = engine
        .members(
            &channel,
            MemberQuery {
                after: None,
                limit: 10,
            },
        )
        .await?;
    let sink: Arc<dyn Sink> = sink;
    let Some(engine) = trial.hooks.lose_data(&engine, &sink).await else {
        return Ok(Verdict::Skipped);
    };
    trial.keep(&engine);
    let history = engine
        .read(&channel, read(ReadFrom::After(before), 10))
        .await?;
    ensure!(
        !history.complete,
        "a client was told that it missed nothing"
    );
    let after = publish_numbers(&engine, &channel, 5).await?;
    ensure!(after.epoch != before.epoch, "the epoch is the same");
    ensure_eq!(after.offset, 5, "offsets of the new epoch");
    // The same offset in the old epoch: nobody may take it for the new one's.
    let history = engine
        .read(&channel, read(ReadFrom::After(before), 10))
        .await?;
    ensure!(
        !history.complete,
        "a client of the old epoch was told that it missed nothing"
    );
    // Nor may one who stood at the start of the old epoch be led over what the old one published.
    publish_numbers(&engine, &empty, 1).await?;
    let history = engine
        .read(&empty, read(ReadFrom::After(empty_before), 10))
        .await?;
    ensure!(!history.complete, "an empty channel's old epoch goes on");
    let now = engine
        .members(
            &channel,
            MemberQuery {
                after: None,
                limit: 10,
            },
        )
        .await?;
    let same_life = now.epoch == presence.epoch && now.sequence <= presence.sequence;
    ensure!(
        !same_life || now.members == presence.members,
        "presence lost members within its epoch"
    );
    Ok(Verdict::Held)
}

pub(super) async fn dead_node(trial: &Trial<'_>) -> Outcome {
    if !trial.hooks.shares_channels() {
        return Ok(Verdict::Skipped);
    }
    let (victim, _victim_sink) = trial.engine().await;
    let (survivor, sink) = trial.engine().await;
    let (other, other_sink) = trial.engine().await;
    let channel = trial.channel("a");
    survivor.follow(&channel).await?;
    other.follow(&channel).await?;
    for number in 1..=3 {
        victim
            .join(join(&channel, number, Some(&format!("user {number}"))))
            .await?;
    }
    survivor.join(join(&channel, 4, Some("user 4"))).await?;
    sink.wait_for_presence(&channel, 4).await?;
    let Some(lease) = trial.hooks.kill_node(&victim).await else {
        return Ok(Verdict::Skipped);
    };
    let what = "the leaves of a dead node's members";
    let slack = trial.hooks.grace_slack();
    let all_left = |events: &[Event]| (leaves(events, &channel).len() >= 3).then_some(());
    sink.until_within(lease + slack, what, all_left).await?;
    // A further change comes after whatever was still to be told.
    survivor.leave(&channel, session(4), Leaving::Now).await?;
    let counts = survivor
        .count_members(std::slice::from_ref(&channel))
        .await?;
    ensure_eq!(counts[0].members, 0, "members in the end");
    for sink in [&sink, &other_sink] {
        sink.wait_for_presence(&channel, 8).await?;
        ensure_eq!(leaves(&sink.events(), &channel), [1, 2, 3, 4], what);
    }
    Ok(Verdict::Held)
}

/// Who left, ascending.
fn leaves(events: &[Event], channel: &ChannelName) -> Vec<u32> {
    let leave = |event: &Event| match event {
        Event::Presence(event)
            if event.channel == *channel && event.change == PresenceChange::Leave =>
        {
            Some(event.member.session.slot)
        }
        _ => None,
    };
    let mut left: Vec<_> = events.iter().filter_map(leave).collect();
    left.sort_unstable();
    left
}
