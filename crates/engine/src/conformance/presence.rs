//! Presence: numbers, counts, pages.

use std::collections::BTreeMap;
use std::time::Duration;

use switchboard_core::PresenceChange::{Join, Leave};

use super::outcome::{Outcome, Verdict};
use super::trial::{Trial, join, session};
use crate::request::{Counts, EngineError, JoinRequest, Leaving, MemberQuery};

fn page(limit: usize, after: Option<Box<str>>) -> MemberQuery {
    MemberQuery { after, limit }
}

pub(super) async fn changes_are_numbered(trial: &Trial<'_>) -> Outcome {
    let (engine, sink) = trial.engine().await;
    let channel = trial.channel("a");
    engine.follow(&channel).await?;
    engine.join(join(&channel, 1, Some("alice"))).await?;
    engine.join(join(&channel, 2, None)).await?;
    engine.leave(&channel, session(1), Leaving::Now).await?;
    engine.join(join(&channel, 3, Some("alice"))).await?;
    let events = sink.wait_for_presence(&channel, 4).await?;
    let told: Vec<_> = events
        .iter()
        .map(|e| (e.sequence, e.change, e.member.session))
        .collect();
    let expected = [
        (1, Join, session(1)),
        (2, Join, session(2)),
        (3, Leave, session(1)),
        (4, Join, session(3)),
    ];
    ensure_eq!(told, expected, "presence events");
    ensure_eq!(events[0].member.user.as_deref(), Some("alice"), "user");
    ensure_eq!(events[0].member.info, join(&channel, 1, None).info, "info");
    ensure!(
        events[0].member.joined_ms > 1_600_000_000_000,
        "no time of today"
    );
    ensure_eq!(events[2].member, events[0].member, "the member of a leave");
    let listed = engine.members(&channel, page(10, None)).await?;
    ensure_eq!(
        (listed.epoch, listed.sequence),
        (events[0].epoch, 4),
        "where the listing stands"
    );
    ensure!(
        events.iter().all(|event| event.epoch == listed.epoch),
        "the epoch changed"
    );
    let members: Vec<_> = listed.members.iter().map(|member| member.session).collect();
    ensure_eq!(members, [session(2), session(3)], "members");
    ensure_eq!(listed.members[1], events[3].member, "a listed member");
    // Numbers go on when everybody has gone.
    engine.leave(&channel, session(2), Leaving::Now).await?;
    engine.leave(&channel, session(3), Leaving::Now).await?;
    let empty = engine.members(&channel, page(10, None)).await?;
    ensure_eq!(
        (empty.members.len(), empty.epoch, empty.sequence),
        (0, listed.epoch, 6),
        "an empty listing"
    );
    engine.join(join(&channel, 4, None)).await?;
    ensure_eq!(
        sink.wait_for_presence(&channel, 7).await?[6].sequence,
        7,
        "sequence"
    );
    Ok(Verdict::Held)
}

pub(super) async fn counts(trial: &Trial<'_>) -> Outcome {
    let (engine, _sink) = trial.engine().await;
    let (a, b, nobody) = (
        trial.channel("a"),
        trial.channel("b"),
        trial.channel("nobody"),
    );
    for (number, user) in [
        (1, Some("alice")),
        (2, Some("alice")),
        (3, Some("bob")),
        (4, None),
        (5, None),
    ] {
        engine.join(join(&a, number, user)).await?;
    }
    engine.join(join(&b, 1, Some("alice"))).await?;
    let asked = [b.clone(), nobody.clone(), a.clone()];
    let counts = engine.count_members(&asked).await?;
    let of = |members, users| Counts { members, users };
    ensure_eq!(counts, [of(1, 1), of(0, 0), of(5, 4)], "counts");
    engine.leave(&a, session(1), Leaving::Now).await?;
    ensure_eq!(
        engine.count_members(&asked).await?[2],
        of(4, 4),
        "after one of alice's two left"
    );
    engine.leave(&a, session(2), Leaving::Now).await?;
    engine.leave(&a, session(4), Leaving::Now).await?;
    ensure_eq!(
        engine.count_members(&asked).await?[2],
        of(2, 2),
        "after alice left"
    );
    let alone = engine.members(&a, page(0, None)).await?;
    ensure_eq!(
        (alone.members.len(), alone.counts, alone.next),
        (0, of(2, 2), None),
        "the counts alone"
    );
    let nothing = engine.members(&nobody, page(10, None)).await?;
    ensure_eq!(
        (nothing.counts, nothing.next),
        (of(0, 0), None),
        "a channel without members"
    );
    Ok(Verdict::Held)
}

pub(super) async fn repeats_are_silent(trial: &Trial<'_>) -> Outcome {
    let (engine, sink) = trial.engine().await;
    let channel = trial.channel("a");
    engine.follow(&channel).await?;
    engine.leave(&channel, session(9), Leaving::Now).await?;
    engine
        .leave(&channel, session(9), Leaving::After(Duration::from_secs(1)))
        .await?;
    engine.join(join(&channel, 1, Some("alice"))).await?;
    engine.join(join(&channel, 1, Some("alice"))).await?;
    engine.leave(&channel, session(1), Leaving::Now).await?;
    engine.leave(&channel, session(1), Leaving::Now).await?;
    engine.join(join(&channel, 2, Some("bob"))).await?;
    // Bob's join comes last: whatever was told before it has come by then.
    let events = sink.wait_for_presence(&channel, 3).await?;
    let told: Vec<_> = events
        .iter()
        .map(|e| (e.sequence, e.change, e.member.session))
        .collect();
    ensure_eq!(
        told,
        [
            (1, Join, session(1)),
            (2, Leave, session(1)),
            (3, Join, session(2))
        ],
        "presence events"
    );
    Ok(Verdict::Held)
}

