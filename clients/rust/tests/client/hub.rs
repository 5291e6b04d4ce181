//! What an application asks, at a hub: publications, members, history, the server's hand.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use switchboard_client::{
    ClientEvent, Error, Event, GapReason, HistoryQuery, Payload, Position, Start, State,
    SubscriptionState,
};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::stage::{PATIENCE, channel, next, number, numbered, shared, subscribe, unique};

fn code<T: std::fmt::Debug>(outcome: Result<T, Error>) -> String {
    outcome.expect_err("it has to fail").code().to_owned()
}

#[tokio::test]
async fn a_publish_waits_for_the_connection_and_comes_back_with_its_sender() -> Result<()> {
    let stage = shared()?;
    let client = stage.client("ann").await?;
    let name = channel("chat");
    let text = Payload::json(&json!({ "text": "hé" }))?;
    let first = client.publish_once(&name, "once", text.clone()).await?;
    assert_eq!(first.offset, 1);
    assert_eq!(
        client.publish_once(&name, "once", text.clone()).await?,
        first
    );
    let start = Start {
        rewind: Some(1),
        ..Start::default()
    };
    let mut subscription = subscribe(&client, &name, start).await?;
    client.publish_once(&name, "bytes", vec![0, 255]).await?;
    let Event::Message(message) = next(&mut subscription).await? else {
        panic!("no message");
    };
    assert_eq!((message.data, message.id.as_deref()), (text, Some("once")));
    let user = message.from.context("a client published it")?.user;
    assert_eq!(user.as_deref(), Some("ann"));
    let Event::Message(message) = next(&mut subscription).await? else {
        panic!("no message");
    };
    assert_eq!(
        (message.data, message.offset),
        (Payload::binary(vec![0, 255]), Some(2))
    );
    Ok(())
}

#[derive(Debug, PartialEq, Deserialize)]
struct Said {
    text: String,
}

#[tokio::test]
async fn a_typed_subscription_reads_messages_and_tells_of_those_that_it_cannot() -> Result<()> {
    let stage = shared()?;
    let client = stage.client("ann").await?;
    let subscription = subscribe(&client, &channel("chat"), Start::default()).await?;
    let mut chat = subscription.typed::<Said>();
    chat.subscription().publish(&7).await?;
    chat.subscription()
        .publish(&json!({ "text": "hello" }))
        .await?;
    let begun = chat.next().await.context("it stands")??;
    assert!(matches!(begun, Event::Subscribed(_)), "{begun:?}");
    assert_eq!(code(chat.next().await.context("the number")?), "unreadable");
    let Event::Message(message) = chat.next().await.context("the text")?? else {
        panic!("no message");
    };
    assert_eq!(
        (message.data.text.as_str(), message.offset),
        ("hello", Some(2))
    );
    Ok(())
}

#[tokio::test]
async fn members_are_listed_and_come_and_go() -> Result<()> {
    let stage = shared()?;
    let room = channel("room");
    let grants = json!({ "subscribe": ["*"], "presence": ["*"], "info": { "name": "Ann" } });
    let token = stage
        .token(json!({ "user": "ann", "grants": grants }))
        .await?;
    let ann = switchboard_client::Client::builder(&stage.ports.proxy)
        .token(token)
        .build()?;
    let bob = stage.client("bob").await?;
    let mut mine = subscribe(&ann, &room, Start::default()).await?;
    let theirs = subscribe(&bob, &room, Start::default()).await?;
    let user_of = |event: &Event| match event {
        Event::Join(member) | Event::Leave(member) => member.user.clone().unwrap_or_default(),
        other => format!("{other:?}"),
    };
    let mut joined = next(&mut mine).await?;
    if user_of(&joined) == "ann" {
        joined = next(&mut mine).await?;
    }
    assert!(
        matches!(joined, Event::Join(_)) && user_of(&joined) == "bob",
        "{joined:?}"
    );
    let page = ann.presence(&room, None, None).await?;
    assert_eq!((page.members.len(), page.count, page.users), (2, 2, 2));
    let first = ann.presence(&room, Some(1), None).await?;
    let rest = ann
        .presence(&room, Some(1), first.next_page.as_deref())
        .await?;
    assert_eq!((first.members.len(), rest.members.len()), (1, 1));
    assert_ne!(first.members[0].user, rest.members[0].user);
    drop(theirs);
    let left = next(&mut mine).await?;
    assert!(
        matches!(left, Event::Leave(_)) && user_of(&left) == "bob",
        "{left:?}"
    );
    Ok(())
}

