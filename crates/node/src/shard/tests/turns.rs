//! Who comes first when there is more to send than a slice.

use switchboard_core::Limits;

use super::client::offsets;
use super::place::{Place, on_shard};

#[tokio::test]
async fn a_small_channel_does_not_wait_for_a_large_one_that_came_in_the_same_batch() {
    on_shard(async {
        let place = Place::new(Limits {
            fan_out_slice_max: 2,
            ..Limits::default()
        });
        let mut crowd = Vec::new();
        for _ in 0..8 {
            crowd.push(place.websocket(&["drop:large"]).await.0);
        }
        let (mut one, _) = place.websocket(&["drop:small"]).await;
        place.publish("drop:large", "1".to_owned()).await;
        place.publish("drop:small", "1".to_owned()).await;
        assert!(place.work_a_slice(), "the large one takes several slices");
        assert_eq!(offsets(&one.read(), "drop:small"), [1]);
        place.work();
        for client in &mut crowd {
            assert_eq!(offsets(&client.read(), "drop:large"), [1]);
        }
    })
    .await;
}
