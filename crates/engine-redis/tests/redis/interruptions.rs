//! What happens between Redis and a node: nothing is silently lost, and no operation takes longer than its deadline.

use std::time::Duration;

use rustix::process::Signal;
use switchboard_core::{ChannelName, NodeId, SessionId};
use switchboard_engine::conformance::{Event, Follower, RecordingSink};
use switchboard_engine::{Engine, EngineError, JoinRequest, Leaving, MemberQuery, Read, ReadFrom};
use tokio::time::Instant;

use super::load::{Load, TOLD_WITHIN, numbered};
use super::ready_engine;
use super::server::Server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_subscription_is_told_and_refilled() {
    let server = Server::start(&[]).await;
    let load = Load::start(&server.config(), "a:cut").await;
    for _ in 0..5 {
        load.flows(40).await;
        let before = load.sink.events().len();
        let killed = server
            .command("CLIENT KILL TYPE pubsub")
            .await
            .expect("an answer");
        assert!(killed.contains(":2"), "{killed}");
        let took = load.is_told(before, TOLD_WITHIN).await;
        println!("told after {took:?}");
    }
    let outcome = load.end().await;
    outcome.expect_nothing_lost();
    assert!(outcome.follower.refilled > 0, "the fault lost nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_with_an_append_only_file_goes_on_where_it_was() {
    let mut server = Server::start(&["--appendonly", "yes"]).await;
    let load = Load::start(&server.config(), "a:aof").await;
    load.flows(100).await;
    let before = load.sink.events().len();
    server.kill();
    let refused = load
        .publisher
        .publish(numbered(&load.channel, "refused"))
        .await;
    assert!(
        matches!(refused, Err(EngineError::Unavailable { .. })),
        "{refused:?}"
    );
    let took = load.is_told(before, TOLD_WITHIN).await;
    println!("told after {took:?}");
    assert!(load.node.check().await.is_err(), "ready without a server");
    server.restart().await;
    load.flows(100).await;
    load.node
        .wait_until_ready(TOLD_WITHIN)
        .await
        .expect("ready again");
    load.end().await.expect_nothing_lost();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_empty_is_a_gap_and_a_new_epoch() {
    let mut server = Server::start(&[]).await;
    let load = Load::start(&server.config(), "a:empty").await;
    load.flows(100).await;
    let from = ReadFrom::Newest;
    let old = load.node.read(&load.channel, Read { from, limit: 0 }).await;
    let old = old.expect("redis is there").top;
    server.kill();
    server.empty_directory();
    server.restart().await;
    load.flows(100).await;
    let read = Read {
        from: ReadFrom::After(old),
        limit: 10,
    };
    let history = load
        .node
        .read(&load.channel, read)
        .await
        .expect("redis is there");
    assert!(
        !history.complete,
        "a client was told that it missed nothing"
    );
    let outcome = load.end().await;
    assert_eq!(outcome.follower.gaps.len(), 1, "the loss is told once");
    let epochs: std::collections::BTreeSet<_> =
        outcome.follower.passed_on.iter().map(|p| p.epoch).collect();
    assert_eq!(epochs.len(), 2, "epochs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stalls_is_told_and_its_operations_end_in_time() {
    let server = Server::start(&[]).await;
    let config = server.config();
    let load = Load::start(&config, "a:stall").await;
    load.flows(100).await;
    let before = load.sink.events().len();
    server.signal(Signal::STOP);
    let stopped = Instant::now();
    let took = load.is_told(before, TOLD_WITHIN).await;
    println!("told after {took:?}");
    assert!(
        load.node.check().await.is_err(),
        "ready while nothing is heard"
    );
    // Every operation ends, and says so of itself.
    let other = ChannelName::parse("a:other").expect("a valid name");
    let read = Read {
        from: ReadFrom::Newest,
        limit: 1,
    };
    let (follow, read, count) = tokio::join!(
        load.node.follow(&other),
        load.node.read(&other, read),
        load.node.count_members(std::slice::from_ref(&other)),
    );
    assert!(follow.is_err() && read.is_err() && count.is_err());
    assert!(stopped.elapsed() < TOLD_WITHIN + config.operation_timeout + Duration::from_secs(1));
    load.node.unfollow(&other).await;
    tokio::time::sleep_until(stopped + Duration::from_secs(5)).await; // waits: the stall is this long
    server.signal(Signal::CONT);
    load.flows(100).await;
    load.node
        .wait_until_ready(TOLD_WITHIN)
        .await
        .expect("ready again");
    let outcome = load.end().await;
    outcome.expect_nothing_lost();
    // What waits for a server that hangs is ended when that is noticed, not at its deadline.
    let slowest = outcome.published.slowest;
    assert!(
        slowest < TOLD_WITHIN + Duration::from_secs(1),
        "{slowest:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_come_back_after_redis_lost_them() {
    who_is_there_after_a_restart(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_left_while_redis_was_away_is_no_ghost() {
    who_is_there_after_a_restart(&["--appendonly", "yes"]).await;
}

async fn who_is_there_after_a_restart(options: &[&str]) {
    let mut server = Server::start(options).await;
    let engine = ready_engine(RecordingSink::new(), server.config()).await;
    let channel = ChannelName::parse("a:members").expect("a valid name");
    let session = |slot| SessionId {
        node: NodeId(7),
        shard: 0,
        slot,
        generation: 1,
    };
    for slot in [1, 2] {
        let request = JoinRequest {
            channel: channel.clone(),
            session: session(slot),
            user: Some(format!("user {slot}").into()),
            info: None,
            members_max: None,
        };
        engine.join(request).await.expect("redis is there");
    }
    server.kill();
    // Its session ends while Redis is away: nobody will say so again.
    let left = engine.leave(&channel, session(2), Leaving::Now).await;
    assert!(left.is_err());
    server.restart().await;
    let ready = engine.wait_until_ready(Duration::from_secs(10)).await;
    ready.expect("ready again");
    let started = Instant::now();
    loop {
        let query = MemberQuery {
            after: None,
            limit: 10,
        };
        let page = engine.members(&channel, query).await;
        let members = page.map(|page| page.members).unwrap_or_default();
        let members: Vec<_> = members.iter().map(|member| member.session).collect();
        if members == [session(1)] {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(5), "{members:?}");
        tokio::time::sleep(Duration::from_millis(20)).await; // waits: members come and go by themselves
    }
    engine.shutdown().await;
}

/// A failover to a replica that was behind does the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_with_older_data_is_a_gap_and_a_new_epoch() {
    let mut server = Server::start(&["--appendonly", "yes"]).await;
    let sink = RecordingSink::new();
    let engine = ready_engine(sink.clone(), server.config()).await;
    let channel = ChannelName::parse("a:older").expect("a valid name");
    engine.follow(&channel).await.expect("redis is there");
    let publish = async |numbers: std::ops::Range<u32>| {
        let mut last = None;
        for number in numbers {
            let published = engine
                .publish(numbered(&channel, &number.to_string()))
                .await;
            last = Some(published.expect("redis is there").position);
        }
        last.expect("something was published")
    };
    publish(0..10).await;
    let older = server.copy_of_directory();
    let seen = publish(10..20).await;
    let delivered = sink.wait_for_publications(&channel, 20).await;
    assert_eq!(
        delivered.expect("they come").last().map(|p| p.position()),
        Some(seen)
    );
    server.kill();
    server.empty_directory();
    server.fill_directory(&older);
    server.restart().await;
    let ready = engine.wait_until_ready(Duration::from_secs(10)).await;
    ready.expect("ready again");
    // These get past the offsets that were dealt out before.
    let now = publish(20..40).await;
    assert!(now.epoch != seen.epoch, "offsets mean two things");
    let read = Read {
        from: ReadFrom::After(seen),
        limit: 100,
    };
    let history = engine.read(&channel, read).await.expect("redis is there");
    assert!(
        !history.complete,
        "a client was told that it missed nothing"
    );
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_room_is_told_what_was_dropped() {
    const COUNT: u64 = 100;
    let server = Server::start(&[]).await;
    let mut config = server.config();
    config.deliveries_queued_max = 20;
    let sink = RecordingSink::new();
    let node = ready_engine(sink.clone(), config.clone()).await;
    let publisher = ready_engine(RecordingSink::new(), config).await;
    let channel = ChannelName::parse("a:room").expect("a valid name");
    node.follow(&channel).await.expect("redis is there");
    let from = ReadFrom::Newest;
    let start = node.read(&channel, Read { from, limit: 0 }).await;
    let mut follower = Follower::new(channel.clone(), start.expect("redis is there").top);
    sink.set_room(false);
    for number in 1..=COUNT {
        let published = publisher
            .publish(numbered(&channel, &number.to_string()))
            .await;
        published.expect("redis is there");
    }
    let told = |times: usize| {
        move |events: &[Event]| {
            let interruptions = events
                .iter()
                .filter(|event| matches!(event, Event::Interrupted(_)));
            (interruptions.count() >= times).then_some(())
        }
    };
    let dropped = sink
        .until_within(TOLD_WITHIN, "an interruption", told(1))
        .await;
    dropped.expect("the node is told at once");
    assert!(
        sink.publications(&channel).len() <= 1,
        "delivered without room"
    );
    sink.set_room(true);
    // Nothing is published after this: the announcement alone must lead to the rest.
    let resumed = sink
        .until_within(TOLD_WITHIN, "an interruption", told(2))
        .await;
    resumed.expect("the node is told again");
    follower
        .take(&*node, &sink.events())
        .await
        .expect("history can be read");
    let offsets: Vec<_> = follower.passed_on.iter().map(|p| p.offset).collect();
    assert_eq!(offsets, (1..=COUNT).collect::<Vec<_>>());
    assert!(follower.refilled > 0, "nothing was dropped");
    node.shutdown().await;
    publisher.shutdown().await;
}
