//! Members, graces, and the life that their numbers count in.

use std::time::Duration;

use switchboard_core::PresenceChange::{Join, Leave};
use switchboard_engine::{Engine, EngineError, Leaving, MemberQuery, MemoryConfig};

use super::{engine, join, name, session};

#[tokio::test(start_paused = true)]
async fn graces_are_exact_on_paused_time() {
    let (engine, sink) = engine(MemoryConfig::default());
    let channel = name("a:1");
    engine.follow(&channel).await.unwrap();
    engine.join(join(&channel, 1, "alice")).await.unwrap();
    let started = tokio::time::Instant::now();
    engine
        .leave(
            &channel,
            session(1),
            Leaving::After(Duration::from_secs(10)),
        )
        .await
        .unwrap();
    sink.until_within(Duration::from_secs(20), "a leave", |events| {
        (events.len() >= 2).then_some(())
    })
    .await
    .unwrap();
    let took = started.elapsed();
    assert!(
        took >= Duration::from_secs(10) && took < Duration::from_millis(10_010),
        "{took:?}"
    );
    assert_eq!(engine.stats().graces, 0);
}

#[tokio::test(start_paused = true)]
async fn a_shorter_grace_is_not_kept_waiting_by_a_longer_one() {
    let (engine, sink) = engine(MemoryConfig::default());
    let channel = name("a:1");
    engine.follow(&channel).await.unwrap();
    let started = tokio::time::Instant::now();
    for (number, seconds) in [(1, 300), (2, 100), (3, 200)] {
        // Time passes between them: the engine waits for something else already, first for nothing at all.
        tokio::time::sleep(Duration::from_secs(1)).await; // waits: moves the paused clock
        let user = format!("user {number}");
        engine.join(join(&channel, number, &user)).await.unwrap();
        let grace = Leaving::After(Duration::from_secs(seconds));
        engine
            .leave(&channel, session(number), grace)
            .await
            .unwrap();
    }
    let mut left = Vec::new();
    for count in 4..=6 {
        let all = |events: &[_]| (events.len() >= count).then_some(());
        sink.until_within(Duration::from_mins(10), "a leave", all)
            .await
            .unwrap();
        let member = sink.presence_events(&channel)[count - 1]
            .member
            .session
            .slot;
        left.push((member, started.elapsed().as_secs()));
    }
    assert_eq!(left, [(2, 102), (3, 203), (1, 301)]);
}

#[tokio::test(start_paused = true)]
async fn an_ended_grace_leaves_nothing_behind() {
    let (engine, _sink) = engine(MemoryConfig::default());
    let channel = name("a:1");
    for number in 1..1000 {
        engine.join(join(&channel, number, "alice")).await.unwrap();
        engine
            .leave(
                &channel,
                session(number),
                Leaving::After(Duration::from_secs(10)),
            )
            .await
            .unwrap();
    }
    assert_eq!(engine.stats().graces, 1);
    engine
        .leave(&channel, session(999), Leaving::Now)
        .await
        .unwrap();
    assert_eq!(engine.stats().graces, 0);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_comes_back_after_another_took_its_place_gets_it_back() {
    let (engine, sink) = engine(MemoryConfig::default());
    let channel = name("a:1");
    engine.follow(&channel).await.unwrap();
    engine.join(join(&channel, 1, "alice")).await.unwrap();
    engine
        .leave(
            &channel,
            session(1),
            Leaving::After(Duration::from_secs(10)),
        )
        .await
        .unwrap();
    engine.join(join(&channel, 2, "alice")).await.unwrap();
    engine.join(join(&channel, 1, "alice")).await.unwrap();
    engine
        .leave(&channel, session(1), Leaving::Now)
        .await
        .unwrap();
    engine
        .leave(&channel, session(2), Leaving::Now)
        .await
        .unwrap();
    let events = sink.presence_events(&channel);
    let told: Vec<_> = events
        .iter()
        .map(|event| (event.change, event.member.session.slot))
        .collect();
    // Whoever watches never sees a session join that is there, nor a leave of one that stays.
    assert_eq!(told, [(Join, 1), (Join, 2), (Leave, 1), (Leave, 2)]);
}

#[tokio::test(start_paused = true)]
async fn presence_of_a_forgotten_channel_starts_another_life() {
    let config = MemoryConfig {
        idle_channel_ttl: Duration::from_mins(1),
        ..MemoryConfig::default()
    };
    let (engine, _sink) = engine(config);
    let channel = name("a:1");
    for number in 1..=3 {
        engine.join(join(&channel, number, "alice")).await.unwrap();
    }
    let first = engine
        .members(
            &channel,
            MemberQuery {
                after: None,
                limit: 2,
            },
        )
        .await
        .unwrap();
    for number in 1..=3 {
        engine
            .leave(&channel, session(number), Leaving::Now)
            .await
            .unwrap();
    }
    tokio::time::sleep(Duration::from_secs(80)).await; // waits: moves the paused clock
    assert_eq!(engine.stats().channels, 0);
    engine.join(join(&channel, 4, "bob")).await.unwrap();
    let again = engine
        .members(
            &channel,
            MemberQuery {
                after: None,
                limit: 2,
            },
        )
        .await
        .unwrap();
    assert_ne!(again.epoch, first.epoch);
    // A page of the old life would silently leave out the new member.
    let old_page = engine
        .members(
            &channel,
            MemberQuery {
                after: first.next,
                limit: 2,
            },
        )
        .await;
    assert!(matches!(old_page, Err(EngineError::UnknownPage)));
}
