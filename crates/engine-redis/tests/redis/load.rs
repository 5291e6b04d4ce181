//! Two nodes on one Redis: one publishes, the other follows and refills as a node does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use switchboard_core::{ChannelName, Payload, Retention};
use switchboard_engine::conformance::{Event, Follower, RecordingSink};
use switchboard_engine::{Engine, EngineError, Interrupted, PublishRequest, Read, ReadFrom};
use switchboard_engine_redis::{RedisConfig, RedisEngine};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ready_engine;

/// How often something is published.
const PACE: Duration = Duration::from_millis(5);

/// How long the node may take to come to where the channel stands: what it must be told comes within three seconds.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// What is lost between Redis and a node is told within this.
pub(crate) const TOLD_WITHIN: Duration = Duration::from_secs(3);

/// How long a failover may take: a second or half of one to notice, the rest to elect or agree.
const FAILOVER_WITHIN: Duration = Duration::from_secs(15);

/// A publisher on one node, a follower on another.
pub(crate) struct Load {
    pub(crate) publisher: Arc<RedisEngine>,
    pub(crate) node: Arc<RedisEngine>,
    pub(crate) sink: Arc<RecordingSink>,
    pub(crate) channel: ChannelName,
    stop: CancellationToken,
    publishing_ends: CancellationToken,
    publishing: JoinHandle<Published>,
    following: JoinHandle<Follower>,
}

/// What the publisher was told.
#[derive(Debug, Default)]
pub(crate) struct Published {
    /// The texts that were accepted.
    pub(crate) accepted: Vec<String>,
    /// Attempts that failed.
    pub(crate) failed: usize,
    /// The longest that an attempt took.
    pub(crate) slowest: Duration,
}

/// How it went.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) published: Published,
    pub(crate) follower: Follower,
}

impl Load {
    /// Starts publishing a number every few milliseconds, each until it is accepted.
    pub(crate) async fn start(config: &RedisConfig, name: &str) -> Self {
        let sink = RecordingSink::new();
        let node = ready_engine(sink.clone(), config.clone()).await;
        let publisher = ready_engine(RecordingSink::new(), config.clone()).await;
        let channel = ChannelName::parse(name).expect("a valid name");
        node.follow(&channel).await.expect("redis is there");
        let from = ReadFrom::Newest;
        let start = node.read(&channel, Read { from, limit: 0 }).await;
        let start = start.expect("redis is there").top;
        let (stop, publishing_ends) = (CancellationToken::new(), CancellationToken::new());
        let publishing = tokio::spawn(publish(
            Arc::clone(&publisher),
            channel.clone(),
            stop.clone(),
        ));
        let follower = Follower::new(channel.clone(), start);
        let following = tokio::spawn(follow(
            Arc::clone(&node),
            Arc::clone(&sink),
            channel.clone(),
            follower,
            publishing_ends.clone(),
        ));
        Self {
            publisher,
            node,
            sink,
            channel,
            stop,
            publishing_ends,
            publishing,
            following,
        }
    }

    /// Waits until `count` more have been delivered.
    pub(crate) async fn flows(&self, count: usize) {
        let before = self.sink.publications(&self.channel).len();
        let flowing = self
            .sink
            .wait_for_publications(&self.channel, before + count);
        flowing.await.expect("publications flow");
    }

    /// Waits until the node is told that something may have been lost, counting from `before` calls of its sink.
    pub(crate) async fn is_told(&self, before: usize, within: Duration) -> Duration {
        let asked = Instant::now();
        let told = |event: &Event| match event {
            Event::Interrupted(Interrupted::All) => true,
            Event::Interrupted(Interrupted::Channels(channels)) => channels.contains(&self.channel),
            _ => false,
        };
        let find = |events: &[Event]| events[before..].iter().any(told).then_some(());
        let told = self.sink.until_within(within, "an interruption", find);
        told.await.expect("the node is told");
        asked.elapsed()
    }

    /// The same within the time that is promised, and tells how long it took.
    #[expect(clippy::print_stdout, reason = "a test tells its figures")]
    pub(crate) async fn is_told_soon(&self, before: usize) {
        println!("told after {:?}", self.is_told(before, TOLD_WITHIN).await);
    }

    /// Waits until the node is ready again after a failover, and tells how long that took.
    #[expect(clippy::print_stdout, reason = "a test tells its figures")]
    pub(crate) async fn is_ready_again(&self, since: Instant) {
        let ready = self.node.wait_until_ready(FAILOVER_WITHIN).await;
        ready.expect("ready again");
        println!("ready again after {:?}", since.elapsed());
    }

