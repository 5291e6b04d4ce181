//! HTTP/1: sockets that leave HTTP with nothing lost on either side of the seam.

use crate::hub::{Hub, TOKEN};
use crate::raw::{Raw, masked, upgrade};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_stream_is_well_formed_chunks_from_the_first_byte() {
    let hub = Hub::start().await;
    let mut raw = Raw::connect(&hub).await;
    raw.send(&format!(
        "GET /v1/sse?channel=chat:1&token={TOKEN} HTTP/1.1\r\nHost: hub\r\n\r\n"
    ))
    .await;
    let head = raw.until("\r\n\r\n").await.to_lowercase();
    assert!(head.starts_with("http/1.1 200 ok\r\n"), "{head}");
    for line in [
        "content-type: text/event-stream; charset=utf-8\r\n",
        "cache-control: no-store\r\n",
        "x-accel-buffering: no\r\n",
        "transfer-encoding: chunked\r\n",
    ] {
        assert!(head.contains(line), "{line:?} is not in {head}");
    }
    let mut events = String::new();
    while !events.contains("event: subscribed") {
        events += &chunk(&mut raw).await;
    }
    assert!(events.contains("event: open\ndata: {"), "{events}");
    hub.publish("chat:1", r#""hello""#).await;
    while !events.contains(r#""data":"hello""#) {
        events += &chunk(&mut raw).await;
    }
    hub.node.shutdown().await;
    while !chunk(&mut raw).await.is_empty() {}
    assert_eq!(raw.rest().await, "", "nothing comes after the last chunk");
    hub.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_stream_by_http_1_0_is_bare_and_ends_with_the_connection() {
    let hub = Hub::start().await;
    let mut raw = Raw::connect(&hub).await;
    raw.send(&format!(
        "GET /v1/sse?channel=chat:1&token={TOKEN} HTTP/1.0\r\n\r\n"
    ))
    .await;
    let head = raw.until("\r\n\r\n").await.to_lowercase();
    assert!(
        head.contains(" 200 ") && !head.contains("transfer-encoding"),
        "{head}"
    );
    let first = raw.until("event: subscribed\n").await;
    assert!(
        first.starts_with(":\n") || first.starts_with("retry: "),
        "{first}"
    );
    hub.publish("chat:1", r#""hello""#).await;
    raw.until(r#""data":"hello""#).await;
    hub.node.shutdown().await;
    assert!(raw.rest().await.contains("event: close\n"));
    hub.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_serves_requests_before_it_becomes_a_stream() {
    let hub = Hub::start().await;
    let mut raw = Raw::connect(&hub).await;
    // All at once: the later requests are in hyper's buffer when the first is answered.
    let requests = format!(
        "GET /nowhere HTTP/1.1\r\nHost: hub\r\n\r\n\
         GET /v1/sse HTTP/1.1\r\nHost: hub\r\n\r\n\
         GET /v1/sse?token={TOKEN} HTTP/1.1\r\nHost: hub\r\n\r\n"
    );
    raw.send(requests).await;
    raw.until("HTTP/1.1 404 Not Found").await;
    raw.until("HTTP/1.1 401 Unauthorized").await;
    raw.until("HTTP/1.1 200 OK").await;
    raw.until("event: open").await;
    drop(raw);
    hub.sessions(0).await;
    hub.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_sent_with_the_upgrade_are_not_lost() {
    let hub = Hub::start().await;
    let mut raw = Raw::connect(&hub).await;
    let mut bytes = upgrade(&format!("/v1/ws?token={TOKEN}"), "").into_bytes();
    bytes.extend(masked(r#"{"id":1,"ping":{}}"#));
    let last = bytes.split_off(bytes.len() - 5);
    raw.send(bytes).await;
    let head = raw.until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(
        head.to_lowercase()
            .contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="),
        "{head}"
    );
    assert!(raw.frame().await.1.starts_with(r#"{"open":{"#));
    // The rest of the frame comes when its beginning has gone through the seam.
    raw.send(last).await;
    let (first_byte, reply) = raw.frame().await;
    assert_eq!(first_byte, 0x81);
    assert!(
        reply.starts_with(r#"{"reply":{"id":1,"ping":{"time":"#),
        "{reply}"
    );
    hub.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terms_are_agreed_on_and_a_token_is_never_echoed() {
    let hub = Hub::start().await;
    let check = async |more: &str, subprotocol: Option<&str>, deflates: bool| {
        let mut raw = Raw::connect(&hub).await;
        raw.send(upgrade("/v1/ws", more)).await;
        let head = raw.until("\r\n\r\n").await.to_lowercase();
        assert!(head.starts_with("http/1.1 101 "), "{head}");
        let line = subprotocol.map(|name| format!("sec-websocket-protocol: {name}\r\n"));
        match line {
            Some(line) => assert!(head.contains(&line), "{head}"),
            None => assert!(!head.contains("sec-websocket-protocol"), "{head}"),
        }
        assert_eq!(
            head.contains("sec-websocket-extensions: permessage-deflate"),
            deflates,
            "{head}"
        );
        assert!(!head.contains(TOKEN), "{head}");
    };
    let token = format!("switchboard.token.{TOKEN}");
    check(&format!("Sec-WebSocket-Protocol: {token}\r\n"), None, false).await;
    check(
        &format!("Sec-WebSocket-Protocol: {token}, switchboard.v1.protobuf\r\n"),
        Some("switchboard.v1.protobuf"),
        false,
    )
    .await;
    check(
        &format!(
            "Sec-WebSocket-Protocol: x, switchboard.v1.json\r\nSec-WebSocket-Protocol: {token}\r\n\
             Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
        ),
        Some("switchboard.v1.json"),
        true,
    )
    .await;
    hub.end().await;
}

/// Reads one chunk; the last one is empty.
async fn chunk(raw: &mut Raw<tokio::net::TcpStream>) -> String {
    let size = raw.until("\r\n").await;
    let size = usize::from_str_radix(size.trim_end(), 16)
        .unwrap_or_else(|_| panic!("{size:?} is no chunk size"));
    let mut content = raw.exactly(size + 2).await;
    assert!(content.ends_with(b"\r\n"), "a chunk is longer than it says");
    content.truncate(size);
    String::from_utf8(content).unwrap()
}
