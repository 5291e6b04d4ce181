//! A node that drains: the client is elsewhere before it is gone.

use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use switchboard_client::{ClientEvent, Event, Start, State};
use tokio::time::timeout;

use crate::conformance::TURN;
use crate::stage::{PATIENCE, channel, numbered, subscribe, with_redis};

#[tokio::test]
async fn a_drain_moves_the_client_without_a_break() -> Result<()> {
    let _turn = TURN.lock().await;
    let stage = with_redis()?;
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let client = stage
        .builder("ann", &stage.ports.proxy)
        .await?
        .on_event(move |event| seen.lock().expect("nobody panics with it").push(event))
        .build()?;
    let name = channel("chat");
    let mut subscription = subscribe(&client, &name, Start::default()).await?;
    stage.publish(&name, 0, 2).await?;
    numbered(&mut subscription, 0..2).await?;
    stage.post("/hub/drain", json!({ "wait": true })).await?;
    stage.publish(&name, 2, 2).await?;
    let begun = timeout(PATIENCE, subscription.next()).await?;
    ensure!(
        matches!(begun, Some(Event::Subscribed(_))),
        "{begun:?} came"
    );
    numbered(&mut subscription, 2..4)
        .await
        .context("nothing is missed")?;
    let events = events.lock().expect("nobody panics with it");
    let moved = |event: &&ClientEvent| matches!(event, ClientEvent::Opened { moved: true, .. });
    assert_eq!(events.iter().filter(moved).count(), 1, "{events:?}");
    let states = events.iter().filter_map(|event| match event {
        ClientEvent::StateChanged { state, .. } => Some(*state),
        _ => None,
    });
    assert_eq!(
        states.collect::<Vec<_>>(),
        [State::Connecting, State::Connected]
    );
    Ok(())
}
