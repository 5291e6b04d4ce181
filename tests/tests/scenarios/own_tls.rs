//! The hub with certificates of its own: every transport over TLS, in both versions of HTTP; the control API over TLS, and
//! for callers with a certificate alone.

use std::future::poll_fn;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;
use http::{Method, Request, Version};
use serde_json::json;
use switchboard_tests::client::Refused;
use switchboard_tests::config::Config;
use switchboard_tests::raw::{Out, opcode};
use switchboard_tests::services::{self, Services};
use switchboard_tests::tls::{Authority, NAME, Tunnel};
use switchboard_tests::waiting::SOON;
use switchboard_tests::{Hub, Opening, Transport, every_transport};
use tokio::time::timeout;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

every_transport!(
    all_is_heard_and_said_over_http_1,
    a_bad_token_is_refused_with_its_reason,
);

/// Sets a listener's certificate.
fn certify(config: &mut Config, directory: &Path, section: &str, by: &Authority) -> Result<()> {
    let (certificate, key) = by.identity(NAME)?.write(directory, section)?;
    config
        .set(&format!("{section}.tls_cert_file"), &certificate)
        .set(&format!("{section}.tls_key_file"), &key);
    Ok(())
}

/// A hub whose clients' side speaks TLS, and the way to it for clients that do not.
async fn hub(authority: &Authority, protocol: &str) -> Result<(Hub, Tunnel)> {
    let mut hub = Hub::start_within(None, |config, directory| {
        certify(config, directory, "clients", authority)
    })
    .await?;
    let tunnel = Tunnel::open(authority, hub.clients, protocol).await?;
    hub.clients = tunnel.address;
    Ok((hub, tunnel))
}

async fn exchange(hub: &Hub, transport: Transport) -> Result<()> {
    let services = hub.services().await?;
    let mut client = hub.client(transport, "alice", &["chat:1"]).await?;
    services.publish_numbers("chat:1", 0..200).await?;
    client.numbers("chat:1", 0..200).await?;
    let text = "more than one record of TLS has room for, ".repeat(1000);
    client
        .command("publish", json!({"channel": "chat:1", "data": text}))
        .await?;
    let message = client.await_kind("message").await?;
    ensure!(message.data() == &json!(text), "another text came");
    let place = client.drop_abruptly();
    services.publish_numbers("chat:1", 200..210).await?;
    let mut client = place.resume(hub, transport).await?;
    client.numbers("chat:1", 200..210).await?;
    if transport == Transport::WebSocket {
        client.leave().await?;
    }
    Ok(())
}

async fn all_is_heard_and_said_over_http_1(transport: Transport) -> Result<()> {
    let authority = Authority::new()?;
    let (hub, _tunnel) = hub(&authority, "http/1.1").await?;
    exchange(&hub, transport).await?;
    if transport != Transport::Poll {
        // What was gone without a word, and what said goodbye.
        hub.await_metric("sessions", |count| count < 0.5).await?;
    }
    Ok(())
}

async fn a_bad_token_is_refused_with_its_reason(transport: Transport) -> Result<()> {
    let authority = Authority::new()?;
    let (hub, _tunnel) = hub(&authority, "http/1.1").await?;
    let refused = Refused::of(hub.open(transport, Opening::new("no.good.token")).await)?;
    ensure!(
        refused.status == 401 && refused.code == "unauthenticated",
        "{refused:?}"
    );
    Ok(())
}

#[tokio::test]
async fn streams_and_polls_share_a_connection_of_http_2() -> Result<()> {
    let authority = Authority::new()?;
    let (mut hub, _tunnel) = hub(&authority, "h2").await?;
    hub.http = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()?;
    exchange(&hub, Transport::Sse).await?;
    exchange(&hub, Transport::Poll).await?;
    let accepted = hub.metrics().await?.sum("http_accepts_total");
    // The tunnel's own first one, and the one that all requests share.
    ensure!((accepted - 2.0).abs() < 0.5, "{accepted} connections");
    Ok(())
}

