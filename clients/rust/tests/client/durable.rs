//! Durable channels: what is not acknowledged comes again.

use anyhow::{Context, Result};
use serde_json::json;
use switchboard_client::{Event, Start, State};

use crate::stage::{channel, numbered, quick, shared, subscribe, unique};

#[tokio::test]
async fn what_is_not_acknowledged_comes_again_and_what_is_does_not() -> Result<()> {
    let stage = shared()?;
    let (inbox, user) = (channel("inbox"), unique("user"));
    let client = stage.client(&user).await?;
    let mut first = subscribe(&client, &inbox, Start::default()).await?;
    let Some(Event::Subscribed(begun)) = first.next().await else {
        panic!("it stands first");
    };
    assert!(begun.policy.durable);
    client.close().await;
    stage.publish(&inbox, 0, 3).await?;

    let client = stage.client(&user).await?;
    let mut second = subscribe(&client, &inbox, Start::default()).await?;
    numbered(&mut second, 0..3).await?;
    second.ack(2).await?;
    assert_eq!(second.ack(9).await.unwrap_err().code(), "bad_request");
    client.close().await;

    let client = stage.client(&user).await?;
    let mut third = subscribe(&client, &inbox, Start::default()).await?;
    let offset = numbered(&mut third, [2]).await?;
    third.ack(offset).await?;
    client.close().await;

    let client = stage.client(&user).await?;
    let mut fourth = subscribe(&client, &inbox, Start::default()).await?;
    stage.publish(&inbox, 3, 1).await?;
    numbered(&mut fourth, [3])
        .await
        .context("only what is new")?;
    Ok(())
}

#[tokio::test]
async fn an_ack_while_there_is_no_connection_is_kept_in_the_next_session() -> Result<()> {
    let stage = shared()?;
    let (inbox, user) = (channel("inbox"), unique("user"));
    let (proxy, url) = stage.proxy(json!({})).await?;
    let client = stage.builder(&user, &url).await?.timing(quick()).build()?;
    let mut subscription = subscribe(&client, &inbox, Start::default()).await?;
    stage.publish(&inbox, 0, 2).await?;
    let last = numbered(&mut subscription, 0..2).await?;
    stage.post(&proxy, json!({ "answer": "close" })).await?;
    stage.post(&format!("{proxy}/cut"), json!({})).await?;
    let mut ack = std::pin::pin!(subscription.ack(last));
    let mut goes_on = true;
    while goes_on {
        tokio::select! {
            kept = &mut ack => panic!("{kept:?}, and there is no hub"),
            // A turn for the client's task.
            () = tokio::task::yield_now() => goes_on = client.state() != State::Connecting,
        }
    }
    stage.post(&proxy, json!({ "answer": "pass" })).await?;
    ack.await?;
    let other = stage.client(&user).await?;
    let mut rest = subscribe(&other, &inbox, Start::default()).await?;
    stage.publish(&inbox, 2, 1).await?;
    numbered(&mut rest, [2]).await?;
    Ok(())
}