#[tokio::test]
async fn history_is_read_forwards_backwards_and_from_a_position() -> Result<()> {
    let stage = shared()?;
    let past = channel("chat");
    let told = stage.publish(&past, 0, 5).await?;
    let first: Position = serde_json::from_value(told["first"].clone())?;
    let client = stage.client("ann").await?;
    let query = |position: Option<&Position>, limit, reverse| HistoryQuery {
        position: position.cloned(),
        limit,
        reverse,
    };
    for (query, wanted) in [
        (query(None, Some(2), false), vec![0, 1]),
        (query(None, Some(2), true), vec![4, 3]),
        (query(Some(&first), None, false), vec![1, 2, 3, 4]),
        (query(None, Some(0), false), vec![]),
    ] {
        let page = client.history(&past, query.clone()).await?;
        let numbers: Vec<u64> = page
            .publications
            .iter()
            .map(number)
            .collect::<Result<_>>()?;
        assert_eq!((numbers, page.position.offset), (wanted, 5), "{query:?}");
    }
    let now = client.ping().await?;
    let apart = now
        .duration_since(SystemTime::now())
        .unwrap_or_else(|early| early.duration());
    assert!(apart < Duration::from_mins(1), "{apart:?}");
    Ok(())
}

#[tokio::test]
async fn errors_are_the_hubs_by_their_code() -> Result<()> {
    let stage = shared()?;
    let client = stage.client("ann").await?;
    assert_eq!(
        code(client.publish("nowhere:1", &1).await),
        "unknown_namespace"
    );
    let call = client.call("quote", Payload::json(&json!({ "symbol": "X" }))?);
    assert_eq!(code(call.await), "no_service");
    let long = "x".repeat(100_000);
    assert_eq!(
        code(client.publish("chat:1", &long).await),
        "payload_too_large"
    );
    assert_eq!(
        code(client.subscribe("chat:*", Start::default()).await),
        "bad_request"
    );
    assert_eq!(
        code(client.ack(&channel("inbox"), 3).await),
        "not_subscribed"
    );
    assert_eq!(client.state(), State::Connected);
    let name = channel("chat");
    let held = subscribe(&client, &name, Start::default()).await?;
    assert_eq!(
        code(client.subscribe(&name, Start::default()).await),
        "already_subscribed"
    );
    drop(held);
    drop(subscribe(&client, &name, Start::default()).await?);
    Ok(())
}

#[tokio::test]
async fn services_send_subscribe_and_unsubscribe_by_their_own_hand() -> Result<()> {
    let stage = shared()?;
    let user = unique("user");
    let (events, mut told) = mpsc::channel(100);
    let client = stage
        .builder(&user, &stage.ports.proxy)
        .await?
        .on_event(move |event| events.try_send(event).expect("there is room"))
        .build()?;
    assert_eq!(client.ready().await?.user.as_deref(), Some(user.as_str()));
    stage
        .post("/send", json!({ "user": user, "data": { "n": 1 } }))
        .await?;
    let name = format!("chat:{user}");
    stage
        .post("/subscribe", json!({ "user": user, "channel": name }))
        .await?;
    let mut direct = None;
    loop {
        let event = timeout(PATIENCE, told.recv())
            .await?
            .context("it goes on")?;
        match event {
            ClientEvent::Direct(message) => direct = Some(number(&message)?),
            ClientEvent::Found { channel } => {
                assert_eq!(channel, name);
                break;
            }
            _ => {}
        }
    }
    assert_eq!(direct, Some(1));
    let mut subscription = client.subscription(&name).await.context("it was found")?;
    assert!(
        client.subscription(&name).await.is_none(),
        "it has one reader"
    );
    stage.publish(&name, 0, 1).await?;
    numbered(&mut subscription, [0]).await?;
    let body = json!({ "user": user, "channel": name, "reason": "enough" });
    stage.post("/unsubscribe", body).await?;
    let end = next(&mut subscription).await?;
    let Event::Unsubscribed(Some(error)) = end else {
        panic!("{end:?}");
    };
    assert_eq!((error.code(), error.message()), ("closed", "enough"));
    assert_eq!(subscription.state(), SubscriptionState::Unsubscribed);
    assert_eq!(subscription.next().await, None);
    Ok(())
}

