//! What is refused, how, and that nothing comes of it.

use crate::hub::{Hub, TOKEN};
use crate::raw::{Raw, upgrade};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_get_is_told_why_the_upgrade_failed() {
    let hub = Hub::start().await;
    let check = async |query: &str, status: &str, code: &str| {
        let path = format!("/v1/ws?{query}");
        let mut raw = Raw::connect(&hub).await;
        raw.send(upgrade(&path, "").replace("Connection: Upgrade", "Connection: Upgrade, close"))
            .await;
        let upgraded = raw.rest().await;
        let plain = Raw::ask(&hub, &format!("GET {path} HTTP/1.1\r\n")).await;
        for answer in [upgraded, plain] {
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{query}: {answer}"
            );
            assert!(
                answer.contains(&format!("\"code\":\"{code}\"")),
                "{query}: {answer}"
            );
            assert!(
                answer.contains("application/problem+json") && !answer.contains(TOKEN),
                "{answer}"
            );
        }
    };
    check("", "401", "unauthenticated").await;
    check("token=bad", "401", "unauthenticated").await;
    check(
        &format!("token={TOKEN}&channel=news:1"),
        "404",
        "unknown_namespace",
    )
    .await;
    check(
        &format!("token={TOKEN}&channel=chat"),
        "403",
        "permission_denied",
    )
    .await;
    check(&format!("token={TOKEN}&rewind=x"), "400", "bad_request").await;
    let fine = Raw::ask(&hub, &format!("GET /v1/ws?token={TOKEN} HTTP/1.1\r\n")).await;
    assert!(
        fine.starts_with("HTTP/1.1 426 ") && fine.contains("upgrade: websocket\r\n"),
        "{fine}"
    );
    assert!(fine.contains("sec-websocket-version: 13\r\n"), "{fine}");
    assert_eq!(hub.node.sessions(), 0, "places are given back");
    hub.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_that_will_pass_is_a_stream_to_an_event_source() {
    let hub = Hub::start().await;
    hub.node.refuse_sessions();
    let line = format!("GET /v1/sse?token={TOKEN} HTTP/1.1\r\n");
    let plain = Raw::ask(&hub, &line).await;
    assert!(
        plain.starts_with("HTTP/1.1 503 ") && plain.contains("retry-after: 1\r\n"),
        "{plain}"
    );
    let events = Raw::ask(&hub, &format!("{line}Accept: text/event-stream\r\n")).await;
    let (head, body) = events.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("HTTP/1.1 200 ") && head.contains("text/event-stream"),
        "{events}"
    );
    assert!(body.starts_with("retry: "), "{body}");
    assert!(
        body.contains("event: close\ndata: {\"code\":1013,"),
        "{body}"
    );
    assert!(
        body.contains("\"reconnect\":true,\"reconnect_after\":") && body.ends_with("\n\n"),
        "{body}"
    );
    // What will not pass stays a status.
    let denied = Raw::ask(
        &hub,
        "GET /v1/sse?token=bad HTTP/1.1\r\nAccept: text/event-stream\r\n",
    )
    .await;
    assert!(
        denied.starts_with("HTTP/1.1 401 ") && denied.contains("www-authenticate: Bearer\r\n"),
        "{denied}"
    );
    hub.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn methods_and_paths_that_are_not_there_are_problems() {
    let hub = Hub::start().await;
    for (line, status) in [
        ("GET / HTTP/1.1\r\n", "404"),
        ("HEAD /v1/sse HTTP/1.1\r\n", "405"),
        ("POST /v1/ws HTTP/1.1\r\nContent-Length: 0\r\n", "405"),
        ("GET /v1/commands HTTP/1.1\r\n", "405"),
        ("POST /v1/commands HTTP/1.1\r\nContent-Length: 0\r\n", "400"),
        (
            "POST /v1/commands?key=x HTTP/1.1\r\nContent-Length: 0\r\n",
            "410",
        ),
        (
            "POST /v1/commands?key=x HTTP/1.1\r\nContent-Length: 0\r\nContent-Encoding: gzip\r\n",
            "415",
        ),
    ] {
        let answer = Raw::ask(&hub, line).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{line}: {answer}"
        );
        assert!(
            answer.contains("application/problem+json")
                && answer.contains("cache-control: no-store"),
            "{answer}"
        );
    }
    assert_eq!(hub.node.sessions(), 0);
    hub.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_last_event_id_that_cannot_be_read_is_a_gap_and_a_cursor_is_refused() {
    let hub = Hub::start().await;
    let good = {
        let mut raw = Raw::connect(&hub).await;
        let path = format!("/v1/sse?channel=chat:1&token={TOKEN}");
        raw.send(format!("GET {path} HTTP/1.1\r\nHost: hub\r\n\r\n"))
            .await;
        raw.until("event: subscribed").await;
        hub.publish("chat:1", "1").await;
        let head = raw.until("\"offset\":1").await;
        let (_, id) = head.rsplit_once("id: ").unwrap();
        id.split('\n').next().unwrap().trim_end().to_owned()
    };
    let line = format!("GET /v1/sse?channel=chat:1&channel=chat:2&token={TOKEN}");
    let open = async |headers: &[u8]| {
        let mut raw = Raw::connect(&hub).await;
        let head =
            format!("{line}&rewind=5 HTTP/1.1\r\nHost: hub\r\nAccept: text/event-stream\r\n");
        raw.send([head.as_bytes(), headers, b"\r\n"].concat()).await;
        let head = raw.until("\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        raw
    };
    let cut = format!("Last-Event-ID: {}\r\n", &good[..good.len() - 2]);
    let long = format!("Last-Event-ID: {}\r\n", "A".repeat(7000));
    for unreadable in [
        &b"Last-Event-ID: 42\r\n"[..],
        b"Last-Event-ID: /w\r\n",
        b"Last-Event-ID: caf\xe9\r\n",
        cut.as_bytes(),
        long.as_bytes(),
    ] {
        let mut raw = open(unreadable).await;
        for channel in ["chat:1", "chat:2"] {
            let told = raw.until("event: gap\ndata: ").await;
            assert!(!told.contains("\"recovered\":true"), "{told}");
            let gap = raw.until("\n").await;
            assert!(
                gap.contains(&format!("\"channel\":\"{channel}\""))
                    && gap.contains("epoch_changed"),
                "{gap}"
            );
        }
        // From there it goes on: the id that comes is one to come back with.
        hub.publish("chat:2", "\"after\"").await;
        raw.until("\"data\":\"after\"").await;
    }
    // One that can be read is one to resume from, and none is no loss.
    let mut raw = open(format!("Last-Event-ID: {good}\r\n").as_bytes()).await;
    let told = raw.until("\"recovered\":true").await;
    assert!(!told.contains("event: gap"), "{told}");
    let mut raw = open(b"Last-Event-ID:\r\n").await;
    hub.publish("chat:1", "\"last\"").await;
    let told = raw.until("\"data\":\"last\"").await;
    assert!(!told.contains("event: gap"), "{told}");
    let answer = Raw::ask(&hub, &format!("{line}&cursor=42 HTTP/1.1\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    drop(raw);
    hub.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_names_one_host_and_has_one_length() {
    let hub = Hub::start().await;
    let check = async |head: &str, status: &str| {
        let mut raw = Raw::connect(&hub).await;
        raw.send(format!(
            "{head}\r\nGET /smuggled HTTP/1.1\r\nHost: hub\r\n\r\n"
        ))
        .await;
        let answers = raw.rest().await;
        assert!(
            answers.starts_with(&format!("HTTP/1.1 {status} ")),
            "{head}: {answers}"
        );
        let count = answers.matches("HTTP/1.1 ").count();
        assert_eq!(count, 1, "what follows was answered: {answers}");
    };
    let post = "POST /v1/commands?key=x HTTP/1.1\r\nHost: hub\r\n";
    check("GET /v1/sse HTTP/1.1\r\n", "400").await;
    check("GET /v1/sse HTTP/1.1\r\nHost: a\r\nHost: b\r\n", "400").await;
    check(
        &format!("{post}Content-Length: 4\r\nContent-Length: 5\r\n"),
        "400",
    )
    .await;
    check(&format!("{post}Content-Length: +4\r\n"), "400").await;
    check(
        &format!("{post}Transfer-Encoding: chunked, identity\r\n"),
        "400",
    )
    .await;
    check("GET /v1/sse HTTP/1.1\r\nHost : hub\r\n", "400").await;
    check("GET /v1/sse HTTP/1.1\r\nHost: hub\r\nA: b\r\n c\r\n", "400").await;
    // Both lengths: the chunks count, and the connection is not gone on with.
    let both = format!("{post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
    check(&both, "410").await;
    hub.end().await;
}
