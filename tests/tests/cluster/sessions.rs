//! What a service asks of one node is done wherever the sessions are; so are the commands that a balancer brings to the wrong node.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use switchboard_proto::api::v1 as api;
use switchboard_tests::cluster::Cluster;
use switchboard_tests::services::{self, Services};
use switchboard_tests::{Hub, Transport, every_transport, waiting};
use tonic::Code;

every_transport!(
    a_service_reaches_sessions_on_every_node,
    sessions_of_all_nodes_are_listed_and_looked_up,
);

/// How long what a killed node had may count as alive, the lease of the tests' configuration and what noticing takes.
const LEASE: Duration = Duration::from_secs(15);

async fn a_service_reaches_sessions_on_every_node(transport: Transport) -> Result<()> {
    let cluster = Cluster::start(3).await?;
    let services = cluster[2].services().await?;
    let mut first = cluster[0].client(transport, "alice", &[]).await?;
    let mut second = cluster[1]
        .client(Transport::WebSocket, "alice", &[])
        .await?;
    let mut bob = cluster[0].client(transport, "bob", &[]).await?;

    let one = services::session(first.session());
    ensure!(services.send(one, &json!({"to": "one"})).await? == 1);
    ensure!(
        services
            .send(services::user("alice"), &json!({"to": "both"}))
            .await?
            == 2
    );
    ensure!(services.send(services::user("nobody"), &json!(1)).await? == 0);
    ensure!(first.expect("message").await?.data()["to"] == "one");
    for client in [&mut first, &mut second] {
        ensure!(client.expect("message").await?.data()["to"] == "both");
    }

    let target = Some(services::user("alice"));
    let request = api::SessionServiceSubscribeRequest {
        target: target.clone(),
        channel: "chat:1".into(),
    };
    services.sessions().subscribe(request).await?;
    for client in [&mut first, &mut second] {
        ensure!(client.expect("subscribed").await?.channel() == "chat:1");
    }
    services.publish_numbers("chat:1", 0..2).await?;
    for client in [&mut first, &mut second] {
        client.numbers("chat:1", 0..2).await?;
    }
    let request = api::SessionServiceUnsubscribeRequest {
        target: Some(services::session(second.session())),
        channel: "chat:1".into(),
        reason: "enough".into(),
        resubscribe: false,
    };
    services.sessions().unsubscribe(request).await?;
    ensure!(second.expect("unsubscribed").await?.body["reason"] == "enough");

    let request = api::DisconnectRequest {
        target,
        reason: "bye".into(),
        ..api::DisconnectRequest::default()
    };
    services.sessions().disconnect(request).await?;
    ensure!(first.closed(4200).await?["reason"] == "bye");
    second.closed(4200).await?;
    ensure!(
        services
            .send(services::user("bob"), &json!({"to": "bob"}))
            .await?
            == 1
    );
    let message = bob.expect("message").await?;
    ensure!(message.data()["to"] == "bob", "{message:?}");
    Ok(())
}

/// The ids of all sessions, page by page.
async fn all_sessions(services: &Services, page_size: u32) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = api::ListSessionsRequest {
            page_size,
            page_token,
            ..api::ListSessionsRequest::default()
        };
        let page = services.sessions().list_sessions(request).await?;
        let page = page.into_inner();
        ensure!(
            page.sessions.len() <= page_size as usize && page.unreached_nodes.is_empty(),
            "{page:?}"
        );
        found.extend(page.sessions.into_iter().map(|session| session.session));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(found);
        }
    }
}

