//! Graces: a member whose connection broke may come back unseen.

use std::time::Duration;

use switchboard_core::PresenceChange::{Join, Leave};
use switchboard_core::{ChannelName, PresenceChange, PresenceEvent, SessionId};
use tokio::time::Instant;

use super::capture::{Event, RecordingSink};
use super::outcome::{Failure, Outcome, Verdict};
use super::trial::{Trial, join, session};
use crate::request::{Leaving, MemberQuery};

/// Long enough not to run out by itself during a check.
const LONG: Leaving = Leaving::After(Duration::from_mins(5));

/// A millisecond that a store's clock may have cut off, and a little more.
const ROUNDING: Duration = Duration::from_millis(5);

type Told = (PresenceChange, SessionId);

async fn told(
    sink: &RecordingSink,
    channel: &ChannelName,
    count: usize,
) -> Result<Vec<Told>, Failure> {
    let events = sink.wait_for_presence(channel, count).await?;
    let numbers: Vec<_> = events.iter().map(|event| event.sequence).collect();
    ensure_eq!(
        numbers,
        (1..=events.len() as u64).collect::<Vec<_>>(),
        "sequence numbers"
    );
    Ok(events
        .iter()
        .map(|event| (event.change, event.member.session))
        .collect())
}

pub(super) async fn grace_runs_out(trial: &Trial<'_>) -> Outcome {
    let (engine, sink) = trial.engine().await;
    let channel = trial.channel("a");
    let slack = trial.hooks.grace_slack();
    engine.follow(&channel).await?;
    for number in 1..=3 {
        engine
            .join(join(&channel, number, Some(&format!("user {number}"))))
            .await?;
    }
    let started = Instant::now();
    // Longest first, so that the order of leaving is not the order of asking.
    for (number, millis) in [(1, 900), (2, 600), (3, 300)] {
        engine
            .leave(
                &channel,
                session(number),
                Leaving::After(Duration::from_millis(millis)),
            )
            .await?;
    }
    let counts = engine.count_members(std::slice::from_ref(&channel)).await?;
    ensure_eq!(counts[0].members, 3, "members within their grace");
    for (number, millis) in [(3, 300), (2, 600), (1, 900)] {
        let grace = Duration::from_millis(millis);
        let is_it = |event: &PresenceEvent| {
            event.change == Leave && event.member.session == session(number)
        };
        let left = |events: &[Event]| {
            let found = |event: &Event| matches!(event, Event::Presence(event) if is_it(event));
            events.iter().any(found).then_some(())
        };
        sink.until_within(grace + slack, "a leave", left).await?;
        let took = started.elapsed();
        ensure!(
            took + ROUNDING >= grace,
            "a grace of {grace:?} ended after {took:?}"
        );
    }
    // Leaving again tells nobody again.
    engine.leave(&channel, session(1), Leaving::Now).await?;
    engine.join(join(&channel, 4, None)).await?;
    ensure_eq!(told(&sink, &channel, 7).await?.len(), 7, "presence events");
    let counts = engine.count_members(std::slice::from_ref(&channel)).await?;
    ensure_eq!(counts[0].members, 1, "members in the end");
    Ok(Verdict::Held)
}

