//! Polls and POSTs.

use serde_json::Value;

use crate::hub::{Hub, TOKEN};
use crate::raw::Raw;

fn body(answer: &str) -> Value {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("HTTP/1.1 200 ") && head.contains("cache-control: no-store"),
        "{answer}"
    );
    serde_json::from_str(body).unwrap()
}

async fn poll(hub: &Hub, query: &str) -> Value {
    body(&Raw::ask(hub, &format!("GET /v1/poll?{query} HTTP/1.1\r\n")).await)
}

fn field<'a>(batch: &'a Value, name: &str) -> &'a str {
    batch[name].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_opened_polled_commanded_and_resumed_elsewhere() {
    let hub = Hub::start().await;
    let first = poll(&hub, &format!("channel=chat:1&token={TOKEN}")).await;
    assert!(first["frames"][0]["open"].is_object(), "{first}");
    let (key, cursor) = (field(&first, "key"), field(&first, "cursor"));

    let command = r#"{"id":5,"publish":{"channel":"chat:1","data":"one"}}"#;
    let mut raw = Raw::connect(&hub).await;
    let head = format!(
        "POST /v1/commands?key={key} HTTP/1.1\r\nHost: hub\r\nContent-Length: {}\r\n\r\n",
        command.len()
    );
    raw.send(format!("{head}{command}")).await;
    raw.until("content-type: application/x-ndjson").await;
    raw.until(r#"{"reply":{"id":5,"publish":{"position":"#)
        .await;

    let mut got = Vec::new();
    let mut at = cursor.to_owned();
    while got.is_empty() {
        let batch = poll(&hub, &format!("key={key}&cursor={at}&wait=5")).await;
        got = messages(&batch);
        at = field(&batch, "cursor").to_owned();
    }
    assert_eq!(got, ["one"]);

    // Another hub does not know the key. This one has no history of that epoch, so it says so by a gap.
    let other = Hub::start().await;
    let query = format!("key={key}&cursor={at}&token={TOKEN}&wait=1");
    let resumed = poll(&other, &query).await;
    assert_ne!(field(&resumed, "key"), key);
    assert!(resumed["frames"][0]["open"].is_object(), "{resumed}");
    let refused = Raw::ask(
        &other,
        &format!("GET /v1/poll?key={key}&cursor={at} HTTP/1.1\r\n"),
    )
    .await;
    assert!(refused.starts_with("HTTP/1.1 410 "), "{refused}");
    let refused = Raw::ask(
        &other,
        &format!("GET /v1/poll?key={key}&token={TOKEN} HTTP/1.1\r\n"),
    )
    .await;
    assert!(refused.starts_with("HTTP/1.1 410 "), "{refused}");
    let refused = Raw::ask(
        &other,
        &format!("GET /v1/poll?key={key}&cursor=! HTTP/1.1\r\n"),
    )
    .await;
    assert!(refused.starts_with("HTTP/1.1 400 "), "{refused}");
    other.end().await;
    drop(raw);
    hub.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_that_waits_is_answered_when_the_hub_stops() {
    let hub = Hub::start().await;
    let first = poll(&hub, &format!("channel=chat:1&token={TOKEN}&wait=0")).await;
    let (key, mut at) = (
        field(&first, "key").to_owned(),
        field(&first, "cursor").to_owned(),
    );
    // Until nothing is owed, so that the next poll waits.
    loop {
        let batch = poll(&hub, &format!("key={key}&cursor={at}&wait=0.2")).await;
        at = field(&batch, "cursor").to_owned();
        if batch["frames"].as_array().unwrap().is_empty() {
            break;
        }
    }
    let mut raw = Raw::connect(&hub).await;
    // In one piece: when the first request has been answered, the head of the second has been read.
    raw.send(format!(
        "GET /nowhere HTTP/1.1\r\nHost: hub\r\n\r\n\
         GET /v1/poll?key={key}&cursor={at}&wait=50 HTTP/1.1\r\nHost: hub\r\n\r\n"
    ))
    .await;
    raw.until("/v1/commands\"}").await;
    hub.stop.cancel();
    let batch = body(&raw.rest().await);
    assert_eq!(batch["frames"], serde_json::json!([]));
    hub.end().await;
}

fn messages(batch: &Value) -> Vec<String> {
    let frames = batch["frames"].as_array().unwrap();
    let data = frames
        .iter()
        .filter_map(|frame| frame["message"]["data"].as_str());
    data.map(str::to_owned).collect()
}