    /// Stops publishing, tells the figures, and has the node catch up with what was told to it: deliveries, interruptions, and history.
    #[expect(clippy::print_stdout, reason = "a test tells its figures")]
    pub(crate) async fn end(self) -> Outcome {
        self.stop.cancel();
        let published = self.publishing.await.expect("the publisher ends");
        self.publishing_ends.cancel();
        let following = tokio::time::timeout(CATCH_UP_TIMEOUT, self.following);
        let follower = following.await.expect("what was lost last is told, too");
        let follower = follower.expect("the follower ends");
        println!(
            "{}: {} accepted, {} attempts failed, slowest {:?}; {} passed on, {} by refill, {} gaps",
            self.channel,
            published.accepted.len(),
            published.failed,
            published.slowest,
            follower.passed_on.len(),
            follower.refilled,
            follower.gaps.len(),
        );
        self.publisher.shutdown().await;
        self.node.shutdown().await;
        Outcome {
            published,
            follower,
        }
    }
}

impl Outcome {
    /// Everything accepted was passed on, in order, once, without a gap.
    pub(crate) fn expect_nothing_lost(&self) {
        let passed_on: Vec<_> = self
            .follower
            .passed_on
            .iter()
            .map(|p| {
                String::from_utf8_lossy(p.payload.bytes())
                    .trim_matches('"')
                    .to_owned()
            })
            .collect();
        let distinct: BTreeSet<_> = passed_on.iter().collect();
        assert_eq!(distinct.len(), passed_on.len(), "something came twice");
        let missing: Vec<_> = self
            .published
            .accepted
            .iter()
            .filter(|text| !distinct.contains(text))
            .collect();
        assert!(
            missing.is_empty(),
            "accepted and never passed on: {missing:?}"
        );
        let offsets: Vec<_> = self.follower.passed_on.iter().map(|p| p.offset).collect();
        let in_order = (1..=offsets.len() as u64).collect::<Vec<_>>();
        assert_eq!(offsets, in_order, "offsets");
        assert!(self.follower.gaps.is_empty(), "gaps");
    }
}

async fn publish(
    engine: Arc<RedisEngine>,
    channel: ChannelName,
    stop: CancellationToken,
) -> Published {
    let mut published = Published::default();
    for number in 0_u64.. {
        let text = number.to_string();
        loop {
            let began = Instant::now();
            let answer = engine.publish(numbered(&channel, &text)).await;
            published.slowest = published.slowest.max(began.elapsed());
            match answer {
                Ok(_) => break published.accepted.push(text),
                Err(EngineError::Unavailable { .. }) => published.failed += 1,
                Err(error) => panic!("{error}"),
            }
            tokio::time::sleep(PACE).await; // waits: before trying again, as a publisher does
        }
        // Not before something is accepted: what follows waits for the last one.
        if stop.is_cancelled() {
            break;
        }
        tokio::time::sleep(PACE).await; // waits: the pace of publishing
    }
    published
}

/// Takes what the node's sink is told, and ends where the channel stands once nothing is published any more.
async fn follow(
    engine: Arc<RedisEngine>,
    sink: Arc<RecordingSink>,
    channel: ChannelName,
    mut follower: Follower,
    publishing_ends: CancellationToken,
) -> Follower {
    loop {
        let nothing_comes = publishing_ends.is_cancelled();
        let taken = follower.take(&*engine, &sink.events()).await;
        taken.expect("history can be read");
        if nothing_comes {
            let from = ReadFrom::Newest;
            let top = engine.read(&channel, Read { from, limit: 0 }).await;
            if top.is_ok_and(|history| history.top == follower.position()) {
                return follower;
            }
        }
        tokio::time::sleep(PACE).await; // waits: for what the sink is told next, which may be nothing
    }
}

/// A publication with an id, so that trying again does not publish twice.
pub(crate) fn numbered(channel: &ChannelName, text: &str) -> PublishRequest {
    PublishRequest {
        channel: channel.clone(),
        payload: Payload::Json(Bytes::from(format!("\"{text}\""))),
        id: Some(text.into()),
        skip_history: false,
        idempotency_window: Duration::from_mins(5),
        from: None,
        tags: Vec::new(),
        exclude: None,
        expected_position: None,
        retention: Retention {
            count_max: 100_000,
            bytes_max: 16 * 1024 * 1024,
            age_max: Duration::from_mins(10),
        },
    }
}
