//! Subscriptions that fail late, or of which there is another by then.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use switchboard_core::Limits;
use switchboard_engine::{Read, ReadFrom};
use switchboard_protocol::wire::Wire;

use super::client::{offsets, session};
use super::engine::Operation;
use super::place::{Place, channel, on_shard};
use crate::opening::Transport;
use crate::sessions::Target;
use crate::shard::mail::{Control, Mail};

fn subscribe(
    target: &Target,
    name: &str,
) -> impl FnOnce(tokio::sync::oneshot::Sender<u64>) -> Mail {
    let (target, channel) = (target.clone(), channel(name));
    |reply| {
        Mail::Control(Control::Subscribe {
            target,
            channel,
            reply,
        })
    }
}

fn unsubscribe(
    target: &Target,
    name: &str,
) -> impl FnOnce(tokio::sync::oneshot::Sender<u64>) -> Mail {
    let (target, channel) = (target.clone(), channel(name));
    |reply| {
        Mail::Control(Control::Unsubscribe {
            target,
            channel,
            reason: "enough".into(),
            resubscribe: false,
            reply,
        })
    }
}

fn has(kind: &str) -> impl Fn(&[Value]) -> bool {
    move |frames| frames.iter().any(|frame| !frame[kind].is_null())
}

/// The position before a channel's first publication.
async fn oldest(place: &Place, name: &str) -> Value {
    let read = Read {
        from: ReadFrom::Newest,
        limit: 0,
    };
    // Past what holds reads up.
    let history = place.engine.engine().read(&channel(name), read).await;
    json!({"epoch": history.unwrap().top.epoch.to_string(), "offset": 0})
}

#[tokio::test]
async fn an_attempt_that_fails_late_leaves_a_later_one_alone() {
    on_shard(async {
        let place = Place::new(Limits::default());
        let (mut client, opened) = place.websocket(&[]).await;
        let target = Target::Session(session(&opened[0]));
        let first = place.engine.hold(Operation::Read);
        place.ask(subscribe(&target, "close:1")).await;
        place
            .until("the first read", || place.engine.to_come() == 0)
            .await;
        place.ask(unsubscribe(&target, "close:1")).await;
        place.ask(subscribe(&target, "close:1")).await;
        place.read_until(&mut client, has("subscribed")).await;

        drop(first);
        place.publish("close:1", "1".into()).await;
        let frames = place
            .read_until(&mut client, |frames| !frames.is_empty())
            .await;
        assert_eq!(offsets(&frames, "close:1"), [1], "{frames:?}");
        assert_eq!(place.shared.metrics.subscriptions.get(), 1);
    })
    .await;
}

/// The first attempt's history must not be taken for the second's: they may have begun elsewhere.
#[tokio::test]
async fn an_attempt_that_is_answered_late_says_nothing_in_the_name_of_a_later_one() {
    on_shard(async {
        let place = Place::new(Limits::default());
        let (mut client, opened) = place.websocket(&[]).await;
        let target = Target::Session(session(&opened[0]));
        let first = place.engine.hold(Operation::Read);
        place.ask(subscribe(&target, "close:1")).await;
        place
            .until("the first read", || place.engine.to_come() == 0)
            .await;
        place.ask(unsubscribe(&target, "close:1")).await;
        let second = place.engine.hold(Operation::Read);
        place.ask(subscribe(&target, "close:1")).await;
        place
            .until("the second read", || place.engine.to_come() == 0)
            .await;
        first.release();
        for _ in 0..100 {
            tokio::task::yield_now().await;
            place.work();
        }
        let frames = client.read();
        assert!(!has("subscribed")(&frames), "{frames:?}");
        second.release();
        place.read_until(&mut client, has("subscribed")).await;
        place.publish("close:1", "1".into()).await;
        let frames = place
            .read_until(&mut client, |frames| !frames.is_empty())
            .await;
        assert_eq!(offsets(&frames, "close:1"), [1], "{frames:?}");
    })
    .await;
}

#[tokio::test]
async fn a_recovery_that_fails_midway_is_answered_once_and_then_taken_back() {
    on_shard(async {
        let place = Place::new(Limits {
            history_page_max: 2,
            ..Limits::default()
        });
        for n in 0..5 {
            place.publish("close:1", n.to_string()).await;
        }
        let (mut client, _) = place.websocket(&[]).await;
        // The first page comes, the second does not.
        let first = place.engine.hold(Operation::Read);
        let second = place.engine.hold(Operation::Read);
        let start = oldest(&place, "close:1").await;
        client.command(&[json!({"id": 1, "subscribe": {"channel": "close:1", "position": start}})]);
        place
            .until("the first read", || place.engine.to_come() == 1)
            .await;
        first.release();
        drop(second);
        let frames = place.read_until(&mut client, has("unsubscribed")).await;
        let replies: Vec<_> = frames.iter().filter(|f| !f["reply"].is_null()).collect();
        assert_eq!(replies.len(), 1, "{replies:?}");
        assert!(replies[0]["reply"]["subscribe"].is_object(), "{replies:?}");
        let end = frames
            .iter()
            .find(|f| !f["unsubscribed"].is_null())
            .unwrap();
        assert_eq!(end["unsubscribed"]["resubscribe"], true, "{end}");
        assert_eq!(place.shared.metrics.subscriptions.get(), 0);
    })
    .await;
}

/// A client's input is not read while its first channels catch up, so its pongs prove nothing.
#[tokio::test]
async fn a_long_catching_up_at_the_opening_is_no_silence() {
    on_shard(async {
        let place = Place::new(Limits {
            ping_interval: Duration::from_millis(150),
            pong_timeout: Duration::from_millis(150),
            ..Limits::default()
        });
        let held = place.engine.hold(Operation::Read);
        let opening = Place::opening(Transport::WebSocket, Wire::WebSocketJson, &["close:1"]);
        let mut client = place.adopt(opening);
        let start = Instant::now();
        place
            .until("some pings", || {
                place.local.borrow_mut().tick();
                start.elapsed() > Duration::from_secs(1)
            })
            .await;
        held.release();
        let frames = place
            .read_until(&mut client, |frames| frames.len() > 1)
            .await;
        assert!(has("subscribed")(&frames), "{frames:?}");
    })
    .await;
}

#[tokio::test]
async fn who_is_told_of_a_subscription_hears_at_once_what_no_history_has() {
    on_shard(async {
        let place = Place::new(Limits {
            history_page_max: 2,
            ..Limits::default()
        });
        for n in 0..4 {
            place.publish("room:1", n.to_string()).await;
        }
        let (mut client, _) = place.websocket(&[]).await;
        let start = oldest(&place, "room:1").await;
        let first = place.engine.hold(Operation::Read);
        let second = place.engine.hold(Operation::Read);
        client.command(&[json!({"id": 1, "subscribe": {"channel": "room:1", "position": start}})]);
        place
            .until("the first read", || place.engine.to_come() == 1)
            .await;
        first.release();
        place
            .until("the second read", || place.engine.to_come() == 0)
            .await;
        // Its own join may have come before; this one is another's.
        let (_other, opened) = place.websocket(&["room:1"]).await;
        let joined = session(&opened[0]).to_string();
        let frames = place
            .read_until(&mut client, |frames| {
                frames
                    .iter()
                    .any(|f| f["join"]["member"]["session"] == joined.as_str())
            })
            .await;
        assert!(!frames[0]["reply"]["subscribe"].is_null(), "{frames:?}");
        second.release();
        place
            .read_until(&mut client, |frames| offsets(frames, "room:1") == [3, 4])
            .await;
    })
    .await;
}
