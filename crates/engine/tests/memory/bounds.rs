//! What is kept has bounds, and what is forgotten is not mistaken for what never was.

use std::sync::Arc;
use std::time::Duration;

use switchboard_core::{Position, Retention};
use switchboard_engine::{Engine, EngineError, MarkOf, MemoryConfig, Read, ReadFrom};

use super::{engine, name, publication};

#[tokio::test(start_paused = true)]
async fn a_forgotten_channel_comes_back_in_another_epoch() {
    let config = MemoryConfig {
        idle_channel_ttl: Duration::from_mins(1),
        ..MemoryConfig::default()
    };
    let (engine, _sink) = engine(config);
    let (published, empty, followed) = (name("a:published"), name("a:empty"), name("a:followed"));
    let mut old = Vec::new();
    // The same offsets each time: only the epoch can tell the lives apart.
    for _ in 0..3 {
        let first = engine
            .publish(publication(&published, Retention::NONE))
            .await
            .unwrap()
            .position;
        assert_eq!(first.offset, 1);
        assert!(
            old.iter()
                .all(|before: &Position| before.epoch != first.epoch),
            "an epoch came back"
        );
        for before in &old {
            let read = Read {
                from: ReadFrom::After(*before),
                limit: 10,
            };
            assert!(!engine.read(&published, read).await.unwrap().complete);
        }
        old.push(first);
        engine.follow(&empty).await.unwrap();
        engine.unfollow(&empty).await;
        engine.follow(&followed).await.unwrap();
        assert_eq!(engine.stats().channels, 3);
        tokio::time::sleep(Duration::from_secs(59)).await; // waits: moves the paused clock
        assert_eq!(
            engine.stats().channels,
            3,
            "a channel was forgotten before its time"
        );
        tokio::time::sleep(Duration::from_secs(20)).await; // waits: moves the paused clock
        assert_eq!(
            engine.stats().channels,
            1,
            "only the followed channel is to be kept"
        );
        // Between two lives a channel stands in none of the old epochs.
        let top = engine
            .read(
                &published,
                Read {
                    from: ReadFrom::Newest,
                    limit: 1,
                },
            )
            .await
            .unwrap()
            .top;
        assert!(top.offset == 0 && old.iter().all(|before| before.epoch != top.epoch));
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_expired_is_freed_without_being_asked_for() {
    let config = MemoryConfig {
        idle_channel_ttl: Duration::from_secs(1),
        ..MemoryConfig::default()
    };
    let (engine, _sink) = engine(config);
    let short = Retention {
        count_max: 100,
        bytes_max: 10_000,
        age_max: Duration::from_secs(30),
    };
    for number in 0..500 {
        let mut request = publication(&name(&format!("a:{number}")), short);
        request.id = Some("id".into());
        request.idempotency_window = Duration::from_mins(1);
        engine.publish(request).await.unwrap();
    }
    assert!(engine.stats().history_bytes > 500 * 100);
    tokio::time::sleep(Duration::from_secs(50)).await; // waits: moves the paused clock
    assert_eq!(engine.stats().history_bytes, 0);
    assert_eq!(engine.stats().channels, 500, "ids keep their channels");
    tokio::time::sleep(Duration::from_secs(30)).await; // waits: moves the paused clock
    assert_eq!(engine.stats().channels, 0);
}

/// Payloads of a byte with the tags that a publication may carry: what is kept is tags, most of all.
#[tokio::test]
async fn ids_and_tags_count_towards_the_bound_on_all_histories() {
    const TAGS_BYTES: usize = 4096;
    let history_bytes_max = 64 * 1024;
    let (engine, _sink) = engine(MemoryConfig {
        history_bytes_max,
        ..MemoryConfig::default()
    });
    let keep = Retention {
        count_max: 1000,
        bytes_max: 1_000_000,
        age_max: Duration::from_mins(1),
    };
    let channel = name("a:1");
    for number in 0..100 {
        let mut request = publication(&channel, keep);
        request.id = Some(format!("{number:0>200}").into());
        request.tags = vec![("tag".into(), "x".repeat(TAGS_BYTES - 3).into())];
        engine.publish(request).await.unwrap();
    }
    let from = ReadFrom::Oldest;
    let kept = engine.read(&channel, Read { from, limit: 1000 }).await;
    let kept = kept.unwrap().publications.len();
    assert!(kept > 0, "nothing is kept");
    let at_least = kept * (TAGS_BYTES + 200);
    assert!(
        at_least <= history_bytes_max,
        "{kept} publications of {TAGS_BYTES} bytes each are kept"
    );
    assert!(engine.stats().history_bytes >= at_least);
    engine.remove_history(&channel).await.unwrap();
    assert_eq!(engine.stats().history_bytes, 0);
}

#[tokio::test]
async fn all_histories_together_are_bounded_and_the_loss_is_told() {
    let (engine, _sink) = engine(MemoryConfig {
        history_bytes_max: 10_000,
        ..MemoryConfig::default()
    });
    let keep = Retention {
        count_max: 1000,
        bytes_max: 1_000_000,
        age_max: Duration::from_mins(1),
    };
    let channel = name("a:1");
    for _ in 0..100 {
        engine.publish(publication(&channel, keep)).await.unwrap();
    }
    assert!(engine.stats().history_bytes <= 10_000);
    let oldest = engine
        .read(
            &channel,
            Read {
                from: ReadFrom::Oldest,
                limit: 1000,
            },
        )
        .await
        .unwrap();
    assert!((10..100).contains(&oldest.publications.len()));
    assert_eq!(
        oldest.publications.last().unwrap().offset,
        100,
        "the newest are kept"
    );
    let start = Position {
        offset: 0,
        ..oldest.top
    };
    assert!(
        !engine
            .read(
                &channel,
                Read {
                    from: ReadFrom::After(start),
                    limit: 1000
                }
            )
            .await
            .unwrap()
            .complete
    );
    engine.remove_history(&channel).await.unwrap();
    assert_eq!(engine.stats().history_bytes, 0);
}

#[tokio::test]
async fn ids_are_bounded_and_what_is_forgotten_early_is_counted() {
    let (engine, _sink) = engine(MemoryConfig {
        ids_per_channel_max: 10,
        ..MemoryConfig::default()
    });
    let channel = name("a:1");
    let publish = |number: usize| {
        let mut request = publication(&channel, Retention::NONE);
        request.id = Some(number.to_string().into());
        request.idempotency_window = Duration::from_mins(1);
        engine.publish(request)
    };
    for number in 0..15 {
        assert!(!publish(number).await.unwrap().duplicate);
    }
    assert_eq!(engine.stats().ids_forgotten, 5);
    assert!(publish(14).await.unwrap().duplicate && publish(5).await.unwrap().duplicate);
    assert!(!publish(4).await.unwrap().duplicate);
}

#[tokio::test(start_paused = true)]
async fn an_id_published_again_after_its_window_is_not_forgotten_for_the_first_time() {
    let config = MemoryConfig {
        ids_per_channel_max: 3,
        ..MemoryConfig::default()
    };
    let (engine, _sink) = engine(config);
    let channel = name("a:1");
    let publish = |id: &str| {
        // Not for history: the offset is the same both times, so it cannot tell them apart.
        let mut request = publication(&channel, Retention::NONE);
        request.skip_history = true;
        request.id = Some(id.into());
        request.idempotency_window = Duration::from_secs(10);
        engine.publish(request)
    };
    for id in ["x", "y", "a"] {
        assert!(!publish(id).await.unwrap().duplicate);
    }
    tokio::time::advance(Duration::from_secs(11)).await;
    for id in ["a", "z", "w"] {
        assert!(!publish(id).await.unwrap().duplicate);
    }
    assert!(publish("a").await.unwrap().duplicate);
    assert_eq!(engine.stats().ids_forgotten, 0);
}

#[tokio::test]
async fn channels_are_bounded() {
    let (engine, _sink) = engine(MemoryConfig {
        channels_max: 2,
        ..MemoryConfig::default()
    });
    engine.follow(&name("a:1")).await.unwrap();
    engine
        .publish(publication(&name("a:2"), Retention::NONE))
        .await
        .unwrap();
    let third = engine
        .publish(publication(&name("a:3"), Retention::NONE))
        .await;
    assert!(
        matches!(
            third,
            Err(EngineError::Unavailable {
                may_have_happened: false,
                ..
            })
        ),
        "{third:?}"
    );
    engine
        .publish(publication(&name("a:1"), Retention::NONE))
        .await
        .unwrap();
}

#[tokio::test]
async fn epochs_fit_a_double_and_differ_at_each_start() {
    let channel = name("a:1");
    let mut epochs = Vec::new();
    for _ in 0..20 {
        let (engine, _sink) = engine(MemoryConfig::default());
        let position = engine
            .publish(publication(&channel, Retention::NONE))
            .await
            .unwrap()
            .position;
        let other = engine
            .publish(publication(&name("b:1"), Retention::NONE))
            .await
            .unwrap()
            .position;
        assert_eq!(position, other, "channels of a run share its epoch");
        assert!(position.epoch.0 < 1 << 53);
        epochs.push(position.epoch);
    }
    epochs.sort_unstable();
    epochs.dedup();
    assert_eq!(epochs.len(), 20);
}

#[tokio::test]
async fn dropping_the_engine_ends_its_tasks() {
    let (engine, sink) = engine(MemoryConfig::default());
    let weak = Arc::downgrade(&sink);
    drop((engine, sink));
    // The tasks hold the sink; they end at their next turn.
    let gone = async {
        while weak.upgrade().is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone)
        .await
        .expect("the tasks go on");
}

#[tokio::test(start_paused = true)]
async fn marks_are_bounded_and_keep_their_channel_until_they_expire() {
    let config = MemoryConfig {
        marks_max: 2,
        idle_channel_ttl: Duration::from_secs(1),
        ..MemoryConfig::default()
    };
    let (engine, _sink) = engine(config);
    let of = |user: &str, ttl| MarkOf {
        channel: name("a:1"),
        user: user.into(),
        ttl: Duration::from_secs(ttl),
    };
    let top = engine
        .publish(publication(&name("a:1"), Retention::NONE))
        .await
        .unwrap()
        .position;
    engine.mark(&of("alice", 60), None).await.unwrap();
    engine.mark(&of("bob", 600), None).await.unwrap();
    let refused = engine.mark(&of("carol", 60), None).await;
    assert!(
        matches!(
            &refused,
            Err(EngineError::Unavailable {
                may_have_happened: false,
                ..
            })
        ),
        "{refused:?}"
    );
    // What is there can be used all the same.
    engine.acknowledge(&of("alice", 60), top).await.unwrap();
    tokio::time::sleep(Duration::from_secs(100)).await; // waits: moves the paused clock
    assert_eq!(engine.stats().marks, 1, "alice's is freed unasked");
    assert_eq!(engine.stats().channels, 1, "bob's mark keeps the channel");
    let mark = engine.mark(&of("bob", 600), None).await.unwrap();
    assert_eq!((mark.position, mark.made), (top, false));
    engine.mark(&of("carol", 60), None).await.unwrap();
    tokio::time::sleep(Duration::from_secs(700)).await; // waits: moves the paused clock
    assert_eq!((engine.stats().marks, engine.stats().channels), (0, 0));
}
