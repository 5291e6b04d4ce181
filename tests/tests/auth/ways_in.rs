//! How a token may travel: a header, the query, the cookie, a subprotocol; and which of them counts.

use anyhow::{Result, ensure};
use serde_json::json;
use switchboard_tests::client::{Refused, Ws};
use switchboard_tests::config::ORIGIN;
use switchboard_tests::tokens::Claims;
use switchboard_tests::{Client, Hub, Opening, Transport, every_transport};

every_transport!(
    a_token_travels_in_the_header_the_query_or_the_cookie,
    the_first_credential_found_counts,
    no_credential_is_refused_unless_anonymous_clients_are_let_in,
);

async fn a_token_travels_in_the_header_the_query_or_the_cookie(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let header = hub.opening("alice");
    let query = hub.opening("alice").token_in_query();
    let cookie = hub
        .opening("alice")
        .token_in_cookie()
        .header("origin", ORIGIN);
    for opening in [header, query, cookie] {
        let client = hub.open(transport, opening.channel("chat:1")).await?;
        ensure!(client.open["user"] == "alice", "{}", client.open);
    }
    Ok(())
}

#[tokio::test]
async fn a_token_travels_as_a_subprotocol_which_is_never_chosen() -> Result<()> {
    let hub = Hub::start().await?;
    let opening = hub
        .opening("alice")
        .token_in_subprotocol()
        .subprotocol("switchboard.v1.json")
        .channel("chat:1");
    let mut client = hub.open(Transport::WebSocket, opening.clone()).await?;
    ensure!(client.open["user"] == "alice", "{}", client.open);
    ensure!(
        client.ws_mut().response["sec-websocket-protocol"] == "switchboard.v1.json",
        "the token was chosen"
    );
    let protobuf = hub
        .opening("alice")
        .token_in_subprotocol()
        .subprotocol("switchboard.v1.protobuf");
    let socket = Ws::open(&hub, &protobuf).await?;
    ensure!(
        socket.response["sec-websocket-protocol"] == "switchboard.v1.protobuf",
        "{:?}",
        socket.response
    );
    let expired = hub.minter.mint(&Claims::of("alice").ends_in(-60.0));
    let opening = Opening::new(expired)
        .token_in_subprotocol()
        .subprotocol("switchboard.v1.json");
    let refused = Refused::of(Client::open(&hub, Transport::WebSocket, opening).await)?;
    ensure!(
        refused.status == 401 && refused.code == "token_expired",
        "{refused:?}"
    );
    Ok(())
}

async fn the_first_credential_found_counts(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let other = hub.token("bob");
    let opening = hub.opening("alice").parameter("token", &other);
    let client = hub.open(transport, opening).await?;
    ensure!(
        client.open["user"] == "alice",
        "the header comes before the query: {}",
        client.open
    );
    // One that is there and bad is no reason to look for another.
    for bad in ["Bearer", "Basic YWxpY2U6eA==", "Bearer not.a.token"] {
        let opening = Opening::new("")
            .header("authorization", bad)
            .parameter("token", &other);
        let refused = Refused::of(hub.open(transport, opening).await)?;
        ensure!(
            refused.status == 401 && refused.code == "unauthenticated",
            "{bad}: {refused:?}"
        );
    }
    Ok(())
}

async fn no_credential_is_refused_unless_anonymous_clients_are_let_in(
    transport: Transport,
) -> Result<()> {
    let hub = Hub::start().await?;
    let refused = Refused::of(hub.open(transport, Opening::new("")).await)?;
    ensure!(
        refused.status == 401 && refused.code == "unauthenticated",
        "{refused:?}"
    );

    let hub = Hub::start_with(|config| {
        config.set("clients.anonymous", r#"{subscribe = ["chat:public:*"]}"#);
    })
    .await?;
    let mut client = hub
        .open(transport, Opening::new("").channel("chat:public:1"))
        .await?;
    ensure!(client.open.get("user").is_none(), "{}", client.open);
    client
        .refused(
            "subscribe",
            json!({"channel": "chat:1"}),
            "permission_denied",
        )
        .await?;
    hub.services()
        .await?
        .publish_numbers("chat:public:1", 0..1)
        .await?;
    client.numbers("chat:public:1", 0..1).await?;
    let bad = Refused::of(hub.open(transport, Opening::new("not.a.token")).await)?;
    ensure!(
        bad.status == 401,
        "a bad token is not the same as none: {bad:?}"
    );
    Ok(())
}
