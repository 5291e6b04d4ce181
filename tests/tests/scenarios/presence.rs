//! Who is there: joins and leaves, each seen once, and a grace in which a member may come back unseen.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use switchboard_tests::config::Config;
use switchboard_tests::tokens::Claims;
use switchboard_tests::{Client, Frame, Hub, Opening, Transport, every_transport};

every_transport!(
    a_join_and_a_leave_are_seen_once,
    a_member_that_comes_back_within_the_grace_is_not_missed,
    members_are_listed_by_pages_and_counted,
    the_same_user_twice_is_two_members_and_one_user,
);

fn quick(config: &mut Config) {
    config.set("limits.poll_linger_s", "0.4");
}

/// Joins and leaves until a message comes, as `(kind, user)`.
async fn changes_before_message(client: &mut Client) -> Result<Vec<(String, String)>> {
    let mut changes = Vec::new();
    loop {
        let frame: Frame = client.next().await?;
        match frame.kind.as_str() {
            "message" => return Ok(changes),
            "join" | "leave" => {
                changes.push((
                    frame.kind.clone(),
                    frame.body["member"]["user"]
                        .as_str()
                        .unwrap_or_default()
                        .to_owned(),
                ));
            }
            _ => {}
        }
    }
}

async fn members(client: &mut Client, channel: &str) -> Result<Vec<String>> {
    let result = client
        .command("presence", json!({"channel": channel}))
        .await?;
    let members = result["members"].as_array().cloned().unwrap_or_default();
    let mut users: Vec<String> = members
        .iter()
        .map(|member| member["user"].as_str().unwrap_or_default().to_owned())
        .collect();
    users.sort();
    Ok(users)
}

async fn a_join_and_a_leave_are_seen_once(transport: Transport) -> Result<()> {
    let hub = Hub::start_with(quick).await?;
    let mut watcher = hub
        .client(Transport::WebSocket, "watcher", &["room:1"])
        .await?;
    ensure!(
        watcher.subscribed["room:1"]["policy"]["join_leave"] == true,
        "{:?}",
        watcher.subscribed
    );
    let info = json!({"name": "Alice", "face": 3});
    let grants = json!({"subscribe": ["*"], "presence": ["*"], "info": info});
    let token = hub.minter.mint(&Claims::of("alice").grants(grants));
    let alice = hub
        .open(transport, Opening::new(token).channel("room:1"))
        .await?;

    let join = loop {
        let join = watcher.await_kind("join").await?;
        if join.body["member"]["user"] != "watcher" {
            break join;
        }
    };
    ensure!(
        join.channel() == "room:1" && join.body["member"]["user"] == "alice",
        "{join:?}"
    );
    ensure!(
        join.body["member"]["session"] == alice.session() && join.body["member"]["info"] == info,
        "{join:?}"
    );
    ensure!(
        members(&mut watcher, "room:1").await? == ["alice", "watcher"],
        "alice is there"
    );

    let session = alice.session().to_owned();
    alice.leave().await?;
    let leave = watcher.expect("leave").await?;
    ensure!(
        leave.body["member"]["session"] == session.as_str() && leave.body["member"]["info"] == info,
        "{leave:?}"
    );
    ensure!(
        members(&mut watcher, "room:1").await? == ["watcher"],
        "alice is gone"
    );

    hub.services()
        .await?
        .publish("room:1", &json!("end"))
        .await?;
    ensure!(
        changes_before_message(&mut watcher).await?.is_empty(),
        "the leave came twice"
    );
    Ok(())
}

