//! Durable subscriptions: what is acknowledged is kept and nothing else, whatever the engine does meanwhile.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use switchboard_core::{Limits, Position};
use switchboard_engine::MarkOf;
use switchboard_protocol::wire::Wire;

use super::client::{Client, offsets};
use super::engine::Operation;
use super::place::{Place, channel, on_shard};
use crate::opening::Transport;

fn of(user: &str) -> MarkOf {
    MarkOf {
        channel: channel("inbox:1"),
        user: user.into(),
        ttl: Duration::from_hours(1),
    }
}

/// Where alice's mark is, without a word to who counts.
async fn mark(place: &Place) -> Position {
    let mark = place
        .engine
        .engine()
        .mark(&of("alice"), None)
        .await
        .unwrap();
    assert!(!mark.made, "there is no mark");
    mark.position
}

async fn publish(place: &Place, count: u64) {
    for n in 0..count {
        place.publish("inbox:1", n.to_string()).await;
    }
}

fn written(place: &Place) -> Vec<u64> {
    let acknowledged = place.engine.acknowledged.lock().unwrap();
    acknowledged
        .iter()
        .map(|position| position.offset)
        .collect()
}

fn ack(id: u64, offset: u64) -> Value {
    json!({"id": id, "ack": {"channel": "inbox:1", "offset": offset}})
}

fn replies(frames: &[Value]) -> Vec<u64> {
    let ids = frames.iter().map(|frame| frame["reply"]["id"].as_u64());
    ids.flatten().collect()
}

/// The reply to a command.
async fn reply(place: &Place, client: &mut Client, id: u64) -> Value {
    let frames = place.read_until(client, |frames| replies(frames).contains(&id));
    let frames = frames.await;
    let mut replies = frames.iter().map(|frame| &frame["reply"]);
    replies.find(|reply| reply["id"] == id).unwrap().clone()
}

async fn settle(place: &Place) {
    for _ in 0..100 {
        tokio::task::yield_now().await;
        place.work();
    }
}

/// A WebSocket with the first `count` publications of the inbox.
async fn with_inbox(place: &Place, count: u64) -> Client {
    let (mut client, frames) = place.websocket(&["inbox:1"]).await;
    assert_eq!(frames[1]["subscribed"]["policy"]["durable"], true);
    publish(place, count).await;
    let all = |frames: &[Value]| offsets(frames, "inbox:1").len() as u64 == count;
    place.read_until(&mut client, all).await;
    client
}

#[tokio::test]
async fn a_subscription_starts_with_what_is_not_acknowledged() {
    on_shard(async {
        let place = Place::new(Limits::default());
        let mut client = with_inbox(&place, 5).await;
        client.command(&[ack(1, 3)]);
        assert_eq!(reply(&place, &mut client, 1).await["ack"], json!({}));
        assert_eq!(mark(&place).await.offset, 3);
        drop(client);
        settle(&place).await;
        publish(&place, 2).await;

        let (mut client, mut frames) = place.websocket(&["inbox:1"]).await;
        let enough = |frames: &[Value]| frames.len() + 2 >= 6;
        if frames.len() < 6 {
            frames.extend(place.read_until(&mut client, enough).await);
        }
        assert_eq!(frames[1]["subscribed"]["recovered"], true, "{frames:?}");
        assert_eq!(offsets(&frames, "inbox:1"), [4, 5, 6, 7]);
        // What was not acknowledged comes again, and on an event stream as well.
        let (_, frames) = place.stream(&["inbox:1"]).await;
        assert_eq!(offsets(&frames, "inbox:1")[..1], [4]);
    })
    .await;
}

#[tokio::test]
async fn the_first_subscription_ever_recovers_nothing_and_is_remembered() {
    on_shard(async {
        let place = Place::new(Limits::default());
        publish(&place, 2).await;
        let (client, frames) = place.websocket(&["inbox:1"]).await;
        let subscribed = &frames[1]["subscribed"];
        assert_eq!(subscribed["recovered"], false, "{frames:?}");
        assert_eq!(subscribed["position"]["offset"], 2, "{frames:?}");
        drop(client);
        settle(&place).await;
        publish(&place, 1).await;
        let (mut client, mut frames) = place.websocket(&["inbox:1"]).await;
        if frames.len() < 3 {
            frames.extend(place.read_until(&mut client, |f| !f.is_empty()).await);
        }
        assert_eq!(frames[1]["subscribed"]["recovered"], true, "{frames:?}");
        assert_eq!(offsets(&frames, "inbox:1"), [3]);
    })
    .await;
}

