//! Who is there, over several nodes: seen everywhere, joined and left once, and gone with their node.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use switchboard_proto::api::v1 as api;
use switchboard_tests::cluster::Cluster;
use switchboard_tests::waiting::{SOON, until};
use switchboard_tests::{Client, Hub, Transport, every_transport};

every_transport!(
    members_are_seen_on_all_nodes,
    members_of_a_killed_node_leave_once,
);

async fn counts(node: &Hub) -> Result<(u64, u64)> {
    let services = node.services().await?;
    let request = api::CountMembersRequest {
        channels: vec!["room:1".into()],
    };
    let answer = services.presence().count_members(request).await?;
    let answer = answer.into_inner();
    let counts = answer.counts.first().context("no count")?;
    Ok((counts.members, counts.users))
}

/// Joins and leaves of others until `last` has done the last of them.
async fn changes_until(client: &mut Client, last: (&str, &str)) -> Result<Vec<(String, String)>> {
    let mut changes = Vec::new();
    loop {
        let frame = client
            .next_within(SOON)
            .await?
            .with_context(|| format!("{last:?} never came, only {changes:?}"))?;
        if !["join", "leave"].contains(&frame.kind.as_str()) {
            continue;
        }
        let user = frame.body["member"]["user"].as_str().unwrap_or_default();
        changes.push((frame.kind.clone(), user.to_owned()));
        if (frame.kind.as_str(), user) == last {
            return Ok(changes);
        }
    }
}

async fn members_are_seen_on_all_nodes(transport: Transport) -> Result<()> {
    let cluster = Cluster::start_with(2, |config| {
        config.set("limits.poll_linger_s", "0.4");
    })
    .await?;
    let mut watcher = cluster[1]
        .client(Transport::WebSocket, "watcher", &["room:1"])
        .await?;
    let alice = cluster[0].client(transport, "alice", &["room:1"]).await?;
    let changes = changes_until(&mut watcher, ("join", "alice")).await?;
    let of_alice = changes.iter().filter(|(_, user)| user == "alice").count();
    ensure!(of_alice == 1, "{changes:?}");
    for node in &cluster.nodes {
        ensure!(counts(node).await? == (2, 2), "{:?}", counts(node).await?);
    }
    alice.leave().await?;
    let changes = changes_until(&mut watcher, ("leave", "alice")).await?;
    ensure!(changes.len() == 1, "{changes:?}");
    for node in &cluster.nodes {
        ensure!(counts(node).await? == (1, 1), "{:?}", counts(node).await?);
    }
    Ok(())
}

async fn members_of_a_killed_node_leave_once(transport: Transport) -> Result<()> {
    const MEMBERS: usize = 20;
    let cluster = Cluster::start(3).await?;
    let mut watcher = cluster[1]
        .client(Transport::WebSocket, "watcher", &["room:1"])
        .await?;
    let mut members = Vec::new();
    for n in 0..MEMBERS {
        let user = format!("member-{n}");
        members.push(cluster[0].client(transport, &user, &["room:1"]).await?);
    }
    let stays = cluster[2].client(transport, "stays", &["room:1"]).await?;
    changes_until(&mut watcher, ("join", "stays")).await?;
    cluster[0].signal("KILL")?;

    let mut left = Vec::new();
    while left.len() < MEMBERS {
        let leave = watcher.await_kind("leave").await?;
        let user = leave.body["member"]["user"].as_str().unwrap_or_default();
        ensure!(user.starts_with("member-"), "{user} has left");
        ensure!(!left.contains(&user.to_owned()), "{user} has left twice");
        left.push(user.to_owned());
    }
    until("the counts of who is left", SOON, || async {
        let seen = (counts(&cluster[1]).await?, counts(&cluster[2]).await?);
        Ok((seen == ((2, 2), (2, 2))).then_some(()))
    })
    .await?;
    // Whoever else noticed announces nothing more: what is published now comes next.
    let services = cluster[2].services().await?;
    services.publish("room:1", &json!({"n": 0})).await?;
    let next = watcher.next_within(Duration::from_secs(5)).await?;
    let next = next.context("nothing came")?;
    ensure!(next.kind == "message", "{next:?}");
    drop((stays, members));
    Ok(())
}
