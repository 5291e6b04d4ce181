//! File descriptors that run out: clients get no more of them before services and operators do, those who are in go on, and
//! with the first that is free everything goes on as before.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use switchboard_tests::client::{Refused, read_all};
use switchboard_tests::raw::{Raw, websocket_request};
use switchboard_tests::waiting::{SOON, until};
use switchboard_tests::{Client, Hub, Transport};
use tokio::net::TcpStream;

/// What the hub may have open.
const LIMIT: u32 = 256;
/// Of those, what clients get: a twentieth is kept, sixteen at least.
const FOR_CLIENTS: usize = 240;
/// Long enough for a loop that never rests to show.
const MEASURED: Duration = Duration::from_secs(1);

async fn hub() -> Result<Hub> {
    Hub::start_within(Some(LIMIT), |config, _| {
        // What is idle here must stay as long as the test wants it to.
        config.set("limits.handshake_timeout_s", "120");
        Ok(())
    })
    .await
}

async fn listeners(hub: &Hub) -> Result<Vec<Client>> {
    let mut clients = Vec::new();
    for transport in Transport::ALL {
        clients.push(hub.client(transport, "alice", &["chat:1"]).await?);
    }
    Ok(clients)
}

async fn all_hear(clients: &mut [Client], numbers: std::ops::Range<u64>) -> Result<()> {
    for client in clients {
        let transport = client.transport;
        let heard = client.numbers("chat:1", numbers.clone()).await;
        heard.with_context(|| format!("by {transport:?}"))?;
    }
    Ok(())
}

