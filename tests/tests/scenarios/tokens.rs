//! Tokens that the hub issues itself.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use switchboard_proto::api::v1 as api;
use switchboard_tests::services::{Services, reason};
use switchboard_tests::{Hub, Opening, Transport, every_transport};

every_transport!(an_issued_token_opens_a_session_with_its_grants);

async fn an_issued_token_opens_a_session_with_its_grants(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    let grants = api::Grants {
        subscribe: vec!["room:*".into()],
        publish: vec!["room:1".into()],
        channels: vec!["chat:inbox".into()],
        info: json!({"name": "Alice"}).to_string().into_bytes().into(),
        ..api::Grants::default()
    };
    let request = api::IssueTokenRequest {
        user: "alice".into(),
        ttl_seconds: 120,
        grants: Some(grants),
        audience: String::new(),
    };
    let issued = services.tokens().issue_token(request).await?.into_inner();
    hub.secrets.add(&issued.token);
    let mut watcher = hub
        .client(Transport::WebSocket, "watcher", &["room:1"])
        .await?;
    let mut client = hub
        .open(transport, Opening::new(&issued.token).channel("room:1"))
        .await?;
    ensure!(client.open["user"] == "alice", "{}", client.open);
    ensure!(
        client.open["expires_at"].as_i64() == Some(issued.expires_ms),
        "{}",
        client.open
    );
    loop {
        let join = watcher.await_kind("join").await?;
        if join.body["member"]["user"] == "alice" {
            ensure!(join.body["member"]["info"]["name"] == "Alice", "{join:?}");
            break;
        }
    }
    client
        .command("publish", json!({"channel": "room:1", "data": 1}))
        .await?;
    client
        .refused(
            "publish",
            json!({"channel": "room:2", "data": 1}),
            "permission_denied",
        )
        .await?;
    client
        .command("subscribe", json!({"channel": "room:2"}))
        .await?;
    client
        .refused(
            "subscribe",
            json!({"channel": "chat:inbox"}),
            "already_subscribed",
        )
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_key_issues_no_more_than_it_has() -> Result<()> {
    let hub = Hub::start_with(|config| {
        config.push(
            "api.keys",
            r#"
            name = "narrow"
            secret = "issues-for-chat-alone-and-nothing-else"
            scopes = ["tokens"]
            channels = ["chat:*"]
        "#,
        );
    })
    .await?;
    let narrow = Services::connect(hub.api, "issues-for-chat-alone-and-nothing-else").await?;
    let request = |pattern: &str| api::IssueTokenRequest {
        user: "alice".into(),
        grants: Some(api::Grants {
            subscribe: vec![pattern.into()],
            ..api::Grants::default()
        }),
        ..api::IssueTokenRequest::default()
    };
    let issued = narrow
        .tokens()
        .issue_token(request("chat:1"))
        .await?
        .into_inner();
    hub.secrets.add(&issued.token);
    hub.open(
        Transport::WebSocket,
        Opening::new(issued.token).channel("chat:1"),
    )
    .await?;
    for more in ["room:1", "*"] {
        let status = narrow
            .tokens()
            .issue_token(request(more))
            .await
            .err()
            .context("it granted too much")?;
        ensure!(
            reason(&status).as_deref() == Some("permission_denied"),
            "{status:?}"
        );
    }
    Ok(())
}