#[tokio::test]
async fn acks_in_a_row_are_one_write_and_each_is_answered_when_the_engine_has_it() {
    on_shard(async {
        let place = Place::new(Limits::default());
        let mut client = with_inbox(&place, 10).await;
        let first = place.engine.hold(Operation::Acknowledge);
        client.command(&[ack(1, 1)]);
        place
            .until("the first write", || place.engine.to_come() == 0)
            .await;
        let acks: Vec<_> = (2..=10).map(|offset| ack(offset, offset)).collect();
        client.command(&acks);
        settle(&place).await;
        assert_eq!(replies(&client.read()), [0; 0], "answered too early");
        first.release();
        let frames = place.read_until(&mut client, |frames| replies(frames).len() == 10);
        let mut answered = replies(&frames.await);
        answered.sort_unstable();
        assert_eq!(answered, (1..=10).collect::<Vec<_>>());
        assert_eq!(written(&place), [1, 10]);
        // Late and doubled: answered, and nothing is written.
        client.command(&[ack(11, 4), ack(12, 10)]);
        reply(&place, &mut client, 12).await;
        assert_eq!(written(&place), [1, 10]);
    })
    .await;
}

#[tokio::test]
async fn a_session_that_ends_writes_its_last_ack() {
    on_shard(async {
        let place = Place::new(Limits::default());
        let mut client = with_inbox(&place, 5).await;
        let first = place.engine.hold(Operation::Acknowledge);
        client.command(&[json!({"ack": {"channel": "inbox:1", "offset": 2}})]);
        place
            .until("the first write", || place.engine.to_come() == 0)
            .await;
        client.command(&[json!({"ack": {"channel": "inbox:1", "offset": 4}})]);
        settle(&place).await;
        drop(client);
        place.until("its end", || place.slots_in_use() == 0).await;
        assert!(place.local.borrow().markings.are_written());
        first.release();
        place
            .until("the last write", || {
                !place.local.borrow().markings.are_written()
            })
            .await;
        assert_eq!(mark(&place).await.offset, 4);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_away_is_told_of_and_asked_again() {
    on_shard(async {
        let place = Place::new(Limits::default());
        let mut client = with_inbox(&place, 5).await;
        drop(place.engine.hold(Operation::Acknowledge));
        client.command(&[ack(1, 3)]);
        let refused = reply(&place, &mut client, 1).await;
        assert_eq!(refused["error"]["code"], "unavailable", "{refused}");
        assert_eq!(refused["error"]["retryable"], true, "{refused}");
        // Nobody repeats it, and it is written all the same when the engine is back.
        tokio::time::sleep(Duration::from_secs(1)).await; // waits: moves the paused clock
        settle(&place).await;
        assert_eq!(mark(&place).await.offset, 3);
        assert_eq!(written(&place), [3, 3]);

        // One that is away for good is given up when the session is long gone, and that is counted.
        let held: Vec<_> = (0..5)
            .map(|_| place.engine.hold(Operation::Acknowledge))
            .collect();
        drop(held);
        client.command(&[json!({"ack": {"channel": "inbox:1", "offset": 5}})]);
        settle(&place).await;
        drop(client);
        settle(&place).await;
        tokio::time::sleep(Duration::from_mins(1)).await; // waits: moves the paused clock
        settle(&place).await;
        assert!(!place.local.borrow().markings.are_written());
        assert_eq!(place.shared.metrics.acks_given_up.get(), 1);
        assert_eq!(mark(&place).await.offset, 3);
    })
    .await;
}

#[tokio::test]
async fn senseless_acks_are_refused_by_name() {
    on_shard(async {
        let place = Place::new(Limits::default());
        let mut client = with_inbox(&place, 3).await;
        client.command(&[
            ack(1, 4),
            json!({"id": 2, "ack": {"channel": "inbox:2", "offset": 0}}),
            json!({"id": 3, "ack": {"channel": "close:1", "offset": 0}}),
            json!({"id": 4, "ack": {"channel": "nowhere:1", "offset": 0}}),
        ]);
        let frames = place
            .read_until(&mut client, |frames| replies(frames).len() == 4)
            .await;
        for (id, code, word) in [
            (1, "bad_request", "never sent"),
            (2, "not_subscribed", "inbox:2"),
            (3, "bad_request", "not durable"),
            (4, "unknown_namespace", "nowhere"),
        ] {
            let mut replies = frames.iter().map(|frame| &frame["reply"]);
            let reply = replies.find(|reply| reply["id"] == id).unwrap();
            assert_eq!(reply["error"]["code"], code, "{reply}");
            let message = reply["error"]["message"].as_str().unwrap();
            assert!(message.contains(word), "{message}");
        }
        // Without a user there is nobody to keep it for; what comes is heard all the same.
        let mut opening = Place::opening(Transport::WebSocket, Wire::WebSocketJson, &["inbox:1"]);
        let mut identity = (*opening.identity).clone();
        identity.user = None;
        opening.identity = identity.into();
        let mut anonymous = place.adopt(opening);
        let frames = place
            .read_until(&mut anonymous, |frames| frames.len() > 1)
            .await;
        assert!(frames[1]["subscribed"]["policy"]["durable"].is_null());
        anonymous.command(&[ack(1, 1)]);
        let refused = reply(&place, &mut anonymous, 1).await;
        assert_eq!(refused["error"]["code"], "bad_request");
        let message = refused["error"]["message"].as_str().unwrap();
        assert!(message.contains("anonymous"), "{message}");
        assert_eq!(written(&place), [0; 0]);
    })
    .await;
}

#[tokio::test]
async fn where_history_does_not_reach_a_gap_is_told_until_it_is_acknowledged() {
    on_shard(async {
        let place = Place::new(Limits::default());
        let client = with_inbox(&place, 2).await;
        drop(client);
        settle(&place).await;
        publish(&place, 40).await;
        let (client, frames) = place.websocket(&["inbox:1"]).await;
        assert_eq!(frames[1]["subscribed"]["recovered"], false, "{frames:?}");
        let gap = &frames[2]["gap"];
        assert_eq!(gap["reason"], "trimmed", "{frames:?}");
        let told = gap["position"]["offset"].as_u64().unwrap();
        // It may have been said to a connection that was dead already: so it is said again.
        drop(client);
        settle(&place).await;
        let (mut client, frames) = place.websocket(&["inbox:1"]).await;
        assert_eq!(frames[2]["gap"], *gap, "{frames:?}");
        client.command(&[ack(1, told)]);
        reply(&place, &mut client, 1).await;
        drop(client);
        settle(&place).await;
        publish(&place, 1).await;
        let (mut client, mut frames) = place.websocket(&["inbox:1"]).await;
        if frames.len() < 3 {
            frames.extend(place.read_until(&mut client, |f| !f.is_empty()).await);
        }
        assert_eq!(frames[1]["subscribed"]["recovered"], true, "{frames:?}");
        assert_eq!(offsets(&frames, "inbox:1"), [told + 1]);
    })
    .await;
}

#[tokio::test]
async fn a_client_that_names_its_start_has_its_way() {
    on_shard(async {
        let place = Place::new(Limits::default());
        let mut client = with_inbox(&place, 6).await;
        client.command(&[ack(1, 2)]);
        reply(&place, &mut client, 1).await;
        let stands = mark(&place).await;
        let start = json!({"epoch": stands.epoch.to_string(), "offset": 4});
        client.command(&[
            json!({"id": 2, "unsubscribe": {"channel": "inbox:1"}}),
            json!({"id": 3, "subscribe": {"channel": "inbox:1", "position": start}}),
        ]);
        let frames = place
            .read_until(&mut client, |frames| offsets(frames, "inbox:1").len() == 2)
            .await;
        assert_eq!(offsets(&frames, "inbox:1"), [5, 6]);
        assert_eq!(mark(&place).await.offset, 2, "subscribing is no ack");
        client.command(&[ack(4, 5)]);
        reply(&place, &mut client, 4).await;
        assert_eq!(mark(&place).await.offset, 5, "acks go on from there");
    })
    .await;
}

#[tokio::test]
async fn a_mark_in_use_does_not_expire() {
    on_shard(async {
        let place = Place::new(Limits::default());
        let client = with_inbox(&place, 3).await;
        let ttl = place
            .shared
            .policy(&channel("inbox:1"))
            .unwrap()
            .durable_ttl;
        let half = ttl.as_millis() as u64 / 2;
        let now = place.shared.clock.now_ms();
        place.local.borrow_mut().refresh_marks(0, now + half - 1000);
        settle(&place).await;
        assert_eq!(place.engine.marked.load(Ordering::Relaxed), 1, "too early");
        place.local.borrow_mut().refresh_marks(0, now + half + 1000);
        settle(&place).await;
        // Where it was: nothing has been acknowledged.
        assert_eq!(place.engine.marked.load(Ordering::Relaxed), 2);
        assert_eq!(mark(&place).await.offset, 0);
        drop(client);
    })
    .await;
}

#[tokio::test]
async fn a_long_catching_up_is_acknowledged_as_it_goes() {
    on_shard(async {
        let place = Place::new(Limits {
            history_page_max: 2,
            ..Limits::default()
        });
        drop(with_inbox(&place, 6).await);
        settle(&place).await;
        let first = place.engine.hold(Operation::Read);
        let second = place.engine.hold(Operation::Read);
        let mut client = place.adopt(Place::opening(
            Transport::WebSocket,
            Wire::WebSocketJson,
            &["inbox:1"],
        ));
        place
            .until("the first read", || place.engine.to_come() == 1)
            .await;
        first.release();
        let two = |frames: &[Value]| offsets(frames, "inbox:1").len() == 2;
        place.read_until(&mut client, two).await;
        client.command(&[ack(1, 2)]);
        reply(&place, &mut client, 1).await;
        client.command(&[ack(2, 3)]);
        let refused = reply(&place, &mut client, 2).await;
        assert_eq!(refused["error"]["code"], "bad_request", "{refused}");
        // The connection breaks off before the rest: what comes next begins after what was acknowledged.
        drop((client, second));
        settle(&place).await;
        assert_eq!(mark(&place).await.offset, 2);
    })
    .await;
}
