//! What clients may hold up: heads, bodies, connections, the end.

use std::time::{Duration, Instant};

use switchboard_core::Limits;
use switchboard_transport::{TransportConfig, TrustedProxies};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::hub::{Hub, PATIENCE, TOKEN};
use crate::raw::Raw;

fn impatient() -> Limits {
    // A second is the least that a head is given.
    Limits {
        handshake_timeout: Duration::from_secs(1),
        ..Limits::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_slow_to_ask_is_dropped() {
    let hub = Hub::with(impatient(), TransportConfig::default(), None).await;
    for beginning in [
        "",
        "G",
        "GET /v1/sse HTTP/1.1\r\nHost: hub\r\nX-Slow: ",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut raw = Raw::connect(&hub).await;
        let begun = Instant::now();
        raw.send(beginning).await;
        raw.rest().await;
        assert!(
            begun.elapsed() < PATIENCE / 2,
            "{beginning:?} was waited for"
        );
    }
    hub.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_does_not_come_is_a_408_and_a_large_one_a_413() {
    let hub = Hub::with(impatient(), TransportConfig::default(), None).await;
    let check = async |length: usize, sent: usize, status: &str| {
        let mut raw = Raw::connect(&hub).await;
        let head = format!(
            "POST /v1/commands?key=x HTTP/1.1\r\nHost: hub\r\nContent-Length: {length}\r\n\r\n"
        );
        raw.send(head).await;
        raw.send("x".repeat(sent)).await;
        let answer = raw.rest().await;
        assert!(answer.starts_with(status), "{answer}");
    };
    check(100, 10, "HTTP/1.1 408 ").await;
    check(1024 * 1024, 1000, "HTTP/1.1 413 ").await;
    check(100_000, 100_000, "HTTP/1.1 413 ").await;
    hub.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_are_bounded_in_bytes_and_fields() {
    let hub = Hub::start().await;
    for flood in [
        format!("X-A: {}\r\n", "a".repeat(20_000)),
        "X-A: a\r\n".repeat(100),
    ] {
        let answer = Raw::ask(&hub, &format!("GET /v1/sse HTTP/1.1\r\n{flood}")).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    hub.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_to_a_flood_is_not_lost_in_a_reset() {
    let hub = Hub::start().await;
    let flood = [
        b"GET /v1/sse HTTP/1.1\r\nX-A: ".to_vec(),
        vec![b'a'; 200_000],
    ];
    let mut raw = Raw::connect(&hub).await;
    raw.send(flood.concat()).await;
    raw.until("HTTP/1.1 431 ").await;
    raw.stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    let ended = timeout(PATIENCE, raw.stream.read_to_end(&mut rest)).await;
    ended.expect("it does not end").expect("it is reset");
    hub.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn above_the_bound_connections_are_refused_until_one_goes() {
    let config = TransportConfig {
        connections_max: 1,
        ..TransportConfig::default()
    };
    let hub = Hub::with(Limits::default(), config, None).await;
    let mut first = Raw::connect(&hub).await;
    first
        .send("GET /v1/sse HTTP/1.1\r\nHost: hub\r\n\r\n")
        .await;
    first.until("HTTP/1.1 401 ").await;
    let refused = Raw::ask(&hub, "GET /v1/sse HTTP/1.1\r\n").await;
    assert!(
        refused.starts_with("HTTP/1.1 503 ") && refused.contains("retry-after: 5\r\n"),
        "{refused}"
    );
    assert_eq!(hub.clients.metrics().connections_refused.get(), 1);
    // To an event source that would be the end, so it is told in its own way.
    let events = Raw::ask(
        &hub,
        "GET /v1/sse HTTP/1.1\r\nAccept: text/event-stream\r\n",
    )
    .await;
    assert!(
        events.starts_with("HTTP/1.1 200 ")
            && events.contains("content-type: text/event-stream")
            && events.contains("\r\n\r\nretry: ")
            && events.contains("event: close\ndata: {\"code\":1013,"),
        "{events}"
    );
    // Who does not ask is told all the same.
    let mut silent = Raw::connect(&hub).await;
    assert!(silent.rest().await.starts_with("HTTP/1.1 503 "));
    // An adopted socket counts no more.
    let stream = format!("GET /v1/sse?token={TOKEN} HTTP/1.1\r\nHost: hub\r\n\r\n");
    first.send(stream).await;
    first.until("event: open").await;
    let taken = Raw::ask(&hub, "GET /v1/sse HTTP/1.1\r\n").await;
    assert!(taken.starts_with("HTTP/1.1 401 "), "{taken}");
    drop(first);
    hub.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stop_closes_idle_connections_and_lets_no_one_in() {
    let hub = Hub::start().await;
    let mut silent = Raw::connect(&hub).await;
    let mut idle = Raw::connect(&hub).await;
    idle.send("GET /v1/sse HTTP/1.1\r\nHost: hub\r\n\r\n").await;
    idle.until("HTTP/1.1 401 ").await;
    hub.stop.cancel();
    silent.rest().await;
    idle.rest().await;
    hub.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_address_is_the_peers_or_what_a_trusted_proxy_says() {
    let check = async |trusted: &[&str], expected: &str| {
        let trusted_proxies = TrustedProxies::parse(trusted).unwrap();
        let config = TransportConfig {
            trusted_proxies,
            ..TransportConfig::default()
        };
        let hub = Hub::with(Limits::default(), config, None).await;
        let mut raw = Raw::connect(&hub).await;
        let head = format!(
            "GET /v1/sse?token={TOKEN} HTTP/1.1\r\nHost: hub\r\nX-Forwarded-For: 198.51.100.7\r\n\r\n"
        );
        raw.send(head).await;
        raw.until("event: open").await;
        let sessions = hub.node.list_sessions(None, 10).await.unwrap().sessions;
        assert_eq!(
            sessions[0].client_ip.map(|ip| ip.to_string()).as_deref(),
            Some(expected)
        );
        hub.end().await;
    };
    check(&[], "127.0.0.1").await;
    check(&["127.0.0.0/8"], "198.51.100.7").await;
}
