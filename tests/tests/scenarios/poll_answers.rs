//! What is special about long poll: answers get lost, polls overtake each other, sessions linger between them.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use switchboard_tests::client::{Batch, Refused};
use switchboard_tests::{Hub, Transport};

const SHORT: Duration = Duration::ZERO;
const LONG: Duration = Duration::from_secs(20);

fn numbers(batch: &Batch) -> Vec<u64> {
    batch
        .frames
        .iter()
        .filter_map(|frame| frame.data()["n"].as_u64())
        .collect()
}

#[tokio::test]
async fn a_lost_answer_loses_nothing() -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    let mut client = hub.client(Transport::Poll, "alice", &["chat:1"]).await?;
    services.publish_numbers("chat:1", 0..5).await?;
    let poll = client.poll_mut();
    let lost = poll.once(LONG).await?;
    ensure!(!numbers(&lost).is_empty(), "{lost:?}");

    services.publish_numbers("chat:1", 5..8).await?;
    let mut again = poll.once(LONG).await?;
    while numbers(&again).len() < 8 {
        // Still with the cursor of before the loss.
        again = poll.once(LONG).await?;
    }
    ensure!(numbers(&again) == (0..8).collect::<Vec<_>>(), "{again:?}");
    poll.take(again);
    client.numbers("chat:1", 0..8).await?;

    let empty = client.poll_mut().once(SHORT).await?;
    ensure!(
        empty.frames.is_empty(),
        "what was acknowledged came again: {empty:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_poll_waits_for_its_time_and_a_short_one_does_not() -> Result<()> {
    let hub = Hub::start().await?;
    let mut client = hub.client(Transport::Poll, "alice", &["chat:1"]).await?;
    let poll = client.poll_mut();
    let start = Instant::now();
    ensure!(
        poll.once(SHORT).await?.frames.is_empty(),
        "nothing was published"
    );
    ensure!(
        start.elapsed() < Duration::from_secs(3),
        "a short poll took {:?}",
        start.elapsed()
    );
    let start = Instant::now();
    ensure!(
        poll.once(Duration::from_millis(700))
            .await?
            .frames
            .is_empty(),
        "nothing was published"
    );
    let took = start.elapsed();
    ensure!(
        took >= Duration::from_millis(650) && took < Duration::from_secs(5),
        "a poll of 0.7 s took {took:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_second_poll_supersedes_the_first() -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    let mut client = hub.client(Transport::Poll, "alice", &["chat:1"]).await?;
    let poll = client.poll_mut();
    let (mut first, mut second) = (Box::pin(poll.once(LONG)), Box::pin(poll.once(LONG)));
    // Whichever the hub saw first returns as soon as it has seen the other.
    let (superseded, standing) = tokio::select! {
        batch = &mut first => (batch?, second),
        batch = &mut second => (batch?, first),
    };
    ensure!(superseded.frames.is_empty(), "{superseded:?}");
    services.publish_numbers("chat:1", 0..1).await?;
    let batch = standing.await?;
    ensure!(numbers(&batch) == [0], "{batch:?}");
    Ok(())
}

#[tokio::test]
async fn an_unknown_key_with_a_cursor_opens_a_session_that_goes_on() -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    let mut client = hub.client(Transport::Poll, "alice", &["chat:1"]).await?;
    services.publish_numbers("chat:1", 0..3).await?;
    client.numbers("chat:1", 0..3).await?;
    services.publish_numbers("chat:1", 3..6).await?;
    let first_session = client.session().to_owned();
    let poll = client.poll_mut();
    let known = std::mem::replace(&mut poll.key, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned());
    let batch = poll.once(LONG).await?;
    hub.secrets.add(&batch.key);
    ensure!(
        batch.key != known && batch.frames[0].kind == "open",
        "{batch:?}"
    );
    ensure!(
        batch.frames[0].body["session"] != first_session.as_str(),
        "{batch:?}"
    );
    poll.take(batch);
    client.numbers("chat:1", 3..6).await
}

#[tokio::test]
async fn a_session_without_polls_is_gone_after_its_linger() -> Result<()> {
    let hub = Hub::start_with(|config| {
        config.set("limits.poll_linger_s", "0.4");
    })
    .await?;
    let mut client = hub.client(Transport::Poll, "alice", &["chat:1"]).await?;
    hub.await_metric("sessions", |count| count < 0.5).await?;
    let (status, body) = client
        .send_raw(json!({"id": 1, "ping": {}}).to_string())
        .await?
        .unwrap_or_default();
    ensure!(
        status == 410,
        "a command to a session that is gone: {status} {body}"
    );
    Ok(())
}

#[tokio::test]
async fn an_unknown_key_without_a_cursor_is_gone() -> Result<()> {
    let hub = Hub::start().await?;
    let mut client = hub.client(Transport::Poll, "alice", &["chat:1"]).await?;
    let poll = client.poll_mut();
    poll.key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned();
    poll.cursor = None;
    let refused = Refused::of(poll.once(SHORT).await)?;
    ensure!(
        refused.status == 410 && refused.code == "not_found",
        "{refused:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_forged_cursor_is_refused() -> Result<()> {
    let hub = Hub::start().await?;
    for transport in Transport::ALL {
        let opening = hub
            .opening("alice")
            .channel("chat:1")
            .cursor("bm90LWEtY3Vyc29y");
        let refused = Refused::of(hub.open(transport, opening).await)?;
        ensure!(
            refused.status == 400 && refused.code == "bad_request",
            "{transport:?}: {refused:?}"
        );
    }
    Ok(())
}
