//! The memory engine keeps the promises, and what it alone does.

mod bounds;
mod presence;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use switchboard_core::{ChannelName, NodeId, Payload, Retention, SessionId, UserId};
use switchboard_engine::conformance::{self, ConformanceHooks, RecordingSink};
use switchboard_engine::{Engine, JoinRequest, MemoryConfig, MemoryEngine, PublishRequest, Sink};

/// A memory engine loses its data when it is made anew. Between it and its sink nothing can be lost.
struct Hooks;

#[async_trait::async_trait]
impl ConformanceHooks for Hooks {
    async fn lose_data(
        &self,
        engine: &Arc<dyn Engine>,
        sink: &Arc<dyn Sink>,
    ) -> Option<Arc<dyn Engine>> {
        engine.shutdown().await;
        Some(MemoryEngine::new(Arc::clone(sink), MemoryConfig::default()))
    }

    fn grace_slack(&self) -> Duration {
        Duration::from_millis(500)
    }
}

async fn make(sink: Arc<dyn Sink>) -> Arc<dyn Engine> {
    let operation_timeout = Duration::from_secs(1);
    MemoryEngine::new(
        sink,
        MemoryConfig {
            operation_timeout,
            ..MemoryConfig::default()
        },
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_engine_keeps_the_promises() {
    let report = conformance::run(make, &Hooks).await;
    println!("{report}");
    report.expect_all_held();
    assert_eq!(
        report.skipped.len(),
        6,
        "only what needs several nodes or a lossy path is skipped:\n{report}"
    );
}

fn engine(config: MemoryConfig) -> (Arc<MemoryEngine>, Arc<RecordingSink>) {
    let sink = RecordingSink::new();
    (MemoryEngine::new(sink.clone(), config), sink)
}

fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).expect("a valid name")
}

fn session(number: u32) -> SessionId {
    SessionId {
        node: NodeId(1),
        shard: 0,
        slot: number,
        generation: 1,
    }
}

fn join(channel: &ChannelName, number: u32, user: &str) -> JoinRequest {
    JoinRequest {
        channel: channel.clone(),
        session: session(number),
        user: Some(UserId::from(user)),
        info: None,
        members_max: None,
    }
}

fn publication(channel: &ChannelName, retention: Retention) -> PublishRequest {
    PublishRequest {
        channel: channel.clone(),
        payload: Payload::Json(Bytes::from_static(b"{}")),
        id: None,
        skip_history: false,
        idempotency_window: Duration::ZERO,
        from: None,
        tags: Vec::new(),
        exclude: None,
        expected_position: None,
        retention,
    }
}
