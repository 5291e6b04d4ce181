//! A user whose clients and nodes are killed at random, amid a stream, and who remembers nothing: what it has acknowledged is
//! all that the hub may leave out.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use switchboard_tests::cluster::Cluster;
use switchboard_tests::services::Services;
use switchboard_tests::waiting::{SOON, until};
use switchboard_tests::{Client, Transport, every_transport};
use tokio::sync::watch;

every_transport!(
    whatever_is_killed_a_user_is_sent_everything_it_has_not_acknowledged,
    an_ack_is_answered_when_redis_has_it_and_kept_when_redis_is_back,
    a_mark_that_redis_forgot_is_not_taken_for_none,
);

/// The channel of all this.
const INBOX: &str = "inbox:1";
/// Sessions that come and go.
const ROUNDS: u64 = 40;
/// How far the publisher may be ahead of the user.
const AHEAD_MAX: u64 = 300;

/// A small generator (xorshift64): the seed is printed, and `SWITCHBOARD_TEST_SEED` sets it.
struct Chance(u64);

impl Chance {
    #[expect(clippy::print_stdout, reason = "a test tells its seed")]
    fn new() -> Result<Self> {
        let seed = match std::env::var("SWITCHBOARD_TEST_SEED") {
            Ok(seed) => seed.parse::<u64>()?,
            Err(_) => rand::random::<u64>(),
        };
        println!("SWITCHBOARD_TEST_SEED={seed}");
        Ok(Self(seed | 1))
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// What the user has, across all its sessions.
struct User {
    transport: Transport,
    /// The last offset that came; all before it have come too.
    received: u64,
    /// The last offset whose acknowledgement was answered.
    kept: u64,
    /// The last offset acknowledged at all.
    acknowledged: u64,
    sessions: u64,
    repeated: u64,
    nodes_killed: u64,
    /// Tells the publisher what it has received; nothing when it has had enough.
    seen: watch::Sender<Option<u64>>,
}

impl User {
    /// Reads so many messages of a session that has just begun, or goes on.
    async fn read(
        &mut self,
        client: &mut Client,
        last: &mut Option<u64>,
        count: u64,
    ) -> Result<()> {
        for _ in 0..count {
            let message = client.messages(INBOX, 1).await?.remove(0);
            let offset = message.offset();
            ensure!(
                message.data()["n"] == offset - 1,
                "offset {offset} is {}",
                message.data()
            );
            match *last {
                Some(last) => ensure!(offset == last + 1, "offset {offset} follows {last}"),
                // Not before what was kept for certain, not behind what was acknowledged.
                None => ensure!(
                    (self.kept + 1..=self.acknowledged + 1).contains(&offset),
                    "session {} starts with {offset}: {} is kept, {} acknowledged, {} received",
                    self.sessions,
                    self.kept,
                    self.acknowledged,
                    self.received,
                ),
            }
            *last = Some(offset);
            ensure!(
                offset <= self.received + 1,
                "{offset} came, and {} never",
                self.received + 1
            );
            self.repeated += u64::from(offset <= self.received);
            self.received = self.received.max(offset);
            self.seen.send_replace(Some(self.received));
        }
        Ok(())
    }

    /// Acknowledges, in one of the ways there are; or does not.
    async fn acknowledge(
        &mut self,
        client: &mut Client,
        last: Option<u64>,
        chance: &mut Chance,
    ) -> Result<()> {
        let Some(last) = last else { return Ok(()) };
        let offset = last - chance.below(20).min(last);
        let fields = json!({"channel": INBOX, "offset": offset});
        match chance.below(4) {
            0 => {}
            1 => {
                self.acknowledged = self.acknowledged.max(offset);
                let line = json!({"ack": fields}).to_string();
                client.send_raw(line).await?;
            }
            _ => {
                self.acknowledged = self.acknowledged.max(offset);
                client.command("ack", fields).await?;
                self.kept = self.kept.max(offset);
            }
        }
        Ok(())
    }

    /// Comes, reads, acknowledges and is killed, or its node is.
    async fn session(&mut self, cluster: &mut Cluster, chance: &mut Chance) -> Result<()> {
        self.sessions += 1;
        // The publisher's node is left alone: what becomes of its publications is another test's.
        let surely = self.sessions.is_multiple_of(8);
        let at = if surely {
            1 + chance.below(2)
        } else {
            chance.below(3)
        };
        let at = usize::try_from(at)?;
        let mut client = cluster[at]
            .client(self.transport, "alice", &[INBOX])
            .await?;
        ensure!(client.recovered(INBOX), "{:?}", client.subscribed);
        let mut last = None;
        for _ in 0..=chance.below(3) {
            let count = chance.below(40);
            self.read(&mut client, &mut last, count).await?;
            self.acknowledge(&mut client, last, chance).await?;
        }
        let killed = at > 0 && (surely || chance.below(8) == 0);
        match chance.below(5) {
            _ if killed => {
                self.nodes_killed += 1;
                cluster[at].signal("KILL")?;
                drop(client.drop_abruptly());
                let config = |config: &mut _| cluster.redis.engine_of(config);
                let node = cluster[0].start_beside(config).await?;
                cluster.nodes[at] = node;
            }
            0 => client.leave().await?,
            _ => drop(client.drop_abruptly()),
        }
        Ok(())
    }
}

/// Publishes numbers, never far ahead of the user, until it is told that the user has seen enough. Gives how many.
async fn publish(services: Services, mut received: watch::Receiver<Option<u64>>) -> Result<u64> {
    let mut next = 0;
    loop {
        let enough = |received: &Option<u64>| received.is_none_or(|at| at + AHEAD_MAX > next);
        let received = *received.wait_for(enough).await?;
        if received.is_none() {
            return Ok(next);
        }
        services.publish_numbers(INBOX, next..next + 10).await?;
        next += 10;
    }
}

#[expect(clippy::print_stdout, reason = "a test tells its figures")]
async fn whatever_is_killed_a_user_is_sent_everything_it_has_not_acknowledged(
    transport: Transport,
) -> Result<()> {
    let mut chance = Chance::new()?;
    let mut cluster = Cluster::start(3).await?;
    let services = cluster[0].services().await?;
    let (seen, received) = watch::channel(Some(0));
    let mut user = User {
        transport,
        received: 0,
        kept: 0,
        acknowledged: 0,
        sessions: 0,
        repeated: 0,
        nodes_killed: 0,
        seen,
    };
    // The first subscription is the one that everything follows.
    drop(cluster[0].client(transport, "alice", &[INBOX]).await?);
    let publishing = tokio::spawn(publish(services, received));
    for _ in 0..ROUNDS {
        user.session(&mut cluster, &mut chance).await?;
    }
    user.seen.send_replace(None);
    let published = tokio::time::timeout(SOON, publishing).await???;
    // The last session has all that is left.
    user.sessions += 1;
    let mut client = cluster[1].client(transport, "alice", &[INBOX]).await?;
    let stands = client.subscribed[INBOX]["position"]["offset"].as_u64();
    let left = published - stands.unwrap_or_default();
    user.read(&mut client, &mut None, left).await?;
    ensure!(user.received == published, "only {} came", user.received);
    let fields = json!({"channel": INBOX, "offset": published});
    client.command("ack", fields).await?;
    println!(
        "{published} published, all received, {} of them again, in {} sessions; {} nodes killed",
        user.repeated, user.sessions, user.nodes_killed
    );
    let client = cluster[2].client(transport, "alice", &[INBOX]).await?;
    let stands = client.subscribed[INBOX]["position"]["offset"].as_u64();
    ensure!(stands == Some(published), "{:?}", client.subscribed);
    Ok(())
}

async fn an_ack_is_answered_when_redis_has_it_and_kept_when_redis_is_back(
    transport: Transport,
) -> Result<()> {
    let cluster = Cluster::start_with(2, |config| {
        config.set("limits.engine_timeout_s", "1");
    })
    .await?;
    let services = cluster[0].services().await?;
    let mut client = cluster[0].client(transport, "alice", &[INBOX]).await?;
    services.publish_numbers(INBOX, 0..10).await?;
    client.numbers(INBOX, 0..10).await?;
    cluster.redis.signal("STOP")?;
    let fields = json!({"channel": INBOX, "offset": 4});
    let error = client.refused("ack", fields, "unavailable").await?;
    ensure!(error["retryable"] == true, "{error}");
    cluster.redis.signal("CONT")?;
    // Nobody acknowledges again, and yet it is kept.
    cluster[0]
        .await_metric_within("acks_written_total", SOON * 2, |count| count > 0.5)
        .await
        .context("the ack that Redis did not take")?;
    let mut elsewhere = cluster[1].client(transport, "alice", &[INBOX]).await?;
    elsewhere.numbers(INBOX, 4..10).await?;
    // Nor does the answer come before: what is answered is there on every node at once.
    for offset in 5..=10 {
        let fields = json!({"channel": INBOX, "offset": offset});
        client.command("ack", fields).await?;
        let elsewhere = cluster[1].client(transport, "alice", &[INBOX]).await?;
        let stands = elsewhere.subscribed[INBOX]["position"]["offset"].as_u64();
        ensure!(stands == Some(offset), "{:?}", elsewhere.subscribed);
    }
    let none = elsewhere.next_within(Duration::from_millis(50)).await?;
    ensure!(none.is_none(), "{none:?}");
    Ok(())
}

async fn a_mark_that_redis_forgot_is_not_taken_for_none(transport: Transport) -> Result<()> {
    let mut cluster = Cluster::start(2).await?;
    let services = cluster[0].services().await?;
    let mut client = cluster[0].client(transport, "alice", &[INBOX]).await?;
    services.publish_numbers(INBOX, 0..10).await?;
    client.numbers(INBOX, 0..10).await?;
    client
        .command("ack", json!({"channel": INBOX, "offset": 6}))
        .await?;
    cluster.redis.kill()?;
    cluster.redis.forget()?;
    cluster.redis.restart().await?;
    let gap = client.await_kind("gap").await?;
    ensure!(gap.body["reason"] == "epoch_changed", "{gap:?}");
    until("the mark in redis", SOON, || async {
        let keys = cluster.redis.command("KEYS *a:7:inbox:1:alice").await?;
        Ok(keys.contains("alice").then_some(()))
    })
    .await?;
    drop(client.drop_abruptly());
    until("the other node to be ready", SOON, || async {
        Ok(cluster[1].readyz().await?.is_success().then_some(()))
    })
    .await?;
    services.publish_numbers(INBOX, 10..20).await?;
    let mut client = cluster[1].client(transport, "alice", &[INBOX]).await?;
    let gap = client.await_kind("gap").await?;
    ensure!(
        gap.body["reason"] == "epoch_changed" && gap.body["position"]["offset"] == 10,
        "{gap:?}"
    );
    client
        .command("ack", json!({"channel": INBOX, "offset": 10}))
        .await?;
    drop(client.drop_abruptly());
    services.publish_numbers(INBOX, 20..30).await?;
    let mut client = cluster[0].client(transport, "alice", &[INBOX]).await?;
    ensure!(client.recovered(INBOX), "{:?}", client.subscribed);
    client.numbers(INBOX, 20..30).await
}
