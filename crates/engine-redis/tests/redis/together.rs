//! Many publications in one call: what that saves, and that nothing that becomes of one of them concerns the others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use switchboard_core::ChannelName;
use switchboard_engine::conformance::RecordingSink;
use switchboard_engine::{Engine, EngineError, PublishRequest, Read, ReadFrom};
use switchboard_engine_redis::RedisEngine;
use tokio::time::Instant;

use super::load::numbered;
use super::ready_engine;
use super::server::Server;

/// How long it may take until history can be read.
const READ_WITHIN: Duration = Duration::from_secs(10);

fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).expect("a valid name")
}

fn certainly_not(error: &EngineError) -> bool {
    let may_have_happened = matches!(
        error,
        EngineError::Unavailable {
            may_have_happened: true,
            ..
        }
    );
    !may_have_happened
}

/// How often the server was asked for each of these.
async fn calls<const N: usize>(server: &Server, commands: [&str; N]) -> [u64; N] {
    let stats = server.command("INFO commandstats").await;
    let stats = stats.expect("an answer");
    commands.map(|command| {
        let prefix = format!("cmdstat_{command}:calls=");
        let line = stats.lines().find_map(|line| line.strip_prefix(&prefix));
        let calls = line.and_then(|line| line.split(',').next());
        calls.map_or(0, |calls| calls.parse().expect("a number"))
    })
}

