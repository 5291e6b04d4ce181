//! Sessions by the hand of a service: sent to, subscribed, disconnected, listed.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use switchboard_proto::api::v1 as api;
use switchboard_tests::services;
use switchboard_tests::{Hub, Transport, every_transport};

every_transport!(
    a_payload_is_sent_to_one_session_or_to_all_of_a_user,
    a_service_subscribes_and_unsubscribes,
    a_service_disconnects,
    sessions_are_listed_with_how_they_are_attached,
);

async fn a_payload_is_sent_to_one_session_or_to_all_of_a_user(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    let mut first = hub.client(transport, "alice", &["chat:1"]).await?;
    let mut second = hub.client(Transport::WebSocket, "alice", &[]).await?;
    let mut bob = hub.client(transport, "bob", &["chat:1"]).await?;

    let delivered = services
        .send(services::session(first.session()), &json!({"to": "one"}))
        .await?;
    ensure!(delivered == 1, "{delivered}");
    let delivered = services
        .send(services::user("alice"), &json!({"to": "both"}))
        .await?;
    ensure!(delivered == 2, "{delivered}");
    let delivered = services.send(services::user("nobody"), &json!(1)).await?;
    ensure!(delivered == 0, "{delivered}");

    let message = first.expect("message").await?;
    ensure!(message.data()["to"] == "one", "{message:?}");
    ensure!(
        message.body.get("channel").is_none() && message.body.get("offset").is_none(),
        "{message:?}"
    );
    for client in [&mut first, &mut second] {
        let message = client.expect("message").await?;
        ensure!(message.data()["to"] == "both", "{message:?}");
    }
    services.publish_numbers("chat:1", 0..1).await?;
    let message = bob.expect("message").await?;
    ensure!(
        message.channel() == "chat:1",
        "what was sent to alice came to bob: {message:?}"
    );
    Ok(())
}

async fn a_service_subscribes_and_unsubscribes(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    let mut client = hub.client(transport, "alice", &[]).await?;
    let target = Some(services::user("alice"));
    let request = api::SessionServiceSubscribeRequest {
        target: target.clone(),
        channel: "chat:1".into(),
    };
    services.sessions().subscribe(request).await?;
    let subscribed = client.expect("subscribed").await?;
    ensure!(subscribed.channel() == "chat:1", "{subscribed:?}");
    services.publish_numbers("chat:1", 0..2).await?;
    client.numbers("chat:1", 0..2).await?;

    let request = api::SessionServiceUnsubscribeRequest {
        target,
        channel: "chat:1".into(),
        reason: "the game is over".into(),
        resubscribe: true,
    };
    services.sessions().unsubscribe(request).await?;
    let unsubscribed = client.expect("unsubscribed").await?;
    ensure!(
        unsubscribed.channel() == "chat:1" && unsubscribed.body["resubscribe"] == true,
        "{unsubscribed:?}"
    );
    ensure!(
        unsubscribed.body["reason"] == "the game is over",
        "{unsubscribed:?}"
    );
    services.publish_numbers("chat:1", 2..3).await?;
    client
        .command("subscribe", json!({"channel": "chat:2"}))
        .await?;
    services.publish_numbers("chat:2", 0..1).await?;
    // Where the command went by POST, the stream itself says `subscribed` before the first message.
    let message = client.await_kind("message").await?;
    ensure!(message.channel() == "chat:2", "{message:?}");
    Ok(())
}

async fn a_service_disconnects(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    let mut first = hub.client(transport, "alice", &["chat:1"]).await?;
    let mut second = hub.client(transport, "alice", &["chat:1"]).await?;
    let mut bob = hub.client(transport, "bob", &["chat:1"]).await?;
    let request = api::DisconnectRequest {
        target: Some(services::session(first.session())),
        code: None,
        reason: "goodbye".into(),
        reconnect: false,
    };
    services.sessions().disconnect(request).await?;
    let close = first.closed(4200).await?;
    ensure!(
        close["reason"] == "goodbye"
            && close
                .get("reconnect")
                .is_none_or(|come_back| come_back == false),
        "{close}"
    );

    let request = api::DisconnectRequest {
        target: Some(services::user("alice")),
        code: Some(4150),
        reason: "a new token, please".into(),
        reconnect: true,
    };
    services.sessions().disconnect(request).await?;
    let close = second.closed(4150).await?;
    ensure!(close["reconnect"] == true, "{close}");

    services.publish_numbers("chat:1", 0..1).await?;
    bob.numbers("chat:1", 0..1).await?;
    hub.await_metric("sessions", |count| (count - 1.0).abs() < 0.1)
        .await?;
    Ok(())
}

async fn sessions_are_listed_with_how_they_are_attached(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    let alice = hub
        .client(transport, "alice", &["chat:1", "chat:2"])
        .await?;
    let mut others = Vec::new();
    for n in 0..5 {
        others.push(
            hub.client(Transport::WebSocket, &format!("user-{n}"), &[])
                .await?,
        );
    }
    let request = api::ListSessionsRequest {
        user: "alice".into(),
        page_size: 0,
        page_token: String::new(),
    };
    let listed = services
        .sessions()
        .list_sessions(request)
        .await?
        .into_inner()
        .sessions;
    let mut session = listed.into_iter().next().context("alice is not listed")?;
    session.channels.sort();
    ensure!(
        session.session == alice.session() && session.user == "alice",
        "{session:?}"
    );
    ensure!(
        session.channels == ["chat:1", "chat:2"] && session.connected_ms > 1_700_000_000_000,
        "{session:?}"
    );
    ensure!(alice.open["node"] == session.node.as_str(), "{session:?}");
    let expected = match transport {
        Transport::WebSocket => api::Transport::Websocket,
        Transport::Sse => api::Transport::Sse,
        Transport::Poll => api::Transport::Poll,
    };
    ensure!(session.transport() == expected, "{session:?}");

    let mut users = Vec::new();
    let mut request = api::ListSessionsRequest {
        user: String::new(),
        page_size: 2,
        page_token: String::new(),
    };
    loop {
        let page = services
            .sessions()
            .list_sessions(request.clone())
            .await?
            .into_inner();
        ensure!(page.sessions.len() <= 2, "{page:?}");
        users.extend(page.sessions.into_iter().map(|session| session.user));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    users.sort();
    ensure!(
        users == ["alice", "user-0", "user-1", "user-2", "user-3", "user-4"],
        "{users:?}"
    );
    Ok(())
}

#[tokio::test]
async fn nodes_are_listed_with_what_they_hold() -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    let client = hub
        .client(Transport::WebSocket, "alice", &["chat:1", "chat:2"])
        .await?;
    let nodes = services
        .nodes()
        .list_nodes(api::ListNodesRequest {})
        .await?
        .into_inner()
        .nodes;
    let [node] = &nodes[..] else {
        anyhow::bail!("one node was to be listed: {nodes:?}")
    };
    ensure!(
        client.open["node"] == node.id.as_str() && node.sessions == 1 && node.subscriptions == 2,
        "{node:?}"
    );
    ensure!(
        node.channels >= 2 && !node.draining && !node.version.is_empty(),
        "{node:?}"
    );
    Ok(())
}
