//! Poll sessions between two polls: closed, drained, recovering.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use switchboard_core::cursor::Cursor;
use switchboard_core::{Close, CloseCode, Limits};
use switchboard_protocol::wire::Wire;
use tokio::sync::oneshot;

use super::client::{offsets, session};
use super::place::{Place, on_shard};
use crate::key::Key;
use crate::opening::Transport;
use crate::sessions::Target;
use crate::shard::mail::{Control, Mail};
use crate::shard::poll::{PollBatch, PollRefused};

/// A poll session, and how far its client has got.
struct Poller {
    key: Key,
    cursor: Option<Cursor>,
}

impl Poller {
    async fn open(place: &Place, channels: &[&str]) -> Self {
        let opening = Place::opening(Transport::Poll, Wire::Poll, channels);
        let admission = place.admit();
        let key = place
            .ask(|reply| Mail::OpenPoll {
                opening: Box::new(opening),
                admission,
                reply,
            })
            .await;
        Self {
            key: Key::parse(&key).unwrap(),
            cursor: None,
        }
    }

    fn mail(
        &self,
        wait: Duration,
    ) -> impl FnOnce(oneshot::Sender<Result<PollBatch, PollRefused>>) -> Mail {
        let (key, cursor) = (self.key, self.cursor.clone());
        move |reply| Mail::Poll {
            key,
            cursor,
            wait_ms: wait.as_millis() as u64,
            reply,
        }
    }

    fn take(&mut self, batch: &PollBatch) -> Vec<Value> {
        let body: Value = serde_json::from_slice(&batch.body).unwrap();
        if let Some(cursor) = body["cursor"].as_str() {
            self.cursor = Some(switchboard_protocol::cursor::decode(cursor, 8192).unwrap());
        }
        body["frames"].as_array().unwrap().clone()
    }

    async fn poll(&mut self, place: &Place) -> Result<Vec<Value>, PollRefused> {
        let batch = place.ask(self.mail(Duration::ZERO)).await?;
        Ok(self.take(&batch))
    }

    async fn post(&self, place: &Place, command: Value) -> Value {
        let (key, body) = (self.key, Bytes::from(command.to_string()));
        let replies = place.ask(|reply| Mail::Commands { key, body, reply }).await;
        serde_json::from_slice(&replies.unwrap()).unwrap()
    }
}

async fn disconnect(place: &Place, frames: &[Value]) {
    place
        .ask(|reply| {
            Mail::Control(Control::Disconnect {
                target: Target::Session(session(&frames[0])),
                close: Close::new(CloseCode::GOING_AWAY, "away"),
                reply,
            })
        })
        .await;
}

#[tokio::test]
async fn a_session_closed_between_two_polls_holds_no_place_and_the_next_poll_takes_the_close() {
    on_shard(async {
        let place = Place::new(Limits::default());
        let mut poller = Poller::open(&place, &["close:1"]).await;
        let opened = poller.poll(&place).await.unwrap();
        place.publish("close:1", "1".into()).await;
        place.work();
        assert_eq!(place.shared.admissions.sessions(), 1);
        disconnect(&place, &opened).await;
        assert_eq!(place.shared.admissions.sessions(), 0, "it holds its place");

        // An answer that nobody takes is not the last.
        let (reply, lost) = oneshot::channel();
        drop(lost);
        place.send(poller.mail(Duration::ZERO)(reply));
        place.work();
        let frames = poller.poll(&place).await.unwrap();
        assert_eq!(offsets(&frames, "close:1"), [1], "{frames:?}");
        assert_eq!(frames.last().unwrap()["close"]["code"], 1001);
        let cursor = poller.cursor.clone().unwrap();
        assert_eq!(
            cursor.positions[0].1.offset, 1,
            "where it stood when it was closed"
        );
        assert_eq!(poller.poll(&place).await, Err(PollRefused::Gone));
        assert_eq!((place.slots_in_use(), place.outbox_bytes()), (0, 0));
        assert_eq!(place.local.borrow().placeless, 0);
    })
    .await;
}

#[tokio::test]
async fn a_closed_session_that_owes_much_keeps_its_place() {
    on_shard(async {
        let place = Place::new(Limits::default());
        let mut poller = Poller::open(&place, &["close:1"]).await;
        let opened = poller.poll(&place).await.unwrap();
        for _ in 0..8 {
            place
                .publish("close:1", format!("\"{}\"", "x".repeat(1000)))
                .await;
        }
        place.work();
        disconnect(&place, &opened).await;
        assert_eq!(place.shared.admissions.sessions(), 1);
        let frames = poller.poll(&place).await.unwrap();
        assert_eq!(offsets(&frames, "close:1").len(), 8);
        assert_eq!(place.shared.admissions.sessions(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_poll_that_waits_when_the_node_stops_is_told() {
    on_shard(async {
        let place = Place::new(Limits::default());
        let mut poller = Poller::open(&place, &["close:1"]).await;
        poller.poll(&place).await.unwrap();
        let (reply, answer) = oneshot::channel();
        place.send(poller.mail(Duration::from_secs(30))(reply));
        place.work();
        place.send(Mail::Stop);
        place.work();
        let frames = poller.take(&answer.await.unwrap().unwrap());
        assert_eq!(frames.last().unwrap()["close"]["code"], 1001, "{frames:?}");
        assert_eq!(place.slots_in_use(), 0);
    })
    .await;
}

/// The client reads only when its POST has been answered.
#[tokio::test]
async fn a_post_that_subscribes_does_not_wait_for_what_polls_are_to_take() {
    on_shard(async {
        let place = Place::new(Limits {
            outbox_bytes_max: 16 * 1024,
            ..Limits::default()
        });
        for _ in 0..20 {
            place
                .publish("close:1", format!("\"{}\"", "x".repeat(1500)))
                .await;
        }
        place.work();
        let mut poller = Poller::open(&place, &[]).await;
        poller.poll(&place).await.unwrap();
        let reply = poller
            .post(
                &place,
                json!({"id": 1, "subscribe": {"channel": "close:1", "rewind": 20}}),
            )
            .await;
        assert!(reply["reply"]["subscribe"].is_object(), "{reply}");
        let mut frames = Vec::new();
        while offsets(&frames, "close:1").len() < 20 {
            let polled = poller.poll(&place).await.unwrap();
            let more = !polled.is_empty();
            frames.extend(polled);
            assert!(more || place.outbox_bytes() == 0);
        }
        assert_eq!(offsets(&frames, "close:1"), (1..=20).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn a_channel_that_lost_something_may_be_left_and_forgotten() {
    on_shard(async {
        let place = Place::new(Limits {
            outbox_bytes_max: 16 * 1024,
            ..Limits::default()
        });
        let mut poller = Poller::open(&place, &["drop:1"]).await;
        poller.poll(&place).await.unwrap();
        for _ in 0..30 {
            place
                .publish("drop:1", format!("\"{}\"", "x".repeat(1500)))
                .await;
        }
        place.work();
        poller
            .post(
                &place,
                json!({"id": 1, "unsubscribe": {"channel": "drop:1"}}),
            )
            .await;
        let far_ms = place.shared.clock.now_ms() + 60_000;
        place.local.borrow_mut().sweep_unused(far_ms);
        let frames = poller.poll(&place).await.unwrap();
        super::client::check_gaps(&frames, "drop:1", 30);
        assert!(!frames[0]["gap"].is_null(), "{}", frames[0]);
    })
    .await;
}
