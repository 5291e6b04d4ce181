//! The Redis engine against real servers that the tests start themselves.

mod cluster;
mod conformance;
mod interruptions;
mod load;
mod many;
mod marks;
mod nodes;
mod security;
mod sentinel;
mod server;
mod together;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use switchboard_core::NodeId;
use switchboard_engine::Sink;
use switchboard_engine_redis::{RedisConfig, RedisEngine};

/// How long an engine may take to be ready.
const READY_TIMEOUT: Duration = Duration::from_secs(20);

async fn ready_engine(sink: Arc<dyn Sink>, config: RedisConfig) -> Arc<RedisEngine> {
    let engine = RedisEngine::start(fresh_node(), sink, config).expect("a good configuration");
    engine
        .wait_until_ready(READY_TIMEOUT)
        .await
        .expect("redis is there");
    engine
}

/// A node that no other engine is of.
fn fresh_node() -> NodeId {
    static NODES: AtomicU32 = AtomicU32::new(1);
    NodeId(NODES.fetch_add(1, Ordering::Relaxed))
}