pub(super) async fn paging(trial: &Trial<'_>) -> Outcome {
    let (engine, _sink) = trial.engine().await;
    let channel = trial.channel("a");
    for number in 1..=30 {
        engine
            .join(join(&channel, number, Some(&format!("user {number}"))))
            .await?;
    }
    let mut listed: BTreeMap<u32, usize> = BTreeMap::new();
    let mut after = None;
    // Between pages one that was listed goes, one that was not yet listed goes, and a new one comes.
    let mut turns = [(1, 30, 101), (2, 29, 102), (3, 28, 103)].into_iter();
    loop {
        let page = engine.members(&channel, page(4, after)).await?;
        ensure!(
            page.members.len() <= 4,
            "a page of 4 has {}",
            page.members.len()
        );
        ensure_eq!(page.counts.members, 30, "the members counted");
        for member in &page.members {
            *listed.entry(member.session.slot).or_default() += 1;
        }
        after = page.next;
        if after.is_none() {
            break;
        }
        ensure!(listed.len() < 100, "the listing does not end");
        if let Some((gone, unlisted, new)) = turns.next() {
            engine.leave(&channel, session(gone), Leaving::Now).await?;
            engine
                .leave(&channel, session(unlisted), Leaving::Now)
                .await?;
            engine.join(join(&channel, new, None)).await?;
            engine.join(join(&channel, new + 100, None)).await?;
        }
    }
    for number in 4..=27 {
        ensure_eq!(
            listed.get(&number),
            Some(&1),
            format!("times that member {number}, always present, was listed")
        );
    }
    ensure!(
        listed.values().all(|&times| times == 1),
        "a member was listed twice"
    );
    ensure!(turns.next().is_none(), "the listing ended early");
    for wrong in ["", "no page", "1", "-", "zz-zz", "ü"] {
        let answer = engine.members(&channel, page(4, Some(wrong.into()))).await;
        ensure!(
            matches!(answer, Err(EngineError::UnknownPage)),
            "page {wrong:?} was accepted"
        );
    }
    Ok(Verdict::Held)
}

pub(super) async fn bounded(trial: &Trial<'_>) -> Outcome {
    let (engine, sink) = trial.engine().await;
    let channel = trial.channel("bounded");
    engine.follow(&channel).await?;
    let bounded = |number, max| JoinRequest {
        members_max: Some(max),
        ..join(&channel, number, Some("alice"))
    };
    engine.join(bounded(1, 2)).await?;
    engine.join(bounded(2, 2)).await?;
    ensure_eq!(
        engine.join(bounded(3, 2)).await,
        Err(EngineError::Full),
        "a third"
    );
    // Who is a member already is not one more.
    engine.join(bounded(2, 2)).await?;
    // The bound is that of who asks.
    engine.join(join(&channel, 4, None)).await?;
    ensure_eq!(
        engine.join(bounded(5, 3)).await,
        Err(EngineError::Full),
        "a fourth"
    );
    engine.leave(&channel, session(1), Leaving::Now).await?;
    engine.leave(&channel, session(4), Leaving::Now).await?;
    engine.join(bounded(3, 2)).await?;
    let counts = engine.count_members(std::slice::from_ref(&channel)).await?;
    ensure_eq!(counts[0].members, 2, "members");
    // Who comes back within its grace takes its place.
    let grace = Leaving::After(Duration::from_mins(1));
    engine.leave(&channel, session(2), grace).await?;
    engine.join(bounded(6, 2)).await?;
    let told = sink.wait_for_presence(&channel, 6).await?.into_iter();
    let told: Vec<_> = told.map(|e| (e.change, e.member.session)).collect();
    let expected = [
        (Join, session(1)),
        (Join, session(2)),
        (Join, session(4)),
        (Leave, session(1)),
        (Leave, session(4)),
        (Join, session(3)),
    ];
    ensure_eq!(told, expected, "presence events");
    Ok(Verdict::Held)
}

/// As many as there is room for come in, whatever the number of nodes at which they ask at once.
pub(super) async fn nodes_are_bounded(trial: &Trial<'_>) -> Outcome {
    if !trial.hooks.shares_channels() {
        return Ok(Verdict::Skipped);
    }
    let (first, _sink) = trial.engine().await;
    let (second, _sink) = trial.engine().await;
    let channel = trial.channel("bounded");
    let joining = (0..20).map(|number| {
        let engine = if number % 2 == 0 { &first } else { &second };
        let request = JoinRequest {
            members_max: Some(7),
            ..join(&channel, number, None)
        };
        engine.join(request)
    });
    let joined = futures_util::future::join_all(joining).await;
    let members = joined.iter().filter(|joined| joined.is_ok()).count();
    let full = joined
        .iter()
        .filter(|j| **j == Err(EngineError::Full))
        .count();
    ensure_eq!(
        (members, full),
        (7, 13),
        "who joined and who was one too many"
    );
    let counts = second.count_members(std::slice::from_ref(&channel)).await?;
    ensure_eq!(counts[0].members, 7, "members");
    Ok(Verdict::Held)
}
