//! A refusal explains itself: the plain GET of a failed WebSocket gives the same answer, and 426 when nothing is wrong.

use anyhow::{Result, ensure};
use serde_json::Value;
use switchboard_tests::client::Refused;
use switchboard_tests::tokens::Claims;
use switchboard_tests::{Client, Hub, Opening, Transport, every_transport};

#[tokio::test]
async fn a_plain_get_tells_why_the_websocket_failed() -> Result<()> {
    let hub = Hub::start().await?;
    let expired = hub.minter.mint(&Claims::of("alice").ends_in(-60.0));
    let narrow = hub
        .minter
        .mint(&Claims::of("alice").grants(serde_json::json!({"subscribe": ["chat:2"]})));
    let good = hub.token("alice");
    let cases = [
        (expired, "chat:1", 401, "token_expired"),
        ("not.a.token".to_owned(), "chat:1", 401, "unauthenticated"),
        (String::new(), "chat:1", 401, "unauthenticated"),
        (narrow, "chat:1", 403, "permission_denied"),
        (good.clone(), "nowhere:1", 404, "unknown_namespace"),
        (good.clone(), "a::b", 400, "bad_request"),
    ];
    for (token, channel, status, code) in cases {
        let opening = Opening::new(&token).token_in_query().channel(channel);
        let refused = Refused::of(Client::open(&hub, Transport::WebSocket, opening).await)?;
        ensure!(
            refused.status == status && refused.code == code,
            "{channel}: {refused:?}"
        );

        let query = if token.is_empty() {
            String::new()
        } else {
            format!("&token={token}")
        };
        let response = hub
            .http
            .get(hub.url(&format!("/v1/ws?channel={channel}{query}")))
            .send()
            .await?;
        ensure!(
            response.status() == status,
            "the plain GET says {response:?}"
        );
        let problem: Value = response.json().await?;
        ensure!(
            problem["code"] == code && problem["status"] == status,
            "{problem}"
        );
        ensure!(
            problem["detail"] == refused.detail.as_str(),
            "{problem} and {refused:?}"
        );
    }
    let response = hub
        .http
        .get(hub.url("/v1/ws?channel=chat:1"))
        .bearer_auth(&good)
        .send()
        .await?;
    ensure!(
        response.status() == 426 && response.headers().contains_key("upgrade"),
        "{response:?}"
    );
    Ok(())
}

every_transport!(malformed_openings_are_refused_by_parameter);

async fn malformed_openings_are_refused_by_parameter(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    for (name, value) in [
        ("rewind", "-1"),
        ("rewind", "many"),
        ("heartbeat", "0"),
        ("cursor", "!"),
        ("channel", "a::b"),
    ] {
        let opening = hub.opening("alice").parameter(name, value);
        let refused = Refused::of(hub.open(transport, opening).await)?;
        ensure!(
            refused.status == 400 && refused.code == "bad_request",
            "{name}={value}: {refused:?}"
        );
        ensure!(
            refused.detail.contains(name),
            "{refused:?} does not name {name}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn an_unknown_path_is_not_found() -> Result<()> {
    let hub = Hub::start().await?;
    let response = hub.http.get(hub.url("/v2/ws")).send().await?;
    ensure!(response.status() == 404, "{response:?}");
    let problem: Value = response.json().await?;
    ensure!(problem["code"] == "not_found", "{problem}");
    Ok(())
}

#[tokio::test]
async fn nothing_of_operators_or_development_is_served_to_clients() -> Result<()> {
    let hub = Hub::start().await?;
    for path in ["/", "/metrics", "/readyz", "/dev/session.json", "/page.js"] {
        let response = hub.http.get(hub.url(path)).send().await?;
        ensure!(response.status() == 404, "{path}: {response:?}");
    }
    Ok(())
}
