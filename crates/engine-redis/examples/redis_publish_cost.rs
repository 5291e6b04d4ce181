//! What a publication through the engine costs, against bare calls of the client library that do less: `XADD` and `SPUBLISH`, two
//! commands that are neither atomic nor idempotent, and `ECHO`, one that does nothing. In alternating blocks, on a server of its own.
//!
//! The engine's publications go to as many channels as there are, then all to one.
//!
//! `cargo run --release -p switchboard-engine-redis --example redis_publish_cost`

#![expect(clippy::print_stdout, reason = "an example tells its figures")]

#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/redis/server.rs"]
mod server;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::config::{Config, ServerConfig};
use fred::types::{Builder, ClusterHash, CustomCommand, RespVersion, Value};
use futures_util::StreamExt;
use switchboard_core::{ChannelName, NodeId, Payload, Retention};
use switchboard_engine::conformance::RecordingSink;
use switchboard_engine::{Engine, PublishRequest};
use switchboard_engine_redis::RedisEngine;
use tokio::time::Instant;

use server::Server;

const BLOCKS: usize = 7;
const PAYLOAD: &[u8] = &[b'1'; 128];
const CHANNELS: usize = 16;

/// Publications of a block, by how many are under way at a time.
const LOADS: [(usize, usize); 3] = [(1, 2_000), (64, 20_000), (1_024, 40_000)];

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let server = Server::start(&[]).await;
    let engine = RedisEngine::start(NodeId(1), RecordingSink::new(), server.config())
        .expect("a configuration");
    engine
        .wait_until_ready(Duration::from_secs(10))
        .await
        .expect("redis is there");
    let bare = Builder::from_config(Config {
        server: ServerConfig::new_centralized("127.0.0.1", server.port),
        version: RespVersion::RESP3,
        ..Config::default()
    });
    let bare = bare.build().expect("a client");
    bare.init().await.expect("redis is there");
    for (at_once, count) in LOADS {
        let mut seconds: [Vec<f64>; 4] = Default::default();
        for _ in 0..BLOCKS {
            let (engine, bare) = (&engine, &bare);
            let spread = |number| through_engine(engine, number % CHANNELS);
            seconds[0].push(block(at_once, count, spread).await);
            let to_one = |_| through_engine(engine, 0);
            seconds[1].push(block(at_once, count, to_one).await);
            seconds[2].push(block(at_once, count, |number| two_commands(bare, number)).await);
            seconds[3].push(block(at_once, count, |number| echo(bare, number)).await);
        }
        println!("{at_once} at a time, {count} a block, {BLOCKS} blocks: median, minimum, maximum");
        let names = [
            "engine, 16 channels",
            "engine, one channel",
            "bare XADD, SPUBLISH",
            "bare ECHO",
        ];
        for (name, seconds) in names.iter().zip(&mut seconds) {
            seconds.sort_by(f64::total_cmp);
            let each = |seconds: f64| seconds / count as f64 * 1e6;
            let (median, least, most) = (seconds[BLOCKS / 2], seconds[0], seconds[BLOCKS - 1]);
            println!(
                "  {name:20} {:6.1} µs ({:.1} to {:.1}), {:.0} a second",
                each(median),
                each(least),
                each(most),
                count as f64 / median
            );
        }
    }
    for (at_once, channels) in [(1, 1), (64, CHANNELS), (64, 1), (1_024, CHANNELS)] {
        commands(&server, &engine, at_once, channels).await;
    }
    engine.shutdown().await;
}

async fn block<F: Future<Output = ()>>(
    at_once: usize,
    count: usize,
    publish: impl Fn(usize) -> F,
) -> f64 {
    let started = Instant::now();
    futures_util::stream::iter(0..count)
        .map(publish)
        .buffer_unordered(at_once)
        .count()
        .await;
    started.elapsed().as_secs_f64()
}

async fn through_engine(engine: &Arc<RedisEngine>, channel: usize) {
    let request = PublishRequest {
        channel: ChannelName::parse(&format!("a:{channel}")).expect("a valid name"),
        payload: Payload::Json(Bytes::from_static(PAYLOAD)),
        id: None,
        skip_history: false,
        idempotency_window: Duration::ZERO,
        from: None,
        tags: Vec::new(),
        exclude: None,
        expected_position: None,
        retention: Retention {
            count_max: 100,
            bytes_max: 1024 * 1024,
            age_max: Duration::from_mins(10),
        },
    };
    engine.publish(request).await.expect("redis is there");
}

async fn two_commands(bare: &Client, number: usize) {
    let call = |command: &'static str, arguments: Vec<Value>| {
        let command = CustomCommand::new_static(command, ClusterHash::Custom(0), false);
        bare.custom_raw(command, arguments)
    };
    let name = format!("bare:{}", number % CHANNELS);
    let payload = || Value::Bytes(Bytes::from_static(PAYLOAD));
    let text = |text: &'static str| Value::from_static_str(text);
    let mut add = vec![Value::from(name.clone())];
    add.extend(["MAXLEN", "=", "100", "*", "d"].map(text));
    add.push(payload());
    let (added, published) = tokio::join!(
        call("XADD", add),
        call("SPUBLISH", vec![Value::from(name), payload()])
    );
    added.expect("redis is there");
    published.expect("redis is there");
}

async fn echo(bare: &Client, _number: usize) {
    let command = CustomCommand::new_static("ECHO", ClusterHash::Custom(0), false);
    let arguments = vec![Value::Bytes(Bytes::from_static(PAYLOAD))];
    bare.custom_raw(command, arguments)
        .await
        .expect("redis is there");
}

/// Counts what the server does for a publication.
async fn commands(server: &Server, engine: &Arc<RedisEngine>, at_once: usize, channels: usize) {
    const COUNT: usize = 10_000;
    server.command("CONFIG RESETSTAT").await.expect("an answer");
    let publish = |number| through_engine(engine, number % channels);
    block(at_once, COUNT, publish).await;
    let stats = server
        .command("INFO commandstats")
        .await
        .expect("an answer");
    let mut counts = BTreeMap::new();
    for line in stats.lines() {
        let parts = line.strip_prefix("cmdstat_");
        let Some((name, rest)) = parts.and_then(|line| line.split_once(':')) else {
            continue;
        };
        let number = |field: &str| -> f64 {
            let value = rest.split(',').find_map(|part| part.strip_prefix(field));
            value.and_then(|value| value.parse().ok()).unwrap_or(0.0)
        };
        let each = (number("calls=") / COUNT as f64, number("usec_per_call="));
        counts.insert(name.to_owned(), each);
    }
    let (evalsha, microseconds) = counts["evalsha"];
    println!(
        "{at_once} at a time, {channels} channels: {evalsha:.4} EVALSHA a publication, {microseconds:.1} µs of the server each, {:.1} a publication;",
        evalsha * microseconds
    );
    println!("the script itself calls, a publication");
    for (name, (calls, microseconds)) in counts.iter().filter(|(name, _)| *name != "evalsha") {
        println!("  {name} {calls:.4}, {microseconds:.1} µs each");
    }
}
