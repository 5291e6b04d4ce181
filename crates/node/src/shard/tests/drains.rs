//! Who comes while a node drains.

use switchboard_core::Limits;

use super::place::{Place, on_shard};
use crate::shard::mail::Mail;

#[tokio::test]
async fn whoever_was_let_in_before_a_drain_and_comes_after_it_is_sent_away_too() {
    on_shard(async {
        let place = Place::new(Limits::default());
        place.send(Mail::Drain { window_ms: 200 });
        place.work();
        let (mut late, frames) = place.websocket(&["close:1"]).await;
        assert!(
            frames.iter().any(|frame| !frame["draining"].is_null()),
            "{frames:?}"
        );
        let mut rest = Vec::new();
        place
            .until("the close", || {
                place.local.borrow_mut().tick();
                rest.extend(late.read());
                late.ended
            })
            .await;
        let close = rest.iter().find(|frame| !frame["close"].is_null());
        assert_eq!(close.unwrap()["close"]["code"], 1001);
    })
    .await;
}
