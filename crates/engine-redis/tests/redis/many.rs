//! Many channels: followed at once, subscribed again at once, and gone once nobody follows them.

use std::time::Duration;

use futures_util::future::join_all;
use switchboard_core::ChannelName;
use switchboard_engine::Engine;
use switchboard_engine::conformance::{Event, RecordingSink};
use tokio::time::Instant;

use super::load::numbered;
use super::ready_engine;
use super::server::Server;

const CHANNELS: usize = 5_000;

/// Counts the channels of this test that somebody is subscribed to at the server: no canary and no node's inbox.
const SUBSCRIBED: &str =
    r#"EVAL "return #redis.call('PUBSUB', 'SHARDCHANNELS', 'sb*}c:many:*')" 0"#;

async fn subscribed(server: &Server) -> usize {
    let answer = server.command(SUBSCRIBED).await.expect("an answer");
    let count = answer.trim_start_matches(':').trim().parse();
    count.expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_channels_are_subscribed_again_and_leave_nothing_behind() {
    let server = Server::start(&[]).await;
    let sink = RecordingSink::new();
    let engine = ready_engine(sink.clone(), server.config()).await;
    let names = (0..CHANNELS).map(|number| format!("many:{number}"));
    let names: Vec<_> = names
        .map(|name| ChannelName::parse(&name).expect("a valid name"))
        .collect();
    let started = Instant::now();
    for followed in join_all(names.iter().map(|name| engine.follow(name))).await {
        followed.expect("redis is there");
    }
    println!("{CHANNELS} channels followed in {:?}", started.elapsed());
    assert_eq!(subscribed(&server).await, CHANNELS);
    assert_eq!(engine.stats().channels_followed, CHANNELS);
    let killed = Instant::now();
    server
        .command("CLIENT KILL TYPE pubsub")
        .await
        .expect("an answer");
    let told = |events: &[Event]| {
        let told = |event: &Event| matches!(event, Event::Interrupted(_));
        events.iter().any(told).then_some(())
    };
    let told = sink
        .until_within(Duration::from_secs(3), "an interruption", told)
        .await;
    told.expect("the node is told");
    engine
        .wait_until_ready(Duration::from_secs(10))
        .await
        .expect("ready again");
    println!("subscribed again after {:?}", killed.elapsed());
    assert_eq!(subscribed(&server).await, CHANNELS);
    for name in [&names[0], &names[CHANNELS - 1]] {
        engine
            .publish(numbered(name, "1"))
            .await
            .expect("redis is there");
        sink.wait_for_publications(name, 1)
            .await
            .expect("it is heard");
    }
    for name in &names {
        engine.unfollow(name).await;
    }
    server.until(SUBSCRIBED, |answer| answer == ":0\r\n").await;
    assert_eq!(engine.stats().channels_followed, 0);
    assert_eq!(engine.stats().garbage, 0);
    // Whoever comes back is subscribed anew.
    engine.follow(&names[0]).await.expect("redis is there");
    engine
        .publish(numbered(&names[0], "2"))
        .await
        .expect("redis is there");
    sink.wait_for_publications(&names[0], 2)
        .await
        .expect("it is heard");
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_counted_and_told_and_does_no_harm() {
    let server = Server::start(&[]).await;
    let sink = RecordingSink::new();
    let engine = ready_engine(sink.clone(), server.config()).await;
    let channel = ChannelName::parse("a:garbage").expect("a valid name");
    engine.follow(&channel).await.expect("redis is there");
    let published = engine.publish(numbered(&channel, "1")).await;
    let first = published.expect("redis is there").position;
    let subscribed = server.command("PUBSUB SHARDCHANNELS *}c:a:garbage").await;
    let subscribed = subscribed.expect("an answer");
    let pub_sub = subscribed
        .lines()
        .find(|line| line.contains("}c:"))
        .expect("subscribed");
    server
        .command(&format!("SPUBLISH {pub_sub} garbage"))
        .await
        .expect("an answer");
    let stream = pub_sub.replace("}c:", "}s:");
    server
        .command(&format!("XADD {stream} 0-2 d garbage"))
        .await
        .expect("an answer");
    let told = |events: &[Event]| {
        let told = |event: &Event| matches!(event, Event::Interrupted(_));
        events.iter().any(told).then_some(())
    };
    sink.until("an interruption", told)
        .await
        .expect("the node is told");
    assert_eq!(engine.stats().garbage, 1);
    let read = switchboard_engine::Read {
        from: switchboard_engine::ReadFrom::After(first),
        limit: 10,
    };
    let history = engine.read(&channel, read).await.expect("redis is there");
    assert!(history.publications.is_empty());
    engine.shutdown().await;
}
