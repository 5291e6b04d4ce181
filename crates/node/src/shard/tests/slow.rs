//! Slow readers whose socket blocks in the middle of what was joined or dealt out: the policies hold for that as well.

use serde_json::Value;
use switchboard_core::Limits;

use super::client::{Client, check_gaps, offsets, session};
use super::place::{Place, channel, on_shard};
use crate::sessions::Target;
use crate::shard::mail::{Control, Mail};

const PUBLICATIONS: u64 = 60;
const OUTBOX_BYTES_MAX: usize = 16 * 1024;

fn limits() -> Limits {
    Limits {
        outbox_bytes_max: OUTBOX_BYTES_MAX,
        ..Limits::default()
    }
}

/// Publishes to each channel in turn, many times what an outbox holds, and has it come to the shard in one batch.
async fn flood(place: &Place, channels: &[&str]) {
    for n in 0..PUBLICATIONS {
        for name in channels {
            place
                .publish(name, format!("[{n},\"{}\"]", "x".repeat(1500)))
                .await;
        }
    }
    place.work();
}

/// Reads on until the socket has nothing more.
async fn read_the_rest(place: &Place, client: &mut Client) -> Vec<Value> {
    let mut frames = Vec::new();
    place
        .until("an empty outbox", || {
            frames.extend(client.read());
            place.outbox_bytes() == 0
        })
        .await;
    frames.extend(client.read());
    frames
}

#[tokio::test]
async fn one_channels_run_is_bounded_and_drops_the_oldest() {
    on_shard(async {
        let place = Place::new(limits());
        let (mut slow, _) = place.websocket(&["drop:1"]).await;
        flood(&place, &["drop:1"]).await;
        assert!(
            place.outbox_bytes() <= OUTBOX_BYTES_MAX,
            "{}",
            place.outbox_bytes()
        );
        let frames = read_the_rest(&place, &mut slow).await;
        let came = check_gaps(&frames, "drop:1", PUBLICATIONS);
        assert!(came < PUBLICATIONS && place.drops() == PUBLICATIONS - came);
    })
    .await;
}

#[tokio::test]
async fn one_channels_run_keeps_the_latest() {
    on_shard(async {
        let place = Place::new(limits());
        let (mut slow, _) = place.websocket(&["keep:1"]).await;
        flood(&place, &["keep:1"]).await;
        assert!(
            place.outbox_bytes() <= OUTBOX_BYTES_MAX,
            "{}",
            place.outbox_bytes()
        );
        let frames = read_the_rest(&place, &mut slow).await;
        let came = check_gaps(&frames, "keep:1", PUBLICATIONS);
        assert!(came < PUBLICATIONS && place.drops() == PUBLICATIONS - came);
    })
    .await;
}

#[tokio::test]
async fn several_channels_frames_are_bounded_and_dropped_by_their_policies() {
    on_shard(async {
        let place = Place::new(limits());
        let names = ["drop:1", "keep:1", "drop:2"];
        let (mut slow, _) = place.websocket(&names).await;
        flood(&place, &names).await;
        assert!(
            place.outbox_bytes() <= OUTBOX_BYTES_MAX,
            "{}",
            place.outbox_bytes()
        );
        let frames = read_the_rest(&place, &mut slow).await;
        let came = names.map(|name| check_gaps(&frames, name, PUBLICATIONS));
        assert_eq!(place.drops(), PUBLICATIONS * 3 - came.iter().sum::<u64>());
        assert!(came.iter().all(|&came| came < PUBLICATIONS), "{came:?}");
        // Having caught up it hears everything again, straight.
        place.publish("drop:1", "1".into()).await;
        let frames = place
            .read_until(&mut slow, |frames| !frames.is_empty())
            .await;
        assert_eq!(offsets(&frames, "drop:1"), [PUBLICATIONS + 1]);
    })
    .await;
}

#[tokio::test]
async fn whoever_is_closed_in_the_middle_of_a_batch_is_counted_in_full() {
    for names in [&["close:1"][..], &["close:1", "close:2"]] {
        on_shard(async {
            let place = Place::new(limits());
            let (mut slow, _) = place.websocket(names).await;
            flood(&place, names).await;
            let frames = place.read_to_end(&mut slow).await;
            let close = frames
                .iter()
                .find_map(|frame| frame["close"]["code"].as_u64());
            assert_eq!(close, Some(4000), "{:?}", frames.last());
            let came: usize = names.iter().map(|name| offsets(&frames, name).len()).sum();
            let owed = PUBLICATIONS * names.len() as u64;
            assert!(!frames.iter().any(|frame| frame["gap"].is_object()));
            assert_eq!(place.drops(), owed - came as u64, "{came} of {owed} came");
            assert_eq!(place.outbox_bytes(), 0);
        })
        .await;
    }
}

