//! Two engines as two nodes: members of both seen in both, and a dead one's leave once.

use std::sync::Arc;
use std::time::Duration;

use switchboard_core::{ChannelName, NodeId, PresenceChange, SessionId};
use switchboard_engine::conformance::{Event, RecordingSink};
use switchboard_engine::{Engine, JoinRequest, Leaving, MemberQuery};
use switchboard_engine_redis::RedisEngine;
use tokio::time::Instant;

use super::ready_engine;
use super::server::Server;

/// More than one script removes at once.
const MEMBERS: u32 = 250;

fn session(slot: u32) -> SessionId {
    SessionId {
        node: NodeId(7),
        shard: 1,
        slot,
        generation: 1,
    }
}

async fn join(engine: &RedisEngine, channel: &ChannelName, slot: u32, user: &str) {
    let request = JoinRequest {
        channel: channel.clone(),
        session: session(slot),
        user: Some(user.into()),
        info: None,
        members_max: None,
    };
    engine.join(request).await.expect("redis is there");
}

async fn members(engine: &RedisEngine, channel: &ChannelName) -> Vec<u32> {
    let (mut slots, mut after) = (Vec::new(), None);
    loop {
        let page = engine
            .members(channel, MemberQuery { after, limit: 100 })
            .await;
        let page = page.expect("redis is there");
        slots.extend(page.members.iter().map(|member| member.session.slot));
        after = page.next;
        if after.is_none() {
            return slots;
        }
    }
}

fn leaves(events: &[Event], channel: &ChannelName) -> Vec<u32> {
    let left = events.iter().filter_map(|event| match event {
        Event::Presence(event)
            if event.channel == *channel && event.change == PresenceChange::Leave =>
        {
            Some(event.member.session.slot)
        }
        _ => None,
    });
    let mut left: Vec<_> = left.collect();
    left.sort_unstable();
    left
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_a_dropped_node_leave_once_within_the_lease() {
    let server = Server::start(&[]).await;
    let config = server.config();
    let sinks: Vec<_> = (0..2).map(|_| RecordingSink::new()).collect();
    let mut survivors = Vec::new();
    for sink in &sinks {
        survivors.push(ready_engine(sink.clone(), config.clone()).await);
    }
    let victim = ready_engine(RecordingSink::new(), config.clone()).await;
    let channels = ["a:1", "b:2"].map(|name| ChannelName::parse(name).expect("a valid name"));
    for survivor in &survivors {
        for channel in &channels {
            survivor.follow(channel).await.expect("redis is there");
        }
    }
    for slot in 1..=MEMBERS {
        for channel in &channels {
            join(&victim, channel, slot, &format!("user {}", slot % 100)).await;
        }
    }
    join(&survivors[0], &channels[0], 1000, "somebody").await;
    // Both see the members of both.
    let everybody: Vec<_> = (1..=MEMBERS).chain([1000]).collect();
    for engine in [&survivors[0], &survivors[1], &victim] {
        assert_eq!(members(engine, &channels[0]).await, everybody);
    }
    // One is in a grace that is longer than the lease, and its node dies: it may still come back elsewhere.
    let grace = config.lease * 3;
    let left = victim
        .leave(&channels[0], session(1), Leaving::After(grace))
        .await;
    left.expect("redis is there");
    drop(victim);
    let died = Instant::now();
    for sink in &sinks {
        for (channel, count) in channels.iter().zip([MEMBERS - 1, MEMBERS]) {
            let all =
                |events: &[Event]| (leaves(events, channel).len() >= count as usize).then_some(());
            let left = sink.until_within(config.lease + Duration::from_secs(1), "the leaves", all);
            left.await.expect("a dead node's members leave");
        }
    }
    println!(
        "{MEMBERS} members in two channels left {:?} after their node",
        died.elapsed()
    );
    assert_eq!(members(&survivors[1], &channels[0]).await, [1, 1000]);
    // The same user takes the place over on another node, unseen.
    join(&survivors[1], &channels[0], 2000, "user 1").await;
    assert_eq!(members(&survivors[0], &channels[0]).await, [1, 1000]);
    // A last change comes after whatever else was told.
    for channel in &channels {
        join(&survivors[0], channel, 3000, "last").await;
    }
    let is_last = |events: &[Event]| {
        let joined = |event: &&Event| matches!(event, Event::Presence(event) if event.member.session == session(3000));
        (events.iter().filter(joined).count() == 2).then_some(())
    };
    for sink in &sinks {
        sink.until("the last joins", is_last)
            .await
            .expect("they come");
        let events = sink.events();
        let once: Vec<_> = (2..=MEMBERS).collect();
        assert_eq!(leaves(&events, &channels[0]), once, "who left");
        let once: Vec<_> = (1..=MEMBERS).collect();
        assert_eq!(leaves(&events, &channels[1]), once, "who left");
    }
    for survivor in &survivors {
        survivor.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_declared_dead_by_an_outage_of_redis() {
    let mut server = Server::start(&["--appendonly", "yes"]).await;
    let mut config = server.config();
    // One is back long before the other, and finds its lease over.
    config.reconnect.delay_max = config.reconnect.delay_min;
    let sink = RecordingSink::new();
    let one: Arc<RedisEngine> = ready_engine(sink.clone(), config.clone()).await;
    config.reconnect.delay_min = Duration::from_millis(1500);
    config.reconnect.delay_max = Duration::from_millis(1500);
    let two = ready_engine(RecordingSink::new(), config.clone()).await;
    let channel = ChannelName::parse("a:1").expect("a valid name");
    one.follow(&channel).await.expect("redis is there");
    join(&two, &channel, 1, "alice").await;
    server.kill();
    tokio::time::sleep(config.lease * 2).await; // waits: every lease is over by then
    server.restart().await;
    for engine in [&one, &two] {
        engine
            .wait_until_ready(Duration::from_secs(10))
            .await
            .expect("ready again");
    }
    tokio::time::sleep(config.lease * 2).await; // waits: long enough for a janitor to be wrong
    assert_eq!(members(&one, &channel).await, [1]);
    assert_eq!(leaves(&sink.events(), &channel), [0; 0]);
    one.shutdown().await;
    two.shutdown().await;
}
