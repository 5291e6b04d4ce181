//! Ends: deadlines, lost connections, and a client that is closed or dropped.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use switchboard_client::{Client, Event, Payload, Start, State, Timing};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use crate::stage::{PATIENCE, channel, numbered, quick, shared, subscribe};

#[tokio::test]
async fn a_command_ends_at_its_deadline_and_a_closed_client_says_so() -> Result<()> {
    let stage = shared()?;
    let (_, url) = stage.proxy(json!({ "answer": "close" })).await?;
    let client = stage.builder("ann", &url).await?.timing(quick()).build()?;
    let short = client.with_timeout(Duration::from_millis(20));
    let late = short.publish("chat:1", &1).await.unwrap_err();
    assert_eq!((late.code(), late.is_retryable()), ("timeout", true));
    assert_eq!(short.ping().await.unwrap_err().code(), "timeout");
    client.close().await;
    assert_eq!(client.state(), State::Disconnected);
    for error in [
        client.ping().await.map(drop).unwrap_err(),
        client.ready().await.map(drop).unwrap_err(),
        client
            .subscribe("chat:1", Start::default())
            .await
            .map(drop)
            .unwrap_err(),
    ] {
        assert_eq!(error.code(), "disconnected");
    }
    Ok(())
}

#[tokio::test]
async fn a_subscribe_that_nobody_awaits_any_more_is_undone() -> Result<()> {
    let stage = shared()?;
    let (proxy, url) = stage.proxy(json!({ "answer": "close" })).await?;
    let client = stage.builder("ann", &url).await?.timing(quick()).build()?;
    let name = channel("chat");
    let impatient = timeout(
        Duration::from_millis(20),
        client.subscribe(&name, Start::default()),
    );
    assert!(impatient.await.is_err());
    stage.post(&proxy, json!({ "answer": "pass" })).await?;
    // The channel is free again.
    let mut again = subscribe(&client, &name, Start::default()).await?;
    stage.publish(&name, 0, 1).await?;
    numbered(&mut again, [0]).await?;
    Ok(())
}

#[tokio::test]
async fn a_call_that_the_connection_does_not_outlive_is_unavailable_and_never_repeated()
-> Result<()> {
    let stage = shared()?;
    let (proxy, url) = stage.proxy(json!({})).await?;
    let client = stage.builder("ann", &url).await?.timing(quick()).build()?;
    client.ready().await?;
    // What is sent from now on is swallowed.
    stage.post(&format!("{proxy}/half-open"), json!({})).await?;
    let mut call = pin!(client.call("quote", Payload::json(&1)?));
    let asked = poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_pending())).await;
    assert!(asked);
    // What was asked before is sent before this is answered.
    assert!(client.subscription("chat:nobody").await.is_none());
    stage.post(&format!("{proxy}/cut"), json!({})).await?;
    assert_eq!(call.await.unwrap_err().code(), "unavailable");
    Ok(())
}

#[tokio::test]
async fn a_half_open_connection_is_noticed_and_what_it_swallowed_is_recovered() -> Result<()> {
    let stage = shared()?;
    let (proxy, url) = stage.proxy(json!({})).await?;
    let timing = Timing {
        heartbeat: Duration::from_secs(1),
        silence: Duration::from_millis(2500),
        ..quick()
    };
    let client = stage.builder("ann", &url).await?.timing(timing).build()?;
    let name = channel("chat");
    let mut subscription = subscribe(&client, &name, Start::default()).await?;
    stage.post(&format!("{proxy}/half-open"), json!({})).await?;
    stage.publish(&name, 0, 4).await?;
    numbered(&mut subscription, 0..4).await?;
    Ok(())
}

#[tokio::test]
async fn a_refused_token_without_another_stops_the_client() -> Result<()> {
    let stage = shared()?;
    let token = stage.token(json!({ "user": "late", "ttl_s": -5 })).await?;
    let client = Client::builder(&stage.ports.proxy).token(token).build()?;
    let error = timeout(PATIENCE, client.ready()).await?.unwrap_err();
    assert_eq!(
        (error.code(), client.state()),
        ("token_failed", State::Disconnected)
    );
    assert_eq!(client.ping().await.unwrap_err().code(), "token_failed");
    Ok(())
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_at_once() {
    let error = Client::builder("hub").build().unwrap_err();
    assert_eq!(error.code(), "bad_request");
}

/// Runs a client in a runtime in which no other task lives, and waits until none is left there.
fn alone<F>(steps: impl FnOnce(Client) -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
    };
    let (url, token) = runtime()?.block_on(async {
        let stage = shared()?;
        let token = stage.token(json!({ "user": "ann" })).await?;
        anyhow::Ok((stage.ports.proxy.clone(), token))
    })?;
    runtime()?.block_on(async {
        let tasks = || Handle::current().metrics().num_alive_tasks();
        let client = Client::builder(url).token(token).build()?;
        ensure!(tasks() == 1, "a client is one task");
        steps(client).await?;
        let deadline = Instant::now() + PATIENCE;
        while tasks() > 0 {
            ensure!(Instant::now() < deadline, "a task is left");
            tokio::task::yield_now().await;
        }
        Ok(())
    })
}

#[test]
fn a_client_that_is_closed_ends_its_subscriptions_and_leaves_no_task() -> Result<()> {
    alone(|client| async move {
        let mut subscription = subscribe(&client, &channel("chat"), Start::default()).await?;
        client.close().await;
        assert!(matches!(
            subscription.next().await,
            Some(Event::Subscribed(_))
        ));
        assert_eq!(subscription.next().await, Some(Event::Unsubscribed(None)));
        assert_eq!(subscription.next().await, None);
        client.close().await;
        Ok(())
    })
}

#[test]
fn a_client_whose_handles_are_dropped_leaves_no_task() -> Result<()> {
    alone(|client| async move {
        let mut subscription = subscribe(&client, &channel("live"), Start::default()).await?;
        drop(client);
        subscription.publish(&1).await?;
        let first = subscription.next().await;
        assert!(
            matches!(first, Some(Event::Subscribed(_))),
            "a subscription keeps it"
        );
        assert!(matches!(subscription.next().await, Some(Event::Message(_))));
        Ok(())
    })
}

#[tokio::test]
async fn a_client_that_is_closed_while_it_connects_ends_at_once() -> Result<()> {
    let stage = shared()?;
    for mode in ["hang", "stall", "pass"] {
        let (_, url) = stage.proxy(json!({ "ws": mode })).await?;
        let client = stage.builder("ann", &url).await?.build()?;
        let began = Instant::now();
        client.close().await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(3), "{mode}: {took:?}");
    }
    Ok(())
}