#[tokio::test]
async fn what_a_channel_lost_is_told_before_its_end_and_not_after_it() {
    on_shard(async {
        let place = Place::new(limits());
        let (mut slow, opened) = place.websocket(&["drop:1"]).await;
        flood(&place, &["drop:1"]).await;
        place
            .ask(|reply| {
                Mail::Control(Control::Unsubscribe {
                    target: Target::Session(session(&opened[0])),
                    channel: channel("drop:1"),
                    reason: "enough".into(),
                    resubscribe: false,
                    reply,
                })
            })
            .await;
        // Its place is another's by the time that the client reads.
        let far_ms = place.shared.clock.now_ms() + 60_000;
        place.local.borrow_mut().sweep_unused(far_ms);
        let (_other, _) = place.websocket(&["keep:1"]).await;
        let frames = read_the_rest(&place, &mut slow).await;
        check_gaps(&frames, "drop:1", PUBLICATIONS);
        let last = frames.last().unwrap();
        assert_eq!(last["unsubscribed"]["channel"], "drop:1", "{last}");
    })
    .await;
}

#[tokio::test]
async fn a_session_that_is_closed_with_losses_unannounced_does_not_take_the_shard_along() {
    on_shard(async {
        let place = Place::new(limits());
        let (mut slow, opened) = place.websocket(&["drop:1"]).await;
        for _ in 0..PUBLICATIONS {
            place
                .publish("drop:1", format!("\"{}\"", "x".repeat(1500)))
                .await;
            place.work();
        }
        place
            .ask(|reply| {
                Mail::Control(Control::Disconnect {
                    target: Target::Session(session(&opened[0])),
                    close: switchboard_core::Close::new(
                        switchboard_core::CloseCode::DISCONNECTED,
                        "enough",
                    ),
                    reply,
                })
            })
            .await;
        let far_ms = place.shared.clock.now_ms() + 60_000;
        place.local.borrow_mut().sweep_unused(far_ms);
        let frames = place.read_to_end(&mut slow).await;
        check_gaps(&frames, "drop:1", PUBLICATIONS);
        assert_eq!(frames.last().unwrap()["close"]["code"], 4200);
    })
    .await;
}

/// The cursor of an event that tells of a gap must not be past what the other channel still has behind it.
#[tokio::test]
async fn an_event_streams_gap_does_not_move_the_cursor_past_what_waits() {
    on_shard(async {
        let place = Place::new(limits());
        let names = ["drop:1", "drop:2"];
        let (mut slow, opened) = place.stream(&names).await;
        flood(&place, &names).await;
        let mut frames = opened;
        frames.extend(read_the_rest(&place, &mut slow).await);
        let mut at = [0; 2];
        let mut gaps = 0;
        for frame in &frames {
            for (name, at) in names.iter().zip(&mut at) {
                if frame["message"]["channel"] == *name {
                    *at = frame["message"]["offset"].as_u64().unwrap();
                }
                if frame["gap"]["channel"] == *name {
                    *at = frame["gap"]["position"]["offset"].as_u64().unwrap();
                    gaps += 1;
                }
            }
            let Some(cursor) = frame["id:"].as_str() else {
                continue;
            };
            let cursor = switchboard_protocol::cursor::decode(cursor, 8192).unwrap();
            for (name, at) in names.iter().zip(at) {
                let stands = cursor.position(&channel(name)).map_or(0, |p| p.offset);
                assert!(
                    stands <= at,
                    "{name} at {at}, and the cursor says {stands}: {frame}"
                );
            }
        }
        assert!(gaps > 0, "nothing was lost");
        check_gaps(&frames, "drop:1", PUBLICATIONS);
        check_gaps(&frames, "drop:2", PUBLICATIONS);
    })
    .await;
}

#[tokio::test]
async fn an_event_stream_of_one_channel_goes_on_from_a_gap() {
    on_shard(async {
        let place = Place::new(limits());
        let (mut slow, _) = place.stream(&["drop:1"]).await;
        flood(&place, &["drop:1"]).await;
        let frames = read_the_rest(&place, &mut slow).await;
        let gap = frames.iter().find(|frame| !frame["gap"].is_null()).unwrap();
        let cursor = gap["id:"].as_str().unwrap();
        let cursor = switchboard_protocol::cursor::decode(cursor, 8192).unwrap();
        let position = cursor.position(&channel("drop:1")).unwrap();
        assert_eq!(gap["gap"]["position"]["offset"], position.offset);
    })
    .await;
}