#[tokio::test]
async fn a_position_that_was_kept_begins_there_in_another_visit() -> Result<()> {
    let stage = shared()?;
    let kept = channel("chat");
    stage.publish(&kept, 0, 4).await?;
    let client = stage.client("ann").await?;
    let start = Start {
        rewind: Some(3),
        ..Start::default()
    };
    let mut subscription = subscribe(&client, &kept, start).await?;
    numbered(&mut subscription, [1]).await?;
    let position = subscription.position().context("it stands")?;
    assert_eq!(
        position.offset, 2,
        "what was received and not read does not count"
    );
    let from = |position: Position| Start {
        position: Some(position),
        ..Start::default()
    };
    let other = stage.client("bob").await?;
    let mut again = subscribe(&other, &kept, from(position)).await?;
    let Some(Event::Subscribed(begun)) = again.next().await else {
        panic!("it stands first");
    };
    assert!(begun.recovered);
    numbered(&mut again, [2, 3]).await?;
    let void = Position {
        epoch: "1".to_owned(),
        offset: 2,
    };
    let third = stage.client("cid").await?;
    let mut lost = subscribe(&third, &kept, from(void)).await?;
    let event = next(&mut lost).await?;
    let Event::Gap(gap) = event else {
        panic!("{event:?}");
    };
    assert_eq!(gap.reason, GapReason::EpochChanged);
    Ok(())
}

#[tokio::test]
async fn a_slow_reader_loses_the_oldest_and_is_told_of_it() -> Result<()> {
    let stage = shared()?;
    let name = channel("chat");
    let client = stage
        .builder("ann", &stage.ports.proxy)
        .await?
        .inbox_max(5)
        .build()?;
    let mut subscription = subscribe(&client, &name, Start::default()).await?;
    stage.publish(&name, 0, 20).await?;
    // Its answer comes after the messages.
    client.ping().await?;
    let event = subscription.next().await;
    let Some(Event::Gap(gap)) = event else {
        panic!("{event:?}");
    };
    assert_eq!(
        (gap.position.offset, gap.reason),
        (15, GapReason::SlowConsumer)
    );
    numbered(&mut subscription, 15..20).await?;
    Ok(())
}

#[tokio::test]
async fn a_token_is_asked_for_with_the_reason() -> Result<()> {
    let stage = Arc::new(shared()?);
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let (tokens, seen) = (Arc::clone(&stage), Arc::clone(&reasons));
    let client = switchboard_client::Client::builder(&stage.ports.proxy)
        .tokens(move |reason| {
            let stage = Arc::clone(&tokens);
            seen.lock().unwrap().push(format!("{reason:?}"));
            let ttl = if seen.lock().unwrap().len() == 1 {
                -10
            } else {
                3600
            };
            async move {
                let claims: Value = json!({ "user": "ann", "ttl_s": ttl });
                let token = stage.token(claims).await;
                token.map_err(|error| switchboard_client::TokenError::Denied(error.to_string()))
            }
        })
        .build()?;
    timeout(PATIENCE, client.ready()).await??;
    let reasons = reasons.lock().unwrap().clone();
    ensure!(reasons == ["Connect", "Refused"], "{reasons:?}");
    Ok(())
}
