//! The faulty wrapper: it breaks things, the suite notices, and a node that refills survives it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use switchboard_core::{ChannelName, Payload, Retention};
use switchboard_engine::conformance::{
    self, ConformanceHooks, Event, Follower, NoHooks, RecordingSink,
};
use switchboard_engine::{
    Engine, EngineError, FaultPlan, FaultyEngine, FaultySink, MemoryConfig, MemoryEngine,
    PublishRequest, Read, ReadFrom, Sink,
};

/// Publications of each channel of a scenario.
const COUNT: u64 = 400;

#[tokio::test(start_paused = true)]
async fn the_suite_fails_an_engine_that_drops_without_a_word() {
    let plan = FaultPlan {
        seed: 1,
        // The suite's channel names are random, and with them which deliveries are hit. Half of them, so that the check
        // with the fewest, 20, comes through unharmed once in a million runs.
        drop_per_mille: 500,
        announces: false,
        ..FaultPlan::default()
    };
    let make = async |sink| faulty(sink, plan.clone()) as Arc<dyn Engine>;
    let report = conformance::run(make, &NoHooks).await;
    let failed: Vec<_> = report.failed.iter().map(|(name, _)| *name).collect();
    for name in [
        "1 offsets count from one, in one order",
        "1, 2 concurrent publishers give one gapless order that history agrees with",
        "3 the publisher is told the position that subscribers see",
        "9 a sink without room holds publishers back and loses nothing",
    ] {
        assert!(
            failed.contains(&name),
            "{name:?} held although deliveries were dropped:\n{report}"
        );
    }
    // What does not look at deliveries holds all the same: the suite does not blame at random.
    assert!(
        report
            .held
            .contains(&"5 a read after a position gives exactly what followed"),
        "{report}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_suite_passes_the_wrapper_while_it_only_delays() {
    let plan = FaultPlan {
        seed: 2,
        delay_per_mille: 50,
        delay_max: Duration::from_millis(20),
        slow_per_mille: 20,
        slow_max: Duration::from_millis(5),
        ..FaultPlan::default()
    };
    let make = async |sink| faulty(sink, plan.clone()) as Arc<dyn Engine>;
    conformance::run(make, &NoHooks).await.expect_all_held();
}

/// An engine, and the path that it delivers by.
type Made = (Arc<dyn Engine>, Arc<FaultySink>);

/// Interrupts by cutting the path of a faulty sink.
struct Cutting(Mutex<Vec<Made>>);

#[async_trait::async_trait]
impl ConformanceHooks for Cutting {
    async fn interrupt(&self, engine: &Arc<dyn Engine>) -> bool {
        let made = self.0.lock().expect("nobody panicked");
        let (_, sink) = made
            .iter()
            .find(|(made, _)| Arc::ptr_eq(made, engine))
            .expect("made here");
        sink.cut();
        true
    }
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_path_passes_the_suite_when_it_is_announced_and_fails_when_not() {
    for announces in [true, false] {
        let plan = FaultPlan {
            announces,
            interrupt_within: Duration::from_millis(500),
            ..FaultPlan::default()
        };
        let hooks = Cutting(Mutex::default());
        let make = async |sink| {
            let sink = FaultySink::new(sink, plan.clone());
            let engine = MemoryEngine::new(sink.clone(), MemoryConfig::default());
            let engine: Arc<dyn Engine> = FaultyEngine::new(engine, Arc::clone(&sink));
            hooks.0.lock().unwrap().push((Arc::clone(&engine), sink));
            engine
        };
        let report = conformance::run(make, &hooks).await;
        let failed: Vec<_> = report.failed.iter().map(|(name, _)| *name).collect();
        let expected: &[_] = if announces {
            &[]
        } else {
            &["6 what may have been lost is announced and can be refilled"]
        };
        assert_eq!(failed, expected, "announces: {announces}\n{report}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_refills_passes_everything_on_once_whatever_goes_wrong() {
    for seed in 0..40 {
        let plan = FaultPlan {
            seed,
            drop_per_mille: 30,
            outage_per_mille: 5,
            interrupt_within: Duration::from_secs(3),
            repeat_per_mille: 500,
            delay_per_mille: 50,
            delay_max: Duration::from_millis(500),
            refuse_per_mille: 50,
            lose_answer_per_mille: 50,
            slow_per_mille: 50,
            ..FaultPlan::default()
        };
        let (engine, sink, followers) = scenario(plan).await;
        for follower in followers {
            let offsets: Vec<_> = follower
                .passed_on
                .iter()
                .map(|publication| publication.offset)
                .collect();
            assert_eq!(offsets, (1..=COUNT).collect::<Vec<_>>(), "seed {seed}");
            assert!(
                follower.gaps.is_empty() && follower.refilled > 0,
                "seed {seed}: {:?}",
                follower.gaps
            );
        }
        let counts = engine.sink().counts();
        assert!(
            counts.lost > 0 && counts.delayed > 0 && counts.failed > 0,
            "seed {seed}: {counts:?}"
        );
        assert!(counts.interruptions > 0, "seed {seed}: {counts:?}");
        let interruptions = sink
            .events()
            .iter()
            .filter(|event| matches!(event, Event::Interrupted(_)))
            .count();
        assert_eq!(interruptions as u64, counts.interruptions, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn faults_are_the_same_under_the_same_seed() {
    let plan = |seed| FaultPlan {
        seed,
        drop_per_mille: 100,
        repeat_per_mille: 500,
        refuse_per_mille: 50,
        ..FaultPlan::default()
    };
    let mut runs = Vec::new();
    for seed in [7, 7, 8] {
        let (engine, sink, _) = scenario(plan(seed)).await;
        let delivered: Vec<_> = sink
            .events()
            .iter()
            .map(|event| match event {
                Event::Publication(publication) => {
                    format!("{} {}", publication.channel, publication.offset)
                }
                other => format!("{other:?}"),
            })
            .collect();
        runs.push((delivered, engine.sink().counts()));
    }
    assert!(runs[0] == runs[1], "two runs of one seed differ");
    assert!(runs[0] != runs[2], "two seeds gave the same faults");
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_says_it_did_not_happen_did_not() {
    let plan = FaultPlan {
        seed: 3,
        refuse_per_mille: 300,
        lose_answer_per_mille: 300,
        ..FaultPlan::default()
    };
    let sink = RecordingSink::new();
    let engine = faulty(sink.clone(), plan);
    let channel = name("a:1");
    let (mut said_no, mut said_maybe, mut accepted, mut hidden) = (0, 0, 0, 0);
    let mut top = 0;
    for _ in 0..300 {
        let answer = engine.publish(publication(&channel, "x", None)).await;
        let now = surely(|| {
            engine.read(
                &channel,
                Read {
                    from: ReadFrom::Newest,
                    limit: 0,
                },
            )
        })
        .await
        .top
        .offset;
        let happened = now > top;
        top = now;
        match answer {
            Ok(_) => {
                assert!(happened);
                accepted += 1;
            }
            Err(EngineError::Unavailable {
                may_have_happened: false,
                ..
            }) => {
                assert!(!happened, "it said that it did not happen");
                said_no += 1;
            }
            Err(EngineError::Unavailable {
                may_have_happened: true,
                ..
            }) => {
                said_maybe += 1;
                hidden += u64::from(happened);
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(
        accepted > 0 && said_no > 0 && hidden > 0 && said_maybe > hidden,
        "both kinds of doubt are to be met"
    );
}

/// Publishes to two channels through a faulty engine while a model of a node follows each, and waits until both have it all.
async fn scenario(plan: FaultPlan) -> (Arc<FaultyEngine>, Arc<RecordingSink>, Vec<Follower>) {
    let sink = RecordingSink::new();
    let engine = faulty(sink.clone(), plan);
    let channels = [name("a:1"), name("a:2")];
    let mut followers = Vec::new();
    for channel in &channels {
        surely(|| engine.follow(channel)).await;
        let top = surely(|| {
            engine.read(
                channel,
                Read {
                    from: ReadFrom::Newest,
                    limit: 0,
                },
            )
        })
        .await
        .top;
        followers.push(Follower::new(channel.clone(), top));
    }
    for number in 0..COUNT {
        for channel in &channels {
            surely(|| engine.publish(publication(channel, &number.to_string(), Some(number))))
                .await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await; // waits: moves the paused clock
        for follower in &mut followers {
            follower
                .take(&*engine, &sink.events())
                .await
                .expect("history can be read");
        }
    }
    // Whatever was lost last is announced within 3 s, whatever is late has come by then.
    tokio::time::sleep(Duration::from_secs(4)).await; // waits: moves the paused clock
    for follower in &mut followers {
        follower
            .take(&*engine, &sink.events())
            .await
            .expect("history can be read");
    }
    (engine, sink, followers)
}

/// Tries until it succeeds.
async fn surely<T, F>(attempt: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, EngineError>>,
{
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(EngineError::Unavailable { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn faulty(sink: Arc<dyn Sink>, plan: FaultPlan) -> Arc<FaultyEngine> {
    let sink = FaultySink::new(sink, plan);
    let engine = MemoryEngine::new(sink.clone(), MemoryConfig::default());
    FaultyEngine::new(engine, sink)
}

fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).expect("a valid name")
}

fn publication(channel: &ChannelName, text: &str, id: Option<u64>) -> PublishRequest {
    PublishRequest {
        channel: channel.clone(),
        payload: Payload::Json(Bytes::from(format!("\"{text}\""))),
        id: id.map(|id| id.to_string().into()),
        skip_history: false,
        idempotency_window: Duration::from_mins(10),
        from: None,
        tags: Vec::new(),
        exclude: None,
        expected_position: None,
        retention: Retention {
            count_max: 10_000,
            bytes_max: 1 << 20,
            age_max: Duration::from_mins(10),
        },
    }
}
