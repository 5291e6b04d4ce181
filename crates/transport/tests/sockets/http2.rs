//! HTTP/2 without TLS, by prior knowledge: event streams, and WebSockets by extended CONNECT (RFC 8441).

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::{Method, Request, StatusCode, Version};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::hub::{Hub, PATIENCE, TOKEN};
use crate::raw::masked;

async fn connect(hub: &Hub) -> SendRequest<Bytes> {
    let tcp = TcpStream::connect(hub.address).await.unwrap();
    let (client, connection) = h2::client::handshake(tcp).await.unwrap();
    tokio::spawn(connection);
    let client = client.ready().await.unwrap();
    let enabled = timeout(PATIENCE, async {
        // Said by the hub's settings, which must have come before a CONNECT is sent.
        while !client.is_extended_connect_protocol_enabled() {
            tokio::task::yield_now().await;
        }
    });
    enabled.await.expect("extended CONNECT is not offered");
    client
}

fn request(hub: &Hub, method: Method, path: &str) -> Request<()> {
    let uri = format!("http://{}{path}", hub.address);
    let request = Request::builder()
        .version(Version::HTTP_2)
        .method(method)
        .uri(uri);
    request
        .header("sec-websocket-version", "13")
        .body(())
        .unwrap()
}

/// Reads until what was read in all holds `end`.
async fn until(body: &mut RecvStream, read: &mut Vec<u8>, end: &str) {
    let found = timeout(PATIENCE, async {
        while !read.windows(end.len()).any(|part| part == end.as_bytes()) {
            let data = body.data().await.expect("the stream ended").unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            read.extend_from_slice(&data);
        }
    });
    let shown = |read: &[u8]| String::from_utf8_lossy(read).into_owned();
    found
        .await
        .unwrap_or_else(|_| panic!("{end:?} did not come: {}", shown(read)));
}

async fn open_tunnel(
    hub: &Hub,
    client: &mut SendRequest<Bytes>,
) -> (SendStream<Bytes>, RecvStream) {
    let mut connect = request(
        hub,
        Method::CONNECT,
        &format!("/v1/ws?channel=chat:1&token={TOKEN}"),
    );
    connect
        .extensions_mut()
        .insert(h2::ext::Protocol::from_static("websocket"));
    let (response, send) = client.send_request(connect, false).unwrap();
    let response = timeout(PATIENCE, response).await.unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    (send, response.into_body())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_stream_lives_as_long_as_its_stream() {
    let hub = Hub::start().await;
    let mut client = connect(&hub).await;
    let get = request(
        &hub,
        Method::GET,
        &format!("/v1/sse?channel=chat:1&token={TOKEN}"),
    );
    let (response, _) = client.send_request(get, true).unwrap();
    let response = timeout(PATIENCE, response).await.unwrap().unwrap();
    assert_eq!(
        response.headers()["content-type"],
        "text/event-stream; charset=utf-8"
    );
    let (mut body, mut read) = (response.into_body(), Vec::new());
    until(&mut body, &mut read, "event: subscribed\n").await;
    hub.publish("chat:1", r#""hello""#).await;
    until(&mut body, &mut read, r#""data":"hello""#).await;
    let text = String::from_utf8(read).unwrap();
    assert!(
        text.starts_with(":\n") || text.starts_with("retry: "),
        "not bare: {text}"
    );
    // The client resets the stream; the connection stays.
    drop(body);
    hub.sessions(0).await;
    hub.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_by_extended_connect_carries_frames_both_ways() {
    let hub = Hub::start().await;
    let mut client = connect(&hub).await;
    let (mut send, mut body) = open_tunnel(&hub, &mut client).await;
    let mut read = Vec::new();
    until(&mut body, &mut read, r#"{"subscribed":"#).await;
    assert_eq!(read[0], 0x81, "a text frame is first");
    send.send_data(Bytes::from(masked(r#"{"id":1,"ping":{}}"#)), false)
        .unwrap();
    until(&mut body, &mut read, r#"{"reply":{"id":1,"ping":"#).await;
    hub.publish("chat:1", r#""hello""#).await;
    until(&mut body, &mut read, r#""data":"hello""#).await;
    // The client says goodbye (1000), is answered, and the stream ends.
    send.send_data(
        Bytes::from_static(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]),
        false,
    )
    .unwrap();
    let rest = timeout(PATIENCE, async {
        let mut rest = Vec::new();
        while let Some(data) = body.data().await {
            rest.extend_from_slice(&data.unwrap());
        }
        rest
    });
    let rest = rest.await.expect("the stream does not end");
    assert!(rest.windows(2).any(|part| part == [0x03, 0xe8]), "{rest:?}");
    hub.sessions(0).await;
    hub.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_go_with_their_connection() {
    let hub = Hub::start().await;
    let mut client = connect(&hub).await;
    let tunnels = [
        open_tunnel(&hub, &mut client).await,
        open_tunnel(&hub, &mut client).await,
    ];
    hub.sessions(2).await;
    drop((tunnels, client));
    hub.sessions(0).await;
    hub.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_as_by_http_1() {
    let hub = Hub::start().await;
    let mut client = connect(&hub).await;
    let mut check = async |request: Request<()>, status: u16| {
        let (response, _) = client.send_request(request, true).unwrap();
        let response = timeout(PATIENCE, response).await.unwrap().unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
    };
    check(request(&hub, Method::GET, "/v1/ws?token=bad"), 401).await;
    check(
        request(&hub, Method::GET, &format!("/v1/ws?token={TOKEN}")),
        426,
    )
    .await;
    check(request(&hub, Method::GET, "/v1/sse"), 401).await;
    check(request(&hub, Method::POST, "/v1/sse"), 405).await;
    let mut other = request(&hub, Method::CONNECT, &format!("/v1/ws?token={TOKEN}"));
    other
        .extensions_mut()
        .insert(h2::ext::Protocol::from_static("connect-udp"));
    check(other, 426).await;
    hub.end().await;
}
