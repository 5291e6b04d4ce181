//! The control API at a hub.

use std::pin::{Pin, pin};
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::{Stream, StreamExt as _};
use serde_json::json;
use switchboard_client::service::{Change, Item, Service};
use switchboard_client::{Client, Error, Event, Payload, Start};
use tokio::time::timeout;

use crate::stage::{PATIENCE, Stage, channel, next, shared, subscribe, unique};

fn connect(stage: &Stage) -> Result<Service> {
    Ok(Service::connect(&stage.grpc(), &stage.ports.api_key)?)
}

#[tokio::test]
async fn what_a_service_publishes_arrives_and_once() -> Result<()> {
    let stage = shared()?;
    let hub = connect(&stage)?;
    let name = channel("chat");
    let client = stage.client("ann").await?;
    let mut subscription = subscribe(&client, &name, Start::default()).await?;
    let item = Item {
        id: Some("once".to_owned()),
        tags: [("kind".to_owned(), "note".to_owned())].into(),
        ..Item::json(&name, &json!({ "text": "hé" }))?
    };
    let first = hub.publish(item.clone()).await?;
    assert!(!first.duplicate);
    let again = hub.publish(item).await?;
    assert_eq!((again.duplicate, again.position), (true, first.position));
    hub.publish(Item::new(&name, vec![0, 255])).await?;
    let Event::Message(message) = next(&mut subscription).await? else {
        panic!("no message");
    };
    assert_eq!(message.data, Payload::json(&json!({ "text": "hé" }))?);
    assert_eq!((message.id.as_deref(), message.from), (Some("once"), None));
    assert_eq!(message.tags["kind"], "note");
    let Event::Message(message) = next(&mut subscription).await? else {
        panic!("no message");
    };
    assert_eq!(message.data, Payload::binary(vec![0, 255]));
    assert!(message.id.is_some(), "a random one");
    Ok(())
}

#[tokio::test]
async fn a_publish_may_depend_on_the_latest_position() -> Result<()> {
    let stage = shared()?;
    let hub = connect(&stage)?;
    let name = channel("chat");
    let first = hub.publish(Item::json(&name, &1)?).await?;
    let next = Item {
        expected_position: Some(first.position),
        ..Item::json(&name, &2)?
    };
    assert_eq!(hub.publish(next.clone()).await?.position.offset, 2);
    let late = hub.publish(Item { id: None, ..next }).await.unwrap_err();
    assert_eq!(late.code(), "position_unavailable");
    Ok(())
}

#[tokio::test]
async fn a_batch_tells_the_fate_of_each_item() -> Result<()> {
    let stage = shared()?;
    let hub = connect(&stage)?;
    let name = channel("chat");
    let channels = [name.as_str(), "nowhere:1", name.as_str()];
    let items = channels.map(|channel| Item::json(channel, &1));
    let items = items.into_iter().collect::<Result<Vec<_>, Error>>()?;
    let told = hub
        .publish_batch(items)
        .await?
        .into_iter()
        .map(|fate| match fate {
            Ok(published) => published.position.offset.to_string(),
            Err(error) => error.code().to_owned(),
        });
    assert_eq!(told.collect::<Vec<_>>(), ["1", "unknown_namespace", "2"]);
    Ok(())
}

#[tokio::test]
async fn failures_are_the_hubs_by_their_code_and_end_at_the_deadline() -> Result<()> {
    let stage = shared()?;
    let hub = connect(&stage)?;
    let refused = hub.publish(Item::json("nowhere:1", &1)?).await.unwrap_err();
    assert_eq!(refused.code(), "unknown_namespace");
    let stranger = Service::connect(&stage.grpc(), "wrong")?;
    let refused = stranger.lookup_user("ann").await.unwrap_err();
    assert_eq!(refused.code(), "unauthenticated");
    // Port 9 takes no connections, so every attempt fails, and the last failure is told at the deadline.
    let nobody = Service::connect("http://127.0.0.1:9", "any")?;
    let nobody = nobody.with_timeout(Duration::from_millis(300));
    let failed = nobody.publish(Item::json("chat:1", &1)?).await.unwrap_err();
    assert_eq!(failed.code(), "unavailable");
    assert_eq!(
        Service::connect("", "any").unwrap_err().code(),
        "bad_request"
    );
    assert_eq!(
        Service::connect("http://hub", "\n").unwrap_err().code(),
        "bad_request"
    );
    Ok(())
}