pub(super) async fn take_over(trial: &Trial<'_>) -> Outcome {
    let (engine, sink) = trial.engine().await;
    let channel = trial.channel("a");
    engine.follow(&channel).await?;
    engine.join(join(&channel, 1, Some("alice"))).await?;
    let short = Duration::from_millis(300);
    engine
        .leave(&channel, session(1), Leaving::After(short))
        .await?;
    engine.join(join(&channel, 2, Some("alice"))).await?;
    let listed = engine
        .members(
            &channel,
            MemberQuery {
                after: None,
                limit: 10,
            },
        )
        .await?;
    let members: Vec<_> = listed.members.iter().map(|member| member.session).collect();
    ensure_eq!(members, [session(1)], "the member keeps its first session");
    // The grace that was ended must not end the member. Another one's, started later and as long, tells when it would have.
    engine.join(join(&channel, 5, Some("carol"))).await?;
    engine
        .leave(&channel, session(5), Leaving::After(short))
        .await?;
    ensure_eq!(
        told(&sink, &channel, 3).await?,
        [(Join, session(1)), (Join, session(5)), (Leave, session(5))],
        "events"
    );
    // The session that was replaced has no say any more.
    engine.leave(&channel, session(1), Leaving::Now).await?;
    let counts = engine.count_members(std::slice::from_ref(&channel)).await?;
    ensure_eq!(
        counts[0].members,
        1,
        "members after the replaced session left"
    );
    // A second time, now from the session that took over.
    engine.leave(&channel, session(2), LONG).await?;
    engine.join(join(&channel, 3, Some("alice"))).await?;
    // Bob's grace is not Alice's to use, nor hers while she is present.
    engine.join(join(&channel, 6, Some("bob"))).await?;
    engine.leave(&channel, session(6), LONG).await?;
    engine.join(join(&channel, 7, Some("alice"))).await?;
    engine.leave(&channel, session(3), Leaving::Now).await?;
    let expected = [(Join, session(6)), (Join, session(7)), (Leave, session(1))];
    ensure_eq!(told(&sink, &channel, 6).await?[3..], expected, "events");
    let counts = engine.count_members(std::slice::from_ref(&channel)).await?;
    ensure_eq!(
        (counts[0].members, counts[0].users),
        (2, 2),
        "members and users in the end"
    );
    // A session that held the place for a while is nobody now: it joins as anybody does.
    engine.join(join(&channel, 2, Some("alice"))).await?;
    let expected = [(Join, session(2))];
    ensure_eq!(told(&sink, &channel, 7).await?[6..], expected, "events");
    Ok(Verdict::Held)
}

pub(super) async fn same_session_returns(trial: &Trial<'_>) -> Outcome {
    let (engine, sink) = trial.engine().await;
    let channel = trial.channel("a");
    engine.follow(&channel).await?;
    let short = Duration::from_millis(300);
    for (number, user) in [(1, Some("alice")), (2, None)] {
        engine.join(join(&channel, number, user)).await?;
        engine
            .leave(&channel, session(number), Leaving::After(short))
            .await?;
        engine.join(join(&channel, number, user)).await?;
    }
    engine.join(join(&channel, 3, Some("bob"))).await?;
    engine
        .leave(&channel, session(3), Leaving::After(short))
        .await?;
    let expected = [
        (Join, session(1)),
        (Join, session(2)),
        (Join, session(3)),
        (Leave, session(3)),
    ];
    ensure_eq!(told(&sink, &channel, 4).await?, expected, "events");
    engine.leave(&channel, session(1), Leaving::Now).await?;
    // Who said goodbye within a grace goes at once.
    engine.leave(&channel, session(2), LONG).await?;
    engine.leave(&channel, session(2), Leaving::Now).await?;
    let expected = [(Leave, session(1)), (Leave, session(2))];
    ensure_eq!(told(&sink, &channel, 6).await?[4..], expected, "events");
    Ok(Verdict::Held)
}

pub(super) async fn anonymous(trial: &Trial<'_>) -> Outcome {
    let (engine, sink) = trial.engine().await;
    let channel = trial.channel("a");
    engine.follow(&channel).await?;
    engine.join(join(&channel, 1, None)).await?;
    engine.leave(&channel, session(1), LONG).await?;
    engine.join(join(&channel, 2, None)).await?;
    ensure_eq!(
        told(&sink, &channel, 2).await?,
        [(Join, session(1)), (Join, session(2))],
        "events"
    );
    let counts = engine.count_members(std::slice::from_ref(&channel)).await?;
    ensure_eq!(
        (counts[0].members, counts[0].users),
        (2, 2),
        "members and users"
    );
    Ok(Verdict::Held)
}