/// Takes every connection that clients get; gives the first answer that says that there are no more.
async fn fill(hub: &Hub, idle: &mut Vec<Raw>) -> Result<Option<String>> {
    while idle.len() < LIMIT as usize {
        let mut raw = Raw::connect(hub.clients).await?;
        raw.write(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
            .await?;
        let head = raw.head().await.context("neither taken nor refused")?;
        match head.status {
            404 => idle.push(raw),
            503 => return Ok(head.header("retry-after").map(str::to_owned)),
            status => anyhow::bail!("{status} was answered"),
        }
    }
    anyhow::bail!("{} connections were taken", idle.len())
}

/// Waits until clients are taken again; a new one is.
async fn clients_are_taken(hub: &Hub) -> Result<Client> {
    until("a client to be taken", SOON, || async {
        match hub.client(Transport::WebSocket, "late", &["chat:1"]).await {
            Ok(client) => Ok(Some(client)),
            Err(error) => error.downcast::<Refused>().map(|_| None),
        }
    })
    .await
}

#[tokio::test]
async fn the_last_descriptors_are_for_services_and_operators() -> Result<()> {
    let hub = hub().await?;
    let mut clients = listeners(&hub).await?;
    let before = hub.descriptors()?;
    let mut idle = Vec::new();
    let retry_after = fill(&hub, &mut idle).await?;
    ensure!(retry_after.as_deref() == Some("5"), "{retry_after:?}");
    let open = hub.descriptors()?;
    ensure!(
        (FOR_CLIENTS..FOR_CLIENTS + 9).contains(&open),
        "{open} descriptors are open"
    );

    // Connections of their own, none that stood before.
    let operator = reqwest::Client::builder().no_proxy().build()?;
    let ready = operator.get(format!("http://{}/readyz", hub.admin));
    ensure!(ready.send().await?.status() == 200, "it is not ready");
    hub.services()
        .await?
        .publish_numbers("chat:1", 0..50)
        .await?;
    // A poll that goes on has its connection.
    all_hear(&mut clients, 0..50).await?;

    let refused = hub.client(Transport::WebSocket, "bob", &[]).await;
    let refused = Refused::of(refused)?;
    ensure!(
        refused.status == 503 && refused.code == "unavailable" && refused.retry_after == Some(5),
        "{refused:?}"
    );
    let stream = reqwest::Client::builder().no_proxy().build()?;
    let stream = stream
        .get(hub.url("/v1/sse?channel=chat:1"))
        .header("accept", "text/event-stream");
    let (events, retry) = read_all(&stream.send().await?.error_for_status()?.bytes().await?)?;
    let close = events.last().context("no event")?;
    ensure!(
        retry >= 5000 && close.kind.as_deref() == Some("close"),
        "{events:?}"
    );

    drop(idle);
    let mut late = clients_are_taken(&hub).await?;
    hub.services()
        .await?
        .publish_numbers("chat:1", 50..60)
        .await?;
    late.numbers("chat:1", 50..60).await?;
    all_hear(&mut clients, 50..60).await?;
    drop(late);
    until("the descriptors to be given back", SOON, || async {
        // The operator's connection, and what else the test's clients keep alive.
        Ok((hub.descriptors()? <= before + 8).then_some(()))
    })
    .await
}

/// Connects to the services' side until the hub has no descriptor left; more wait to be accepted, on and on.
async fn exhaust(hub: &Hub) -> Result<Vec<TcpStream>> {
    let mut held = Vec::new();
    for _ in 0..LIMIT {
        held.push(TcpStream::connect(hub.api).await?);
    }
    until("descriptors to run out", SOON, || async {
        Ok((hub.descriptors()? >= LIMIT as usize).then_some(()))
    })
    .await?;
    Ok(held)
}

#[tokio::test]
async fn those_who_are_in_go_on_when_none_is_left_and_others_wait() -> Result<()> {
    let hub = hub().await?;
    let services = hub.services().await?;
    let mut clients = listeners(&hub).await?;
    let held = exhaust(&hub).await?;
    let mut waiting = Raw::connect(hub.clients).await?;
    let authorization = format!("Authorization: Bearer {}\r\n", hub.token("bob"));
    waiting
        .write(websocket_request("/v1/ws?channel=chat:1", &authorization).as_bytes())
        .await?;
    services.publish_numbers("chat:1", 0..50).await?;
    all_hear(&mut clients, 0..50).await?;

    let before = hub.processor_time()?;
    // waits: the time over which the processor's is measured
    tokio::time::sleep(MEASURED).await;
    let used = hub.processor_time()?.saturating_sub(before);
    ensure!(
        used < MEASURED / 5,
        "{used:?} of {MEASURED:?} were spent on accepting what cannot be accepted"
    );

    services.publish_numbers("chat:1", 50..60).await?;
    all_hear(&mut clients, 50..60).await?;
    drop(held);
    let head = waiting.head().await?;
    ensure!(head.status == 101, "{head:?}");
    let mut late = clients_are_taken(&hub).await?;
    hub.services()
        .await?
        .publish_numbers("chat:1", 60..70)
        .await?;
    late.numbers("chat:1", 60..70).await?;
    waiting.until_text("{\"n\":69}").await?;
    all_hear(&mut clients, 60..70).await
}

/// Each stream of HTTP/2 takes two, though all share a connection.
#[tokio::test]
async fn streams_of_one_connection_are_refused_by_the_same_bound() -> Result<()> {
    let hub = hub().await?;
    let http = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()?;
    let token = hub.token("alice");
    let mut streams = Vec::new();
    let refused = loop {
        let request = http.get(hub.url("/v1/sse?channel=chat:1"));
        let response = request.bearer_auth(&token).send().await?;
        if response.status() != 200 {
            break response;
        }
        streams.push(response);
        ensure!(streams.len() < LIMIT as usize, "none was refused");
    };
    ensure!(
        refused.status() == 503 && refused.headers().contains_key("retry-after"),
        "{refused:?}"
    );
    ensure!(
        hub.descriptors()? < FOR_CLIENTS + 9,
        "{} descriptors are open",
        hub.descriptors()?
    );
    hub.services()
        .await?
        .publish_numbers("chat:1", 0..1)
        .await?;
    ensure!(hub.readyz().await?.is_success(), "it is not ready");
    drop(streams);
    let mut late = clients_are_taken(&hub).await?;
    hub.services()
        .await?
        .publish_numbers("chat:1", 1..2)
        .await?;
    late.numbers("chat:1", 1..2).await
}