async fn change<S>(watch: &mut Pin<&mut S>) -> Result<Change>
where
    S: Stream<Item = Result<Change, Error>>,
{
    let told = timeout(PATIENCE, watch.next())
        .await
        .context("no change came")?;
    Ok(told.context("the watch has ended")??)
}

#[tokio::test]
async fn presence_is_listed_counted_looked_up_watched_and_resumed() -> Result<()> {
    let stage = shared()?;
    let hub = connect(&stage)?;
    let (room, user) = (channel("room"), unique("user"));
    let mut watch = pin!(hub.watch(&room, None));
    let first = change(&mut watch).await?;
    assert!(
        matches!(&first, Change::Snapshot(members, _) if members.is_empty()),
        "{first:?}"
    );

    let grants = json!({ "subscribe": ["*"], "info": { "name": "Ann" } });
    let token = stage
        .token(json!({ "user": user, "grants": grants }))
        .await?;
    let make = || Client::builder(&stage.ports.proxy).token(&token).build();
    let ann = make()?;
    let _present = subscribe(&ann, &room, Start::default()).await?;
    let joined = change(&mut watch).await?;
    let Change::Join(member, _) = joined else {
        panic!("{joined:?}");
    };
    assert_eq!(member.user.as_deref(), Some(user.as_str()));
    assert_eq!(
        member.info.context("it has info")?.get(),
        r#"{"name":"Ann"}"#
    );

    let other = make()?;
    let _too = subscribe(&other, &room, Start::default()).await?;
    assert!(matches!(change(&mut watch).await?, Change::Join(..)));
    let members: Vec<_> = hub.all_members(&room, 1).collect().await;
    assert_eq!(members.len(), 2);
    for member in members {
        assert_eq!(member?.user.as_deref(), Some(user.as_str()));
    }
    let page = hub.members(&room, 1, None).await?;
    assert_eq!((page.members.len(), page.count, page.users), (1, 2, 1));
    let counts = hub.count_members(&[&room, &channel("room")]).await?;
    let counts: Vec<_> = counts
        .iter()
        .map(|count| (count.members, count.users))
        .collect();
    assert_eq!(counts, [(2, 1), (0, 0)]);
    let online = hub.lookup_user(&user).await?;
    assert!(online.online && online.sessions.len() == 2, "{online:?}");
    assert_eq!(online.sessions[0].channels, [room.as_str()]);

    other.close().await;
    let left = change(&mut watch).await?;
    assert!(matches!(left, Change::Leave(..)), "{left:?}");
    ann.close().await;
    // It resumes after the last change that it saw.
    let mut resumed = pin!(hub.watch(&room, Some(left.position().clone())));
    match change(&mut resumed).await? {
        Change::Leave(_, at) => assert_eq!(at.sequence, left.position().sequence + 1),
        Change::Snapshot(..) => {}
        join @ Change::Join(..) => panic!("{join:?}"),
    }
    Ok(())
}

#[tokio::test]
async fn a_watch_of_what_may_not_be_read_ends_with_the_reason() -> Result<()> {
    let stage = shared()?;
    let stranger = Service::connect(&stage.grpc(), "wrong")?;
    let mut watch = pin!(stranger.watch("room:1", None));
    let told = timeout(PATIENCE, watch.next())
        .await?
        .context("the reason")?;
    assert_eq!(told.unwrap_err().code(), "unauthenticated");
    assert!(watch.next().await.is_none());
    Ok(())
}