#[tokio::test]
async fn the_hub_chooses_http_2_where_both_are_offered() -> Result<()> {
    let authority = Authority::new()?;
    let (hub, _tunnel) = hub(&authority, "http/1.1").await?;
    let listens = hub.ready_file()?["clients"]
        .as_str()
        .context("no address")?
        .parse()?;
    let check = async |offered: &[&str], expected: Option<&[u8]>| {
        let stream = authority.connect(listens, offered).await?;
        let agreed = stream.get_ref().1.alpn_protocol();
        ensure!(agreed == expected, "{offered:?} made {agreed:?}");
        Ok(())
    };
    check(&["http/1.1", "h2"], Some(b"h2")).await?;
    check(&["http/1.1"], Some(b"http/1.1")).await?;
    check(&[], None).await?;
    ensure!(
        authority.connect(listens, &["spdy/3"]).await.is_err(),
        "a protocol that is not spoken was agreed on"
    );
    let stranger = Authority::new()?;
    ensure!(
        stranger.connect(listens, &["h2"]).await.is_err(),
        "a certificate was taken that nobody trusts"
    );
    Ok(())
}

/// Reads until what was read in all holds `end`; what stands before and in it is forgotten.
async fn until(body: &mut RecvStream, read: &mut Vec<u8>, end: &[u8]) -> Result<()> {
    let found = async {
        loop {
            if let Some(at) = read.windows(end.len()).position(|part| part == end) {
                read.drain(..at + end.len());
                return Ok(());
            }
            let data = body.data().await.context("the stream ended")??;
            body.flow_control().release_capacity(data.len())?;
            read.extend_from_slice(&data);
        }
    };
    let outcome = timeout(SOON, found).await;
    outcome.with_context(|| format!("{} did not come", String::from_utf8_lossy(end)))?
}

/// A client of HTTP/2 that knows, by the hub's settings, that extended CONNECT is offered.
async fn http2(authority: &Authority, hub: &Hub) -> Result<SendRequest<Bytes>> {
    let listens = hub.ready_file()?["clients"]
        .as_str()
        .context("no address")?
        .parse()?;
    let stream = authority.connect(listens, &["h2"]).await?;
    let (client, mut connection) = h2::client::handshake(stream).await?;
    let mut client = client.ready().await?;
    let settled = poll_fn(|cx| {
        if client.is_extended_connect_protocol_enabled() {
            return std::task::Poll::Ready(Ok(()));
        }
        match std::pin::Pin::new(&mut connection).poll(cx) {
            std::task::Poll::Ready(ended) => {
                std::task::Poll::Ready(Err(anyhow::anyhow!("the connection ended: {ended:?}")))
            }
            // Driven once more after settings have come.
            std::task::Poll::Pending if client.is_extended_connect_protocol_enabled() => {
                std::task::Poll::Ready(Ok(()))
            }
            std::task::Poll::Pending => std::task::Poll::Pending,
        }
    });
    timeout(SOON, settled)
        .await
        .context("extended CONNECT is not offered")??;
    tokio::spawn(connection);
    client = client.ready().await?;
    Ok(client)
}

