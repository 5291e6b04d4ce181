//! What users and addresses may do is counted on all nodes together.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use switchboard_proto::api::v1 as api;
use switchboard_tests::client::Refused;
use switchboard_tests::cluster::Cluster;
use switchboard_tests::services;
use switchboard_tests::waiting::{SOON, until};
use switchboard_tests::{Client, Hub, Transport, every_transport};

every_transport!(
    sessions_of_a_user_are_bounded_on_all_nodes,
    openings_of_an_address_have_a_rate_on_all_nodes,
    openings_of_a_user_have_a_rate_on_all_nodes,
    commands_of_a_user_have_a_rate_on_all_nodes,
);

/// What somebody is told who has too many sessions, and who opens them too often.
const TOO_MANY: &str = "as many sessions as allowed";
const TOO_OFTEN: &str = "sessions a minute";

/// How long what a killed node had counts, the lease of the tests' configuration and what noticing takes.
const LEASE: Duration = Duration::from_secs(15);

/// Checks that somebody is not let in, and told so and when to come again.
async fn is_refused(hub: &Hub, transport: Transport, user: &str, why: &str) -> Result<()> {
    let opened = hub.client(transport, user, &[]).await;
    if transport == Transport::Sse {
        // A browser's event stream cannot read an answer's status: it is told by a close.
        let error = opened.err().context("it was let in")?;
        let text = format!("{error:#}");
        ensure!(text.contains("1013") && text.contains(why), "{text}");
    } else {
        let refused = Refused::of(opened)?;
        ensure!(
            refused.status == 429 && refused.detail.contains(why),
            "{refused:?}"
        );
        ensure!(refused.retry_after.is_some(), "{refused:?}");
    }
    Ok(())
}

async fn sessions_of_a_user_are_bounded_on_all_nodes(transport: Transport) -> Result<()> {
    let mut cluster = Cluster::start_with(3, |config| {
        config.set("limits.sessions_per_user_max", "3");
    })
    .await?;
    let mut sessions = Vec::new();
    for node in &cluster.nodes {
        sessions.push(node.client(transport, "alice", &[]).await?);
    }
    for node in &cluster.nodes {
        is_refused(node, transport, "alice", TOO_MANY).await?;
        node.client(transport, "bob", &[]).await?;
    }
    // Who goes makes room, on every node.
    let request = api::DisconnectRequest {
        target: Some(services::session(sessions[1].session())),
        ..api::DisconnectRequest::default()
    };
    let services = cluster[0].services().await?;
    services.sessions().disconnect(request).await?;
    let again = until("a session in place of the one that ended", SOON, || async {
        Ok(cluster[2].client(transport, "alice", &[]).await.ok())
    });
    sessions.push(again.await?);
    is_refused(&cluster[0], transport, "alice", TOO_MANY).await?;
    // So does a node that dies, when its lease is over.
    drop(cluster.nodes.remove(0));
    until("a session in place of the dead node's", LEASE, || async {
        Ok(cluster[0].client(transport, "alice", &[]).await.ok())
    })
    .await?;
    Ok(())
}

async fn openings_of_an_address_have_a_rate_on_all_nodes(transport: Transport) -> Result<()> {
    let cluster = Cluster::start_with(2, |config| {
        config
            .set("limits.openings_per_minute_per_ip_max", "2")
            .set("limits.opening_burst_per_ip_max", "4");
    })
    .await?;
    // Whoever it says it is.
    for (number, user) in ["alice", "bob", "carol", "dave"].into_iter().enumerate() {
        cluster[number % 2].client(transport, user, &[]).await?;
    }
    for node in &cluster.nodes {
        is_refused(node, transport, "erin", TOO_OFTEN).await?;
    }
    Ok(())
}

async fn openings_of_a_user_have_a_rate_on_all_nodes(transport: Transport) -> Result<()> {
    let cluster = Cluster::start_with(2, |config| {
        config
            .set("limits.openings_per_minute_per_user_max", "2")
            .set("limits.opening_burst_per_user_max", "4");
    })
    .await?;
    for number in 0..4 {
        cluster[number % 2].client(transport, "alice", &[]).await?;
    }
    for node in &cluster.nodes {
        is_refused(node, transport, "alice", TOO_OFTEN).await?;
        node.client(transport, "bob", &[]).await?;
    }
    Ok(())
}

async fn commands_of_a_user_have_a_rate_on_all_nodes(transport: Transport) -> Result<()> {
    let cluster = Cluster::start_with(2, |config| {
        config
            .set("limits.commands_per_minute_per_user_max", "6")
            .set("limits.command_burst_per_user_max", "5");
    })
    .await?;
    let mut first = cluster[0].client(transport, "alice", &[]).await?;
    let mut second = cluster[1].client(transport, "alice", &[]).await?;
    let mut bob = cluster[0].client(transport, "bob", &[]).await?;
    let ask = async |client: &mut Client, number: usize| match number % 3 {
        0 => {
            client
                .ask("publish", json!({"channel": "chat:1", "data": number}))
                .await
        }
        1 => client.ask("history", json!({"channel": "chat:1"})).await,
        _ => client.ask("presence", json!({"channel": "room:1"})).await,
    };
    for number in 0..5 {
        let client = if number % 2 == 0 {
            &mut first
        } else {
            &mut second
        };
        ask(client, number)
            .await?
            .map_err(|error| anyhow::anyhow!("number {number}: {error}"))?;
    }
    for number in 0..3 {
        let client = if number == 1 { &mut second } else { &mut first };
        let Err(error) = ask(client, number).await? else {
            anyhow::bail!("one more was allowed");
        };
        // One is allowed every ten seconds.
        ensure!(error["code"] == "rate_limited", "{error}");
        let wait = error["retry_after"].as_u64();
        ensure!(
            wait.is_some_and(|wait| (1..=10_000).contains(&wait)),
            "{error}"
        );
    }
    // What the engine has no part in is not counted.
    first.command("ping", json!({})).await?;
    for number in 0..3 {
        ask(&mut bob, number)
            .await?
            .map_err(|error| anyhow::anyhow!("bob: {error}"))?;
    }
    Ok(())
}

/// Nobody is kept out because Redis cannot count; what one node has of a user still counts there.
#[tokio::test(flavor = "multi_thread")]
async fn while_redis_is_away_each_node_counts_for_itself() -> Result<()> {
    let mut cluster = Cluster::start_with(2, |config| {
        config
            .set("limits.sessions_per_user_max", "2")
            .set("limits.openings_per_minute_per_ip_max", "1")
            .set("limits.opening_burst_per_ip_max", "1");
    })
    .await?;
    cluster.redis.kill()?;
    let mut sessions = Vec::new();
    for node in &cluster.nodes {
        for _ in 0..2 {
            sessions.push(node.client(Transport::WebSocket, "alice", &[]).await?);
        }
        is_refused(node, Transport::WebSocket, "alice", TOO_MANY).await?;
        let metric = "openings_uncounted_total";
        node.await_metric(metric, |uncounted| uncounted >= 4.0)
            .await?;
    }
    Ok(())
}
