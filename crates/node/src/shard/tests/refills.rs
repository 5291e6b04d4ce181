//! What the shard did not hear of, and what it did not hear of while it was looking for that.

use switchboard_core::Limits;

use super::client::offsets;
use super::engine::Operation;
use super::place::{Place, on_shard};
use crate::shard::mail::Mail;

#[tokio::test]
async fn what_is_lost_while_a_refill_reads_is_read_as_well() {
    on_shard(async {
        let place = Place::new(Limits::default());
        let (mut client, _) = place.websocket(&["close:1"]).await;
        place.publish("close:1", "1".into()).await;
        place
            .read_until(&mut client, |frames| !offsets(frames, "close:1").is_empty())
            .await;

        let answer = place.engine.hold(Operation::ReadAnswer);
        place.publish_unheard("close:1", "2".into()).await;
        place.send(Mail::Interrupted(None));
        place
            .until("the refill's read", || place.engine.to_come() == 0)
            .await;
        // It has been read up to here.
        place.publish_unheard("close:1", "3".into()).await;
        place.send(Mail::Interrupted(None));
        place.work();
        answer.release();
        let enough = |frames: &[serde_json::Value]| offsets(frames, "close:1").len() >= 2;
        let frames = place.read_until(&mut client, enough).await;
        assert_eq!(offsets(&frames, "close:1"), [2, 3], "{frames:?}");
    })
    .await;
}
