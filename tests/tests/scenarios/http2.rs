//! HTTP/2: many event streams and polls share one connection, and nothing about them is different.

use anyhow::{Result, ensure};
use http::{Request, Version};
use serde_json::json;
use switchboard_tests::waiting::{SOON, until};
use switchboard_tests::{Hub, Transport};
use tokio::net::TcpStream;
use tokio::time::timeout;

async fn hub() -> Result<Hub> {
    let mut hub = Hub::start().await?;
    // Without TLS there is no negotiation: the client has to know.
    hub.http = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()?;
    let token = hub.token("probe");
    let response = hub
        .http
        .get(hub.url("/v1/poll?wait=0"))
        .bearer_auth(token)
        .send()
        .await?;
    ensure!(
        response.version() == reqwest::Version::HTTP_2,
        "{response:?}"
    );
    Ok(hub)
}

#[tokio::test]
async fn streams_and_polls_share_a_connection_and_hear_everything() -> Result<()> {
    let hub = hub().await?;
    let services = hub.services().await?;
    let mut clients = Vec::new();
    for n in 0..40 {
        let transport = if n % 2 == 0 {
            Transport::Sse
        } else {
            Transport::Poll
        };
        clients.push(
            hub.client(transport, &format!("user-{n}"), &["chat:1"])
                .await?,
        );
    }
    services.publish_numbers("chat:1", 0..100).await?;
    for client in &mut clients {
        client.numbers("chat:1", 0..100).await?;
    }
    let connections = hub.metrics().await?.sum("http_connections");
    ensure!(
        connections < 10.5,
        "40 clients on {connections} connections"
    );
    drop(clients);
    Ok(())
}

#[tokio::test]
async fn a_stream_takes_commands_resumes_and_is_gone_when_it_is_dropped() -> Result<()> {
    let hub = hub().await?;
    let services = hub.services().await?;
    let mut client = hub.client(Transport::Sse, "alice", &["chat:1"]).await?;
    client
        .command("publish", json!({"channel": "chat:1", "data": {"n": 0}}))
        .await?;
    client.numbers("chat:1", 0..1).await?;
    let before = hub
        .metrics()
        .await?
        .labelled("sessions", "transport=\"sse\"");
    ensure!((before - 1.0).abs() < 0.1, "{before} event streams");
    let place = client.drop_abruptly();
    services.publish_numbers("chat:1", 1..5).await?;
    let mut client = place.resume(&hub, Transport::Sse).await?;
    client.numbers("chat:1", 1..5).await?;
    drop(client);
    // What is left is the poll session of the probe.
    hub.await_metric("sessions", |count| count < 1.5).await?;
    Ok(())
}

/// Such a client would else hold descriptors for as long as it likes, of sessions that have long been closed.
#[tokio::test]
async fn streams_whose_window_stays_closed_hold_no_descriptors() -> Result<()> {
    const STREAMS: usize = 20;
    let hub = Hub::start_with(|config| {
        config
            .set("limits.outbox_bytes_max", "65_536")
            .set("limits.outbox_age_max_s", "1");
    })
    .await?;
    let services = hub.services().await?;
    let before = hub.descriptors()?;
    let tcp = TcpStream::connect(hub.clients).await?;
    let mut narrow = h2::client::Builder::new();
    narrow.initial_window_size(1000);
    let (client, connection) = narrow.handshake::<_, bytes::Bytes>(tcp).await?;
    let connection = tokio::spawn(connection);
    let mut client = client.ready().await?;
    let mut bodies = Vec::new();
    for n in 0..STREAMS {
        let request = Request::builder()
            .version(Version::HTTP_2)
            .uri(hub.url("/v1/sse?channel=close:1"))
            .header(
                "authorization",
                format!("Bearer {}", hub.token(&format!("user-{n}"))),
            )
            .body(())?;
        let (response, _) = client.send_request(request, true)?;
        let response = timeout(SOON, response).await??;
        ensure!(response.status() == 200, "{response:?}");
        bodies.push(response.into_body());
    }
    hub.await_metric("subscriptions", |count| count > STREAMS as f64 - 0.5)
        .await?;
    let pad = "x".repeat(32 * 1024);
    for _ in 0..40 {
        services.publish("close:1", &json!(pad)).await?;
    }
    hub.await_metric("sessions", |count| count < 0.5).await?;
    until("the descriptors to be given back", SOON, || async {
        // The connection itself is there still.
        Ok((hub.descriptors()? <= before + 4).then_some(()))
    })
    .await?;
    ensure!(!connection.is_finished(), "the connection ended");
    drop((bodies, client));
    Ok(())
}
