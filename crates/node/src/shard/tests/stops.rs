//! A whole node that stops, its shard on a thread of its own.

use std::os::unix::net::UnixStream;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use switchboard_core::wheel::TICK_MS;
use switchboard_core::{Limits, Payload};
use switchboard_engine::{MemoryConfig, MemoryEngine};
use switchboard_protocol::wire::Wire;
use tokio::sync::oneshot;

use super::client::Client;
use super::engine::{HeldEngine, Operation};
use super::place::{NoTokens, Place, channel, policies};
use crate::node::{Node, NodeConfig};
use crate::opening::Transport;
use crate::polls::AtShard;
use crate::publish::Publish;

/// With its thread and all: nothing but the last write keeps it.
#[tokio::test]
async fn a_node_that_stops_writes_the_last_acks_first() {
    let engine = Arc::new(OnceLock::new());
    let config = NodeConfig {
        limits: Limits::default(),
        policies: policies(),
        shards: 1,
        io_uring: false,
        version: "0",
    };
    let made = Arc::clone(&engine);
    let node = Node::start(config, Arc::new(NoTokens), |_, sink| {
        let memory = MemoryEngine::new(sink, MemoryConfig::default());
        let held = Arc::new(HeldEngine::new(memory));
        made.get_or_init(|| Arc::clone(&held));
        held
    });
    let (node, engine) = (node.unwrap(), engine.get().unwrap());
    let opening = Place::opening(Transport::WebSocket, Wire::WebSocketJson, &["inbox:1"]);
    let admission = node.admit(&opening).await.unwrap();
    let (near, far) = UnixStream::pair().unwrap();
    node.adopt(opening, admission, near.into(), Bytes::new());
    let mut client = Client::new(far, false);
    let mut frames = Vec::new();
    soon("the subscription", || {
        frames.extend(client.read());
        frames.len() > 1
    })
    .await;
    let published = node.publish(publication()).await.unwrap();
    soon("the publication", || {
        frames.extend(client.read());
        frames.len() > 2
    })
    .await;
    let held = engine.hold(Operation::Acknowledge);
    client.command(&[json!({"ack": {"channel": "inbox:1", "offset": 1}})]);
    soon("the write", || engine.to_come() == 0).await;
    let stopping = tokio::spawn(async move { node.shutdown().await });
    soon("the end of the session", || {
        client.read();
        client.ended
    })
    .await;
    // waits: for what must not happen; a shard without sessions ends within a tick
    tokio::time::sleep(Duration::from_millis(4 * TICK_MS)).await;
    assert!(!stopping.is_finished(), "the last ack was not waited for");
    held.release();
    stopping.await.unwrap();
    let acknowledged = engine.acknowledged.lock().unwrap().clone();
    assert_eq!(acknowledged, [published.position]);
}

#[tokio::test]
async fn a_shard_that_stops_tells_its_errands_and_waits_for_them() {
    let config = NodeConfig {
        limits: Limits::default(),
        policies: policies(),
        shards: 2,
        io_uring: false,
        version: "0",
    };
    let node = Node::start(config, Arc::new(NoTokens), |_, sink| {
        MemoryEngine::new(sink, MemoryConfig::default())
    });
    let node = node.unwrap();
    let (told, mut heard) = oneshot::channel();
    let (release, released) = oneshot::channel::<()>();
    let (done, ended) = oneshot::channel();
    node.at_shard(1, async move |at: AtShard| {
        at.stopping().await;
        let _ = told.send(std::thread::current().name().map(str::to_owned));
        let _ = released.await;
        let _ = done.send(());
    });
    // waits: for what must not happen
    tokio::time::sleep(Duration::from_millis(2 * TICK_MS)).await;
    assert!(
        heard.try_recv().is_err(),
        "told before there was anything to tell"
    );
    let stopping = tokio::spawn(async move { node.shutdown().await });
    assert_eq!(heard.await.unwrap().as_deref(), Some("shard-1"));
    // waits: for what must not happen; a shard without sessions ends within a tick
    tokio::time::sleep(Duration::from_millis(4 * TICK_MS)).await;
    assert!(!stopping.is_finished(), "the errand was not waited for");
    release.send(()).unwrap();
    stopping.await.unwrap();
    assert!(ended.await.is_ok(), "the errand was broken off");
}

/// Looks again and again, with other threads at work.
async fn soon(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{what} never came"
        );
        // waits: between two looks
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn publication() -> Publish {
    Publish {
        channel: channel("inbox:1"),
        payload: Payload::Json(Bytes::from_static(b"1")),
        id: None,
        tags: Vec::new(),
        exclude: None,
        expected_position: None,
        skip_history: false,
    }
}
