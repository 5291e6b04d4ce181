//! Marks of an engine that has lost all its data: made anew where they were, so that whoever was there is told of the loss until it is
//! acknowledged, and not taken for new.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use switchboard_core::{Epoch, Limits, Position};
use switchboard_engine::{Engine, MarkOf, MemoryConfig, MemoryEngine};
use switchboard_protocol::wire::Wire;

use super::client::Client;
use super::engine::{Held, Operation};
use super::place::{Place, channel, on_shard};
use crate::opening::{Opening, Transport};
use crate::shard::mail::Mail;

const INBOX: &str = "inbox:1";

fn opening(user: &str) -> Opening {
    let mut opening = Place::opening(Transport::WebSocket, Wire::WebSocketJson, &[INBOX]);
    let mut identity = (*opening.identity).clone();
    identity.user = Some(user.into());
    opening.identity = identity.into();
    opening
}

async fn publish(place: &Place, count: u64) {
    for n in 0..count {
        place.publish(INBOX, n.to_string()).await;
    }
}

/// Where a user's mark is, without a word to who counts.
async fn mark(place: &Place, user: &str) -> Position {
    let of = MarkOf {
        channel: channel(INBOX),
        user: user.into(),
        ttl: Duration::from_hours(1),
    };
    let mark = place.engine.engine().mark(&of, None).await.unwrap();
    assert!(!mark.made, "{user} has no mark");
    mark.position
}

/// Users who have had five publications, and acknowledged so many each.
async fn with_users<const N: usize>(place: &Place, users: [(&str, u64); N]) -> [Client; N] {
    let mut clients = users.map(|(user, _)| place.adopt(opening(user)));
    for client in &mut clients {
        place.read_until(client, |frames| frames.len() == 2).await;
    }
    publish(place, 5).await;
    for (client, (_, offset)) in clients.iter_mut().zip(users) {
        client.command(&[json!({"id": 1, "ack": {"channel": INBOX, "offset": offset}})]);
        let answered = |frames: &[Value]| frames.iter().any(|f| f["reply"]["ack"] == json!({}));
        place.read_until(client, answered).await;
    }
    clients
}

/// Lets a client go and has its user come back: it has its mark, and its first read waits.
async fn comes_back(place: &Place, client: Client, user: &str) -> (Client, Held) {
    let others = place.slots_in_use() - 1;
    drop(client);
    place
        .until("an end", || place.slots_in_use() == others)
        .await;
    let read = place.engine.hold(Operation::Read);
    let client = place.adopt(opening(user));
    let is_held = || place.engine.to_come() == 0;
    place.until("the first read", is_held).await;
    (client, read)
}

/// The engine loses everything, is told again what the node follows, and stands in another epoch.
async fn lose_data(place: &Place) {
    let sink = Arc::clone(&place.shared.dispatch);
    place
        .engine
        .lose_data(MemoryEngine::new(sink, MemoryConfig::default()));
    place.engine.follow(&channel(INBOX)).await.unwrap();
}

async fn is_told(place: &Place, client: &mut Client) {
    let of_epoch = |frame: &Value| frame["gap"]["reason"] == "epoch_changed";
    place
        .read_until(client, |frames| frames.iter().any(of_epoch))
        .await;
}

/// Waits until all that was to be told to the engine has been.
async fn are_made(place: &Place) {
    let is_quiet = || !place.local.borrow().markings.are_written();
    place.until("the marks", is_quiet).await;
}

fn at(epoch: Epoch, offset: u64) -> Position {
    Position { epoch, offset }
}

#[tokio::test]
async fn marks_of_who_is_live_and_of_who_catches_up_are_made_where_they_were() {
    on_shard(async {
        let place = Place::new(Limits::default());
        let [mut alice, bob] = with_users(&place, [("alice", 2), ("bob", 3)]).await;
        let epoch = mark(&place, "alice").await.epoch;
        let (mut bob, read) = comes_back(&place, bob, "bob").await;
        lose_data(&place).await;
        place.send(Mail::Interrupted(None));
        is_told(&place, &mut alice).await;
        are_made(&place).await;
        assert_eq!(mark(&place, "alice").await, at(epoch, 2));
        assert_eq!(mark(&place, "bob").await, at(epoch, 3));

        // Neither acknowledges, so each is told again, however much comes meanwhile.
        read.release();
        is_told(&place, &mut bob).await;
        drop((alice, bob));
        place.until("both ends", || place.slots_in_use() == 0).await;
        publish(&place, 3).await;
        for user in ["alice", "bob"] {
            let mut client = place.adopt(opening(user));
            is_told(&place, &mut client).await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_mark_of_who_catches_up_alone_is_made_where_it_was() {
    on_shard(async {
        let place = Place::new(Limits::default());
        let [bob] = with_users(&place, [("bob", 3)]).await;
        let epoch = mark(&place, "bob").await.epoch;
        let (mut bob, read) = comes_back(&place, bob, "bob").await;
        lose_data(&place).await;
        // Nobody is live, so nothing is refilled: the subscription itself finds another epoch.
        place.send(Mail::Interrupted(None));
        read.release();
        is_told(&place, &mut bob).await;
        are_made(&place).await;
        assert_eq!(mark(&place, "bob").await, at(epoch, 3));
    })
    .await;
}
