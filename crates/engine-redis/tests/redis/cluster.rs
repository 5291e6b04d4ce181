//! A Redis Cluster of three primaries and three replicas.

use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use switchboard_core::ChannelName;
use switchboard_engine::Engine;
use switchboard_engine_redis::{RedisConfig, Topology};
use tokio::time::Instant;

use super::conformance;
use super::load::{Load, TOLD_WITHIN};
use super::server::{Server, of_all, program, quick};

struct Cluster {
    servers: Vec<Server>,
}

impl Cluster {
    async fn start() -> Self {
        let mut servers = Vec::new();
        for _ in 0..6 {
            let options = "--cluster-enabled yes --cluster-node-timeout 1000 --cluster-replica-validity-factor 0 \
                --cluster-require-full-coverage no --cluster-allow-pubsubshard-when-down yes \
                --cluster-announce-ip 127.0.0.1";
            servers.push(Server::start(&options.split_whitespace().collect::<Vec<_>>()).await);
        }
        let created = Command::new(program("SWITCHBOARD_REDIS_CLI", "redis-cli"))
            .args(["--cluster", "create"])
            .args(servers.iter().map(|server| server.address().to_string()))
            .args(["--cluster-replicas", "1", "--cluster-yes"])
            .stdin(Stdio::null())
            .output()
            .expect("redis-cli is installed");
        assert!(
            created.status.success(),
            "{}",
            String::from_utf8_lossy(&created.stdout)
        );
        for server in &servers {
            let is_whole = |answer: &str| {
                answer.matches(" connected").count() == 6 && answer.matches("slave ").count() == 3
            };
            server.until("CLUSTER NODES", is_whole).await;
            server
                .until("CLUSTER INFO", |answer| answer.contains("cluster_state:ok"))
                .await;
        }
        for server in &servers {
            let synced = |answer: &str| {
                answer.contains("state=online") || answer.contains("master_link_status:up")
            };
            server.until("INFO replication", synced).await;
        }
        Self { servers }
    }

    fn config(&self) -> RedisConfig {
        let seeds = self.servers.iter().map(Server::address).collect();
        quick(RedisConfig::new(Topology::Cluster(seeds)))
    }

    /// The index of the primary that has a channel, and the key of its record.
    async fn owner(&self, channel: &ChannelName) -> (usize, String) {
        for (index, server) in self.servers.iter().enumerate() {
            let role = server.command("ROLE").await.expect("an answer");
            if !role.contains("master") {
                continue;
            }
            let keys = server.command(&format!("KEYS *}}m:{channel}")).await;
            let keys = keys.expect("an answer");
            if let Some(key) = keys.lines().find(|line| line.contains("}m:")) {
                return (index, key.to_owned());
            }
        }
        panic!("no primary has the channel");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_holds_on_a_cluster() {
    let cluster = Cluster::start().await;
    conformance::holds_on(&cluster.servers, cluster.config()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_primary_is_told_and_its_replica_goes_on() {
    let mut cluster = Cluster::start().await;
    let load = Load::start(&cluster.config(), "a:cluster").await;
    load.flows(100).await;
    let (owner, _) = cluster.owner(&load.channel).await;
    let before = load.sink.events().len();
    cluster.servers[owner].kill();
    let killed = Instant::now();
    load.is_told_soon(before).await;
    assert!(load.node.check().await.is_err(), "ready without a primary");
    load.is_ready_again(killed).await;
    load.flows(100).await;
    load.end().await.expect_nothing_lost();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hung_primary_is_told_and_holds_up_nobody_elses_channels() {
    let cluster = Cluster::start().await;
    let load = Load::start(&cluster.config(), "a:hung").await;
    load.flows(100).await;
    let (owner, _) = cluster.owner(&load.channel).await;
    // A channel that lives elsewhere.
    let mut other = None;
    for number in 0..100 {
        let name = format!("b:{number}");
        let channel = ChannelName::parse(&name).expect("a valid name");
        let published = load
            .publisher
            .publish(super::load::numbered(&channel, "0"))
            .await;
        published.expect("the cluster is there");
        if cluster.owner(&channel).await.0 != owner {
            other = Some(channel);
            break;
        }
    }
    let other = other.expect("channels are spread");
    let before = load.sink.events().len();
    cluster.servers[owner].signal(Signal::STOP);
    let stopped = Instant::now();
    let mut slowest = Duration::ZERO;
    let told = load.is_told(before, TOLD_WITHIN);
    let mut told = Box::pin(told);
    let took = loop {
        let began = Instant::now();
        let published = load
            .publisher
            .publish(super::load::numbered(&other, "1"))
            .await;
        published.expect("its primary works");
        slowest = slowest.max(began.elapsed());
        tokio::select! {
            took = &mut told => break took,
            () = tokio::time::sleep(Duration::from_millis(5)) => {} // waits: the pace of publishing
        }
    };
    drop(told);
    println!("told after {took:?}, elsewhere a publish took {slowest:?} at most");
    assert!(slowest < Duration::from_millis(500), "{slowest:?}");
    load.is_ready_again(stopped).await;
    load.flows(100).await;
    cluster.servers[owner].signal(Signal::CONT);
    cluster.servers[owner]
        .until("ROLE", |answer| answer.contains("slave"))
        .await;
    load.flows(100).await;
    load.end().await.expect_nothing_lost();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_whose_slot_moves_is_followed_there() {
    let cluster = Cluster::start().await;
    let load = Load::start(&cluster.config(), "a:moves").await;
    load.flows(100).await;
    let (from, key) = cluster.owner(&load.channel).await;
    let roles = of_all(&cluster.servers, "ROLE").await;
    let to = (0..6).find(|&index| index != from && roles[index].contains("master"));
    let to = to.expect("another primary");
    let slot = cluster.servers[from]
        .command(&format!("CLUSTER KEYSLOT {key}"))
        .await;
    let slot = slot.expect("an answer");
    let slot = slot
        .trim_start_matches(':')
        .lines()
        .next()
        .expect("a number")
        .to_owned();
    let ids = of_all(&cluster.servers, "CLUSTER MYID").await;
    let id = |index: usize| ids[index].lines().nth(1).expect("an id").to_owned();
    let before = load.sink.events().len();
    let ask = async |index: usize, command: String| {
        let answer = cluster.servers[index]
            .command(&command)
            .await
            .expect("an answer");
        assert!(!answer.starts_with('-'), "{command}: {answer}");
        answer
    };
    ask(to, format!("CLUSTER SETSLOT {slot} IMPORTING {}", id(from))).await;
    ask(from, format!("CLUSTER SETSLOT {slot} MIGRATING {}", id(to))).await;
    loop {
        let keys = ask(from, format!("CLUSTER GETKEYSINSLOT {slot} 100")).await;
        let keys: Vec<_> = keys.lines().filter(|line| line.contains('}')).collect();
        if keys.is_empty() {
            break;
        }
        let port = cluster.servers[to].port;
        ask(
            from,
            format!(
                "MIGRATE 127.0.0.1 {port} \"\" 0 5000 KEYS {}",
                keys.join(" ")
            ),
        )
        .await;
    }
    for index in [to, from] {
        ask(index, format!("CLUSTER SETSLOT {slot} NODE {}", id(to))).await;
    }
    load.is_told_soon(before).await;
    load.flows(100).await;
    assert_eq!(cluster.owner(&load.channel).await.0, to);
    load.end().await.expect_nothing_lost();
}
