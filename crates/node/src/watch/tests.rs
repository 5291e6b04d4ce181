//! How a stream notices that it has fallen behind, and what is left of one that nobody waits for.

use switchboard_core::Limits;
use switchboard_engine::{Interrupted, Sink};
use tokio::time::Instant;

use super::*;
use crate::shard::tests::engine::Operation;
use crate::shard::tests::place::{Place, channel};

async fn following(place: &Place) -> Following {
    let following = Following::start(&place.shared, channel("close:1")).await;
    following.unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test(start_paused = true)]
async fn an_interruption_is_noticed_at_once_and_once() {
    let place = Place::new(Limits::default());
    let mut following = following(&place).await;
    let start = Instant::now();
    let (next, ()) = tokio::join!(following.next(), async {
        place.shared.dispatch.interrupted(Interrupted::All);
    });
    assert!(next.is_none(), "{next:?}");
    following.reset();
    let (next, ()) = tokio::join!(following.next(), place.publish("close:1", "1".into()));
    assert!(matches!(next, Some(WatchEvent::Publication(_))), "{next:?}");
    assert_eq!(start.elapsed().as_millis(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_full_is_let_go_and_filled_anew() {
    let place = Place::new(Limits {
        watch_queue_max: 2,
        ..Limits::default()
    });
    let mut following = following(&place).await;
    for n in 0..3 {
        place.publish("close:1", n.to_string()).await;
    }
    assert!(following.next().await.is_none());
    following.reset();
    place.publish("close:1", "3".into()).await;
    let Some(WatchEvent::Publication(publication)) = following.next().await else {
        panic!("it is behind");
    };
    assert_eq!(publication.offset, 4);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_nobody_waits_for_any_more_leaves_no_trace() {
    let place = Place::new(Limits::default());
    let held = place.engine.hold(Operation::Follow);
    {
        let gives_up = Following::start(&place.shared, channel("close:1"));
        tokio::pin!(gives_up);
        let now = futures_util::poll!(&mut gives_up);
        assert!(now.is_pending());
    }
    drop(held);
    // The engine had not been asked to the end, so it is asked again.
    let mut following = following(&place).await;
    place.publish("close:1", "1".into()).await;
    assert!(following.next().await.is_some());
    drop(following);
    tokio::task::yield_now().await;
    while place.shared.dispatch.channels() > 0 {
        tokio::task::yield_now().await;
    }
}
