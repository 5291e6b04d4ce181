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