/// The texts of a channel's history, by offset.
async fn history(engine: &RedisEngine, channel: &ChannelName) -> BTreeMap<u64, String> {
    let read = Read {
        from: ReadFrom::Oldest,
        limit: 100_000,
    };
    let began = Instant::now();
    let history = loop {
        match engine.read(channel, read).await {
            Ok(history) => break history,
            Err(error) => assert!(began.elapsed() < READ_WITHIN, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await; // waits: for a cut connection to be made anew
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_matches('"').to_owned();
    history
        .publications
        .iter()
        .map(|publication| (publication.offset, text(publication.payload.bytes())))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_share_a_call_and_those_of_a_channel_an_announcement() {
    const COUNT: usize = 256;
    let server = Server::start(&[]).await;
    let sink = RecordingSink::new();
    let engine = ready_engine(sink.clone(), server.config()).await;
    let channel = channel("a:many");
    engine.follow(&channel).await.expect("redis is there");
    let names = ["evalsha", "spublish"];
    let before = calls(&server, names).await;
    let requests = (0..COUNT).map(|number| numbered(&channel, &number.to_string()));
    for answer in engine.publish_all(requests.collect()).await {
        answer.expect("redis is there");
    }
    let after = calls(&server, names).await;
    let delivered = sink.wait_for_publications(&channel, COUNT).await;
    delivered.expect("all of them come");
    // What the node does by itself meanwhile is in it.
    for (before, after) in before.into_iter().zip(after) {
        let more = after - before;
        assert!(more < 16, "{more} commands for {COUNT} publications");
    }
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_sent_is_never_sent_when_its_publisher_gives_up() {
    let server = Server::start(&[]).await;
    let mut config = server.config();
    config.operation_timeout = Duration::from_secs(1);
    let sink = RecordingSink::new();
    let engine = ready_engine(sink.clone(), config).await;
    let channel = channel("a:given-up");
    sink.set_room(false);
    let dropped = tokio::spawn({
        let (engine, request) = (Arc::clone(&engine), numbered(&channel, "dropped"));
        async move { engine.publish(request).await }
    });
    sink.wait_for_waiter().await;
    dropped.abort();
    assert!(dropped.await.is_err(), "it was answered");
    let late = engine.publish(numbered(&channel, "late")).await;
    let late = late.expect_err("there is no room");
    assert!(certainly_not(&late), "{late:?}");
    sink.set_room(true);
    let published = engine.publish(numbered(&channel, "published")).await;
    assert_eq!(published.expect("redis is there").position.offset, 1);
    let kept: Vec<_> = history(&engine, &channel).await.into_values().collect();
    assert_eq!(kept, ["published"]);
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishers_that_give_up_change_nothing_for_the_others() {
    const COUNT: u64 = 3_000;
    let server = Server::start(&[]).await;
    let engine = ready_engine(RecordingSink::new(), server.config()).await;
    let channels = [channel("a:1"), channel("a:2")];
    let publishing = (0..COUNT).map(|number| {
        let (engine, text) = (Arc::clone(&engine), number.to_string());
        let channel = channels[number as usize % 2].clone();
        tokio::spawn(async move {
            let publishing = engine.publish(numbered(&channel, &text));
            if number % 3 > 0 {
                return Some((channel, text, publishing.await));
            }
            // Before it is sent, while it is on its way, or when it is answered.
            let patience = Duration::from_micros(number % 7 * 300);
            let _ = tokio::time::timeout(patience, publishing).await;
            None
        })
    });
    let publishing: Vec<_> = publishing.collect();
    let kept = async |channel| history(&engine, channel).await;
    let mut answers = Vec::new();
    for publishing in publishing {
        answers.extend(publishing.await.expect("nobody panicked"));
    }
    assert_eq!(answers.len() as u64, COUNT / 3 * 2);
    let kept = [kept(&channels[0]).await, kept(&channels[1]).await];
    for (channel, text, answer) in answers {
        let position = answer.expect("redis is there").position;
        let kept = &kept[usize::from(channel == channels[1])];
        assert_eq!(kept.get(&position.offset), Some(&text));
    }
    for kept in kept {
        let offsets: Vec<_> = kept.keys().copied().collect();
        assert_eq!(offsets, (1..=kept.len() as u64).collect::<Vec<_>>());
        let distinct: BTreeSet<_> = kept.values().collect();
        assert_eq!(distinct.len(), kept.len(), "something was published twice");
    }
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_connection_leaves_each_with_a_true_answer() {
    const PUBLISHERS: usize = 200;
    const EACH: usize = 40;
    let server = Server::start(&[]).await;
    let engine = ready_engine(RecordingSink::new(), server.config()).await;
    let channels = [channel("a:1"), channel("a:2"), channel("b:1")];
    let publisher = async |publisher: usize| {
        let mut answers = Vec::new();
        for number in 0..EACH {
            let channel = &channels[(publisher + number) % channels.len()];
            let text = format!("{publisher} {number}");
            let answer = engine.publish(numbered(channel, &text)).await;
            if answer.is_err() {
                // Nothing is connected: it is refused at once.
                tokio::time::sleep(Duration::from_millis(5)).await; // waits: as a publisher does before it goes on
            }
            answers.push((channel.clone(), text, answer));
        }
        answers
    };
    let cutting = async {
        for _ in 0..8 {
            tokio::time::sleep(Duration::from_millis(40)).await; // waits: for publications to be on their way
            let killed = server.command("CLIENT KILL TYPE normal").await;
            killed.expect("an answer");
        }
    };
    let publishing = join_all((0..PUBLISHERS).map(publisher));
    let (answers, ()) = tokio::join!(publishing, cutting);
    let mut kept = BTreeMap::new();
    for channel in &channels {
        kept.insert(channel.clone(), history(&engine, channel).await);
    }
    let (mut unknown, mut refused) = (0, 0);
    for (channel, text, answer) in answers.into_iter().flatten() {
        let kept = &kept[&channel];
        match answer {
            Ok(published) => assert_eq!(kept.get(&published.position.offset), Some(&text)),
            Err(error) if certainly_not(&error) => {
                refused += 1;
                assert!(!kept.values().any(|kept| *kept == text), "{text}: {error}");
            }
            Err(_) => unknown += 1,
        }
    }
    println!("{unknown} may have happened, {refused} have not");
    assert!(unknown > 0, "no connection was cut");
    for kept in kept.values() {
        let distinct: BTreeSet<_> = kept.values().collect();
        assert_eq!(distinct.len(), kept.len(), "something was published twice");
    }
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_not_as_they_should_be_concern_no_other_channel() {
    let server = Server::start(&[]).await;
    let mut config = server.config();
    // Their keys can be told by name, and they share their calls.
    config.partitions = 1;
    let engine = ready_engine(RecordingSink::new(), config).await;
    let first = engine.publish(numbered(&channel("a:stream"), "w")).await;
    first.expect("redis is there");
    let deleted = server.command("DEL sb{0}s:a:stream").await;
    assert_eq!(deleted.expect("an answer"), ":1\r\n");
    for key in ["m:a:record", "s:a:stream", "i:a:id:x"] {
        let set = server.command(&format!("LPUSH sb{{0}}{key} x")).await;
        assert_eq!(set.expect("an answer"), ":1\r\n");
    }
    let names = ["a:1", "a:record", "a:stream", "a:id", "a:2"];
    let together = names.map(|name| numbered(&channel(name), "x"));
    let again = names.map(|name| PublishRequest {
        id: None,
        ..numbered(&channel(name), "y")
    });
    let together = together.into_iter().chain(again).collect();
    let offset = |answer: Result<switchboard_engine::Published, EngineError>| match answer {
        Ok(published) => published.position.offset,
        Err(error) => {
            assert!(certainly_not(&error), "{error:?}");
            assert!(error.to_string().contains("WRONGTYPE"), "{error}");
            0
        }
    };
    let offsets = engine.publish_all(together).await.into_iter().map(offset);
    let offsets: Vec<_> = offsets.collect();
    assert_eq!(offsets, [1, 0, 0, 0, 1, 2, 0, 0, 1, 2]);
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_memory_refuses_all_and_nothing_has_happened() {
    let server = Server::start(&["--maxmemory-policy", "noeviction"]).await;
    let mut config = server.config();
    // A canary that is refused would have the connection made anew: the next one comes when this is over.
    config.canary_interval = Duration::from_secs(3);
    let engine = ready_engine(RecordingSink::new(), config).await;
    let requests = |text: &str| {
        let names = ["a:1", "a:2", "a:3"].into_iter().cycle().take(30).zip(0..);
        let numbered = |(name, number)| numbered(&channel(name), &format!("{text} {number}"));
        names.map(numbered).collect::<Vec<_>>()
    };
    for answer in engine.publish_all(requests("first")).await {
        answer.expect("redis is there");
    }
    let set = server.command("CONFIG SET maxmemory 1").await;
    assert_eq!(set.expect("an answer"), "+OK\r\n");
    for answer in engine.publish_all(requests("refused")).await {
        let error = answer.expect_err("there is no memory");
        assert!(certainly_not(&error), "{error:?}");
        assert!(error.to_string().contains("OOM"), "{error}");
    }
    let set = server.command("CONFIG SET maxmemory 0").await;
    assert_eq!(set.expect("an answer"), "+OK\r\n");
    for name in ["a:1", "a:2", "a:3"] {
        let kept = history(&engine, &channel(name)).await;
        assert_eq!(kept.len(), 10, "{kept:?}");
    }
    engine.shutdown().await;
}
