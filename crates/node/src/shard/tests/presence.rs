//! Members and the subscriptions that they stand for agree, whatever order the engine's answers come in.

use serde_json::json;
use switchboard_core::{Close, CloseCode, Limits};
use switchboard_engine::Engine;

use super::client::session;
use super::engine::Operation;
use super::place::{Place, channel, on_shard};
use crate::sessions::Target;
use crate::shard::mail::{Control, Mail};

async fn members(place: &Place) -> u64 {
    let counts = place.engine.count_members(&[channel("room:1")]).await;
    counts.unwrap()[0].members
}

async fn settle(place: &Place) {
    for _ in 0..100 {
        tokio::task::yield_now().await;
        place.work();
    }
}

#[tokio::test]
async fn whoever_leaves_a_channel_and_enters_it_again_in_one_go_stays_a_member() {
    on_shard(async {
        let place = Place::new(Limits::default());
        let (mut client, _) = place.websocket(&["room:1"]).await;
        assert_eq!(members(&place).await, 1);
        client.command(&[
            json!({"id": 1, "unsubscribe": {"channel": "room:1"}}),
            json!({"id": 2, "subscribe": {"channel": "room:1"}}),
        ]);
        place
            .read_until(&mut client, |frames| {
                frames.iter().any(|frame| frame["reply"]["id"] == 2)
            })
            .await;
        settle(&place).await;
        assert_eq!(members(&place).await, 1);
        client.command(&[json!({"id": 3, "unsubscribe": {"channel": "room:1"}})]);
        place
            .read_until(&mut client, |frames| {
                frames.iter().any(|frame| frame["reply"]["id"] == 3)
            })
            .await;
        settle(&place).await;
        assert_eq!(members(&place).await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_join_that_fails_and_has_happened_leaves_no_member_behind() {
    on_shard(async {
        let place = Place::new(Limits::default());
        let (mut client, _) = place.websocket(&[]).await;
        drop(place.engine.hold(Operation::Join));
        client.command(&[json!({"id": 1, "subscribe": {"channel": "room:1"}})]);
        let frames = place
            .read_until(&mut client, |frames| {
                frames.iter().any(|frame| frame["reply"]["id"] == 1)
            })
            .await;
        assert!(
            frames
                .iter()
                .any(|f| f["reply"]["error"]["code"] == "unavailable"),
            "{frames:?}"
        );
        settle(&place).await;
        assert_eq!(members(&place).await, 0);
        assert_eq!(place.shared.metrics.subscriptions.get(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_join_that_is_answered_when_the_session_has_gone_leaves_no_member_behind() {
    on_shard(async {
        let place = Place::new(Limits::default());
        let held = place.engine.hold(Operation::Join);
        let wire = switchboard_protocol::wire::Wire::WebSocketJson;
        let transport = crate::opening::Transport::WebSocket;
        let mut client = place.adopt(Place::opening(transport, wire, &["room:1"]));
        place
            .until("the join", || place.engine.to_come() == 0)
            .await;
        let opened = place
            .read_until(&mut client, |frames| !frames.is_empty())
            .await;
        let session = session(&opened[0]);
        place
            .ask(|reply| {
                Mail::Control(Control::Disconnect {
                    target: Target::Session(session),
                    close: Close::new(CloseCode::DISCONNECTED, "enough"),
                    reply,
                })
            })
            .await;
        // What the end itself has said may have come before the join.
        settle(&place).await;
        let before = place.engine.left.lock().unwrap().len();
        held.release();
        place
            .until("a leave after the join", || {
                let left = place.engine.left.lock().unwrap();
                left[before..].contains(&session)
            })
            .await;
        assert_eq!(place.shared.metrics.subscriptions.get(), 0);
    })
    .await;
}