async fn a_member_that_comes_back_within_the_grace_is_not_missed(
    transport: Transport,
) -> Result<()> {
    let hub = Hub::start_with(|config| {
        quick(config);
        config.set("namespaces.room.presence_grace_s", "2.5");
    })
    .await?;
    let services = hub.services().await?;
    let mut watcher = hub
        .client(Transport::WebSocket, "watcher", &["room:1"])
        .await?;
    let alice = hub.client(transport, "alice", &["room:1"]).await?;
    services.publish("room:1", &json!("begin")).await?;
    let first = changes_before_message(&mut watcher).await?;
    ensure!(
        first.contains(&("join".to_owned(), "alice".to_owned())),
        "{first:?}"
    );

    let place = alice.drop_abruptly();
    hub.await_metric("sessions", |count| count < 1.5).await?;
    ensure!(
        members(&mut watcher, "room:1").await? == ["alice", "watcher"],
        "within the grace she is there"
    );
    let mut alice = place.resume(&hub, transport).await?;
    let member = watcher
        .command("presence", json!({"channel": "room:1"}))
        .await?;
    ensure!(member["count"] == 2, "she is there once: {member}");
    // Longer than the grace from the drop: had the old session's leave been pending, it would have come by now.
    let longer = Duration::from_millis(2700);
    let (frame, still_here) = tokio::join!(watcher.next_within(longer), alice.end(longer));
    ensure!(
        still_here.is_err(),
        "the session that came back ended: {still_here:?}"
    );
    ensure!(matches!(frame, Ok(None)), "coming back was seen: {frame:?}");
    drop(alice.drop_abruptly());
    hub.await_metric("sessions", |count| count < 1.5).await?;
    let leave = watcher.expect("leave").await?;
    ensure!(leave.body["member"]["user"] == "alice", "{leave:?}");
    services.publish("room:1", &json!("end")).await?;
    ensure!(
        changes_before_message(&mut watcher).await?.is_empty(),
        "one leave was to be seen"
    );
    Ok(())
}

async fn members_are_listed_by_pages_and_counted(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let mut clients = Vec::new();
    for n in 0..7 {
        clients.push(
            hub.client(transport, &format!("user-{n}"), &["room:1"])
                .await?,
        );
    }
    let asker = &mut clients[0];
    let counts = asker
        .command("presence", json!({"channel": "room:1", "limit": 0}))
        .await?;
    ensure!(
        counts["count"] == 7
            && counts["users"] == 7
            && counts["members"].as_array().is_none_or(Vec::is_empty),
        "{counts}"
    );
    let mut users = Vec::new();
    let mut fields = json!({"channel": "room:1", "limit": 3});
    loop {
        let page = asker.command("presence", fields.clone()).await?;
        let members = page["members"].as_array().cloned().unwrap_or_default();
        ensure!(members.len() <= 3 && page["count"] == 7, "{page}");
        users.extend(
            members
                .iter()
                .filter_map(|member| member["user"].as_str().map(str::to_owned)),
        );
        match &page["next_page"] {
            Value::String(next) => fields["page"] = json!(next),
            _ => break,
        }
    }
    users.sort();
    ensure!(
        users == (0..7).map(|n| format!("user-{n}")).collect::<Vec<_>>(),
        "{users:?}"
    );
    Ok(())
}

async fn the_same_user_twice_is_two_members_and_one_user(transport: Transport) -> Result<()> {
    let hub = Hub::start_with(quick).await?;
    let mut first = hub.client(transport, "alice", &["room:1"]).await?;
    let second = hub
        .client(Transport::WebSocket, "alice", &["room:1"])
        .await?;
    let counts = first
        .command("presence", json!({"channel": "room:1"}))
        .await?;
    ensure!(counts["count"] == 2 && counts["users"] == 1, "{counts}");
    second.leave().await?;
    first.await_kind("leave").await?;
    let counts = first
        .command("presence", json!({"channel": "room:1"}))
        .await?;
    ensure!(counts["count"] == 1 && counts["users"] == 1, "{counts}");
    Ok(())
}

#[tokio::test]
async fn members_are_shown_only_to_those_who_may_see_them() -> Result<()> {
    let hub = Hub::start().await?;
    let grants = json!({"subscribe": ["room:*"], "presence": ["room:2"]});
    let token = hub.minter.mint(&Claims::of("alice").grants(grants));
    let mut client = hub
        .open(Transport::WebSocket, Opening::new(token).channel("room:1"))
        .await?;
    client
        .refused(
            "presence",
            json!({"channel": "room:1"}),
            "permission_denied",
        )
        .await?;
    client
        .command("presence", json!({"channel": "room:2"}))
        .await?;
    Ok(())
}