async fn sessions_of_all_nodes_are_listed_and_looked_up(transport: Transport) -> Result<()> {
    let cluster = Cluster::start(3).await?;
    let mut clients = Vec::new();
    for node in &cluster.nodes {
        for user in ["alice", "bob"] {
            clients.push(node.client(transport, user, &["chat:1"]).await?);
        }
    }
    let mut expected: BTreeSet<_> = clients.iter().map(|c| c.session().to_owned()).collect();
    for node in &cluster.nodes {
        let services = node.services().await?;
        // Pages that end within a node's sessions, at their end, and that nothing is left for.
        for page_size in [1, 2, 4, 5, 6, 100] {
            let found = all_sessions(&services, page_size).await?;
            let ids: BTreeSet<_> = found.iter().cloned().collect();
            ensure!(
                ids == expected && found.len() == expected.len(),
                "by {page_size}: {found:?}"
            );
        }
        let request = api::LookupUserRequest {
            user: "alice".into(),
        };
        let alice = services.presence().lookup_user(request).await?.into_inner();
        ensure!(alice.online && alice.sessions.len() == 3, "{alice:?}");
        for session in &alice.sessions {
            ensure!(
                session.user == "alice" && session.channels == ["chat:1"],
                "{session:?}"
            );
        }
    }
    // A user's pages end where the user's sessions do, on whichever nodes.
    let services = cluster[0].services().await?;
    let request = api::ListSessionsRequest {
        user: "bob".into(),
        page_size: 2,
        ..api::ListSessionsRequest::default()
    };
    let page = services
        .sessions()
        .list_sessions(request.clone())
        .await?
        .into_inner();
    let request = api::ListSessionsRequest {
        page_token: page.next_page_token.clone(),
        ..request
    };
    let rest = services
        .sessions()
        .list_sessions(request)
        .await?
        .into_inner();
    ensure!(
        page.sessions.len() == 2 && rest.sessions.len() == 1,
        "{page:?} {rest:?}"
    );
    ensure!(rest.next_page_token.is_empty());
    for session in page.sessions.iter().chain(&rest.sessions) {
        ensure!(expected.remove(&session.session), "{session:?} came twice");
    }
    Ok(())
}

async fn nodes(hub: &Hub) -> Result<api::ListNodesResponse> {
    let request = api::ListNodesRequest {};
    let nodes = hub.services().await?.nodes().list_nodes(request).await?;
    Ok(nodes.into_inner())
}

