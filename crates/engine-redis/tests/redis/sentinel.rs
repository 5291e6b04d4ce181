//! Failover under Sentinels.

use rustix::process::Signal;
use switchboard_engine::Engine;
use switchboard_engine_redis::{RedisConfig, Topology};
use tokio::time::Instant;

use super::load::Load;
use super::server::{Server, quick};

/// A primary, two replicas, three Sentinels.
struct Watched {
    servers: Vec<Server>,
    sentinels: Vec<Server>,
}

impl Watched {
    async fn start() -> Self {
        let primary = Server::start(&[]).await;
        let port = primary.port.to_string();
        let mut servers = vec![primary];
        for _ in 0..2 {
            servers.push(Server::start(&["--replicaof", "127.0.0.1", &port]).await);
        }
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            let monitor = format!("sentinel monitor hub 127.0.0.1 {port} 2\n");
            let settings =
                "sentinel down-after-milliseconds hub 500\nsentinel failover-timeout hub 3000\n";
            sentinels.push(Server::start_with_file(&(monitor + settings), &["--sentinel"]).await);
        }
        let watched = Self { servers, sentinels };
        let expected = ["num-slaves\r\n$1\r\n2", "num-other-sentinels\r\n$1\r\n2"];
        for sentinel in &watched.sentinels {
            sentinel
                .until("SENTINEL MASTER hub", |answer| {
                    expected.iter().all(|e| answer.contains(e))
                })
                .await;
        }
        watched.servers[0]
            .until("INFO replication", |answer| {
                answer.matches("state=online").count() == 2
            })
            .await;
        watched
    }

    fn config(&self) -> RedisConfig {
        let sentinels = self.sentinels.iter().map(Server::address).collect();
        quick(RedisConfig::new(Topology::Sentinel {
            sentinels,
            service: "hub".into(),
            user: None,
            password: None,
        }))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_primary_is_told_and_its_successor_goes_on() {
    let mut watched = Watched::start().await;
    let load = Load::start(&watched.config(), "a:sentinel").await;
    load.flows(100).await;
    let before = load.sink.events().len();
    watched.servers[0].kill();
    let killed = Instant::now();
    load.is_told_soon(before).await;
    assert!(load.node.check().await.is_err(), "ready without a primary");
    load.is_ready_again(killed).await;
    load.flows(100).await;
    load.end().await.expect_nothing_lost();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hung_primary_is_told_and_its_successor_goes_on() {
    let watched = Watched::start().await;
    let load = Load::start(&watched.config(), "a:hung").await;
    load.flows(100).await;
    let before = load.sink.events().len();
    watched.servers[0].signal(Signal::STOP);
    let stopped = Instant::now();
    load.is_told_soon(before).await;
    load.is_ready_again(stopped).await;
    load.flows(100).await;
    // It wakes, is made a replica, and must not be listened to any more.
    watched.servers[0].signal(Signal::CONT);
    watched.servers[0]
        .until("ROLE", |answer| answer.contains("slave"))
        .await;
    load.flows(100).await;
    load.end().await.expect_nothing_lost();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_on_request_leaves_no_node_behind_on_the_old_primary() {
    let watched = Watched::start().await;
    let load = Load::start(&watched.config(), "a:asked").await;
    load.flows(100).await;
    let before = load.sink.events().len();
    let asked_at = Instant::now();
    let asked = watched.sentinels[0].command("SENTINEL FAILOVER hub").await;
    assert!(asked.expect("an answer").contains("OK"));
    watched.servers[0]
        .until("ROLE", |answer| answer.contains("slave"))
        .await;
    load.is_told_soon(before).await;
    load.is_ready_again(asked_at).await;
    load.flows(100).await;
    let outcome = load.end().await;
    // Asynchronous replication may lose what was acknowledged last; then that is told.
    if outcome.follower.gaps.is_empty() {
        outcome.expect_nothing_lost();
    }
}