#[tokio::test]
async fn a_websocket_goes_through_a_stream_of_http_2() -> Result<()> {
    let authority = Authority::new()?;
    let (hub, _tunnel) = hub(&authority, "http/1.1").await?;
    let services = hub.services().await?;
    let mut client = http2(&authority, &hub).await?;
    let mut connect = Request::builder()
        .version(Version::HTTP_2)
        .method(Method::CONNECT)
        .uri(format!("https://{NAME}/v1/ws?channel=chat:1"))
        .header("sec-websocket-version", "13")
        .header("authorization", format!("Bearer {}", hub.token("alice")))
        .body(())?;
    connect
        .extensions_mut()
        .insert(h2::ext::Protocol::from_static("websocket"));
    let (response, mut send) = client.send_request(connect, false)?;
    let response = timeout(SOON, response).await??;
    ensure!(response.status() == 200, "{response:?}");
    let (mut body, mut read) = (response.into_body(), Vec::new());
    until(&mut body, &mut read, br#"{"subscribed":"#).await?;
    let mut say =
        |opcode, payload: &[u8]| send.send_data(Out::new(opcode, payload).bytes().into(), false);
    say(opcode::TEXT, br#"{"id":1,"ping":{}}"#)?;
    until(&mut body, &mut read, br#"{"reply":{"id":1,"ping":"#).await?;
    for n in 0..20 {
        services.publish_numbers("chat:1", n..n + 1).await?;
        until(
            &mut body,
            &mut read,
            format!(r#""data":{{"n":{n}}}"#).as_bytes(),
        )
        .await?;
    }
    say(opcode::CLOSE, &1000_u16.to_be_bytes())?;
    let close = [0x88, 2, 0x03, 0xe8];
    until(&mut body, &mut read, &close).await?;
    // The end may come as a frame of its own, without data.
    while let Some(data) = timeout(SOON, body.data()).await? {
        let data = data?;
        ensure!(data.is_empty(), "{data:?} comes after the close");
    }
    hub.await_metric("sessions", |count| count < 0.5).await?;
    Ok(())
}

/// A hub whose control API demands certificates that this authority has signed.
async fn guarded(authority: &Authority, callers: &Authority) -> Result<Hub> {
    Hub::start_within(None, |config, directory| {
        certify(config, directory, "api", authority)?;
        let path = directory.join("callers.pem");
        std::fs::write(&path, callers.certificate())?;
        config.set("api.tls_client_ca_file", &format!("'{}'", path.display()));
        Ok(())
    })
    .await
}

/// Publishes over TLS, with a certificate where one is given.
async fn publish(
    hub: &Hub,
    authority: &Authority,
    by: Option<&Authority>,
    number: u64,
) -> Result<()> {
    let mut tls = ClientTlsConfig::new()
        .domain_name(NAME)
        .ca_certificate(Certificate::from_pem(authority.certificate()));
    if let Some(by) = by {
        let own = by.identity("a-service")?;
        tls = tls.identity(tonic::transport::Identity::from_pem(
            own.certificate,
            own.key,
        ));
    }
    let endpoint = Endpoint::from_shared(format!("https://{}", hub.api))?.tls_config(tls)?;
    let services = Services::connect_to(endpoint, &hub.api_key).await?;
    let call = services.publish_item(services::item("chat:1", &json!({"n": number})));
    timeout(SOON, call).await??;
    Ok(())
}

#[tokio::test]
async fn services_publish_over_tls() -> Result<()> {
    let authority = Authority::new()?;
    let hub = Hub::start_within(None, |config, directory| {
        certify(config, directory, "api", &authority)
    })
    .await?;
    let mut client = hub
        .client(Transport::WebSocket, "alice", &["chat:1"])
        .await?;
    publish(&hub, &authority, None, 0).await?;
    client.numbers("chat:1", 0..1).await?;
    ensure!(
        publish(&hub, &Authority::new()?, None, 1).await.is_err(),
        "the caller took a certificate that nobody it trusts has signed"
    );
    ensure!(
        hub.services()
            .await?
            .publish("chat:1", &json!(2))
            .await
            .is_err(),
        "a call without TLS was taken"
    );
    // Neither harmed anybody.
    publish(&hub, &authority, None, 1).await?;
    client.numbers("chat:1", 1..2).await
}

#[tokio::test]
async fn services_without_the_right_certificate_are_not_heard() -> Result<()> {
    let (authority, callers) = (Authority::new()?, Authority::new()?);
    let hub = guarded(&authority, &callers).await?;
    let mut client = hub
        .client(Transport::WebSocket, "alice", &["chat:1"])
        .await?;
    publish(&hub, &authority, Some(&callers), 0).await?;
    // Nobody; one whom the hub's own authority vouches for; one of a stranger that calls itself the same.
    for (who, by) in [
        ("without a certificate", None),
        ("of the hub's authority", Some(&authority)),
        ("of a stranger", Some(&Authority::new()?)),
    ] {
        if publish(&hub, &authority, by, 99).await.is_ok() {
            bail!("a caller {who} was let in");
        }
    }
    publish(&hub, &authority, Some(&callers), 1).await?;
    client.numbers("chat:1", 0..2).await
}