#[tokio::test]
async fn nodes_are_listed_until_they_are_gone() -> Result<()> {
    let mut cluster = Cluster::start(3).await?;
    let _alice = cluster[1]
        .client(Transport::WebSocket, "alice", &["chat:1"])
        .await?;
    let all = nodes(&cluster[0]).await?;
    ensure!(
        all.nodes.len() == 3 && all.unreached_nodes.is_empty(),
        "{all:?}"
    );
    ensure!(
        all.nodes.iter().map(|node| node.sessions).sum::<u64>() == 1,
        "{all:?}"
    );
    let ids: BTreeSet<_> = all.nodes.iter().map(|node| &node.id).collect();
    ensure!(ids.len() == 3, "{all:?}");

    // One that says goodbye is gone at once.
    cluster[2].signal("TERM")?;
    cluster.nodes[2].ended(LEASE).await?;
    let two = nodes(&cluster[0]).await?;
    ensure!(
        two.nodes.len() == 2 && two.unreached_nodes.is_empty(),
        "{two:?}"
    );

    // One that does not is named until its lease is over.
    cluster[1].signal("KILL")?;
    cluster.nodes[1].ended(LEASE).await?;
    let one = nodes(&cluster[0]).await?;
    ensure!(
        one.nodes.len() == 1 && one.unreached_nodes.len() == 1,
        "{one:?}"
    );
    waiting::until("the killed node is forgotten", LEASE, async || {
        Ok(nodes(&cluster[0])
            .await?
            .unreached_nodes
            .is_empty()
            .then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_service_is_told_of_a_node_that_does_not_answer() -> Result<()> {
    let mut cluster = Cluster::start(2).await?;
    let services = cluster[0].services().await?;
    let alice = cluster[0]
        .client(Transport::WebSocket, "alice", &[])
        .await?;
    let bob = cluster[1].client(Transport::WebSocket, "bob", &[]).await?;
    cluster[1].signal("KILL")?;
    cluster.nodes[1].ended(LEASE).await?;
    let disconnect = |target| api::DisconnectRequest {
        target: Some(target),
        ..api::DisconnectRequest::default()
    };
    for target in [services::user("bob"), services::session(bob.session())] {
        let status = services.sessions().disconnect(disconnect(target)).await;
        let status = status
            .err()
            .context("a node did not answer, and nobody said so")?;
        ensure!(status.code() == Code::Unavailable, "{status:?}");
    }
    // One session is one node's business: the other's silence is none of it.
    let target = services::session(alice.session());
    services.sessions().disconnect(disconnect(target)).await?;
    waiting::until("the killed node is forgotten", LEASE, async || {
        let status = services
            .sessions()
            .disconnect(disconnect(services::session(bob.session())))
            .await
            .err()
            .context("the session's node is gone")?;
        Ok((status.code() == Code::NotFound).then_some(()))
    })
    .await?;
    let user = disconnect(services::user("bob"));
    services.sessions().disconnect(user).await?;
    Ok(())
}

async fn post(hub: &Hub, key: &str, body: &str) -> Result<(u16, String)> {
    let response = reqwest::Client::new()
        .post(hub.url(&format!("/v1/commands?key={key}")))
        .body(body.to_owned())
        .send()
        .await?;
    let status = response.status().as_u16();
    Ok((status, response.text().await?))
}

async fn commands_posted_to_another_node_are_executed(transport: Transport) -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let mut client = cluster[0].client(transport, "alice", &["chat:1"]).await?;
    let key = client.open["key"].as_str().context("a key")?.to_owned();
    let body = "{\"id\":1,\"publish\":{\"channel\":\"chat:1\",\"data\":{\"n\":0}}}\n\
                {\"id\":2,\"subscribe\":{\"channel\":\"chat:2\"}}\n\
                {\"id\":3,\"publish\":{\"channel\":\"unknown:1\",\"data\":1}}";
    let (status, replies) = post(&cluster[1], &key, body).await?;
    let replies: Vec<Value> = replies
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    ensure!(status == 200 && replies.len() == 3, "{status} {replies:?}");
    ensure!(
        replies[0]["reply"]["publish"]["position"]["offset"] == 1,
        "{replies:?}"
    );
    ensure!(
        replies[1]["reply"]["subscribe"]["position"].is_object(),
        "{replies:?}"
    );
    ensure!(
        replies[2]["reply"]["error"]["code"] == "unknown_namespace",
        "{replies:?}"
    );
    client.numbers("chat:1", 0..1).await?;
    let services = cluster[1].services().await?;
    services.publish_numbers("chat:2", 0..3).await?;
    client.numbers("chat:2", 0..3).await?;

    // Whoever has no right to the session is refused here as there.
    let wrong = format!("{}.{}", client.session(), "0".repeat(32));
    let (status, _) = post(&cluster[1], &wrong, body).await?;
    ensure!(status == 410, "{status}");

    let mut cluster = cluster;
    cluster[0].signal("KILL")?;
    cluster.nodes[0].ended(LEASE).await?;
    let (status, answer) = post(&cluster[1], &key, body).await?;
    ensure!(
        status == 503 && answer.contains("may have been executed"),
        "{status} {answer}"
    );
    waiting::until("the killed node's sessions are gone", LEASE, async || {
        Ok((post(&cluster[1], &key, body).await?.0 == 410).then_some(()))
    })
    .await
}

#[tokio::test]
async fn commands_posted_to_another_node_are_executed_over_sse() -> Result<()> {
    commands_posted_to_another_node_are_executed(Transport::Sse).await
}

#[tokio::test]
async fn commands_posted_to_another_node_are_executed_over_poll() -> Result<()> {
    commands_posted_to_another_node_are_executed(Transport::Poll).await
}
