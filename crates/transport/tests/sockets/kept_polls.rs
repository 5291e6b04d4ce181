//! Polls one after the other on one connection: the first through the HTTP library, the others without, and no client
//! can tell.

use std::collections::BTreeMap;

use serde_json::Value;
use tokio::net::TcpStream;

use crate::hub::{Hub, TOKEN};
use crate::raw::Raw;

/// A connection that polls.
struct Polls {
    raw: Raw<TcpStream>,
    key: String,
    cursor: String,
}

type Head = BTreeMap<String, String>;

impl Polls {
    async fn open(hub: &Hub, headers: &str) -> (Self, Head) {
        let raw = Raw::connect(hub).await;
        let (key, cursor) = (String::new(), String::new());
        let mut polls = Self { raw, key, cursor };
        let query = format!("channel=chat:1&token={TOKEN}&wait=0");
        let (head, batch) = polls.ask(&query, headers).await;
        assert!(batch["frames"][0]["open"].is_object(), "{batch}");
        (polls, head)
    }

    /// Polls once more.
    async fn poll(&mut self, wait_s: u32, headers: &str) -> (Head, Value) {
        let query = format!("key={}&cursor={}&wait={wait_s}", self.key, self.cursor);
        self.ask(&query, headers).await
    }

    async fn ask(&mut self, query: &str, headers: &str) -> (Head, Value) {
        let request = format!("GET /v1/poll?{query} HTTP/1.1\r\nHost: hub\r\n{headers}\r\n");
        self.raw.send(request).await;
        self.answer().await
    }

    async fn answer(&mut self) -> (Head, Value) {
        let (head, body) = response(&mut self.raw).await;
        assert_eq!(head["status"], "HTTP/1.1 200 OK", "{head:?}");
        let batch: Value = serde_json::from_str(&body).unwrap();
        batch["key"].as_str().unwrap().clone_into(&mut self.key);
        batch["cursor"]
            .as_str()
            .unwrap()
            .clone_into(&mut self.cursor);
        (head, batch)
    }

    /// Until nothing is owed.
    async fn drain(&mut self) {
        while !self.poll(0, "").await.1["frames"]
            .as_array()
            .unwrap()
            .is_empty()
        {}
    }
}

async fn response(raw: &mut Raw<TcpStream>) -> (Head, String) {
    let text = raw.until("\r\n\r\n").await;
    let mut lines = text.trim_end().split("\r\n");
    let mut head = Head::from([("status".to_owned(), lines.next().unwrap().to_owned())]);
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        let before = head.insert(name.to_ascii_lowercase(), value.to_owned());
        assert_eq!(before, None, "{name} twice");
    }
    let len = head["content-length"].parse().unwrap();
    let body = String::from_utf8(raw.exactly(len).await).unwrap();
    (head, body)
}

fn without_what_changes(mut head: Head) -> Head {
    assert!(
        head.remove("date")
            .is_some_and(|date| date.ends_with(" GMT"))
    );
    head.remove("content-length");
    head
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_head_is_the_same_whoever_writes_it() {
    let hub = Hub::start().await;
    for headers in [
        "",
        "Origin: https://app.example.com\r\n",
        "Origin: https://evil.example.com\r\n",
        "Connection: keep-alive\r\nCookie: a=b\r\n",
    ] {
        let (mut polls, first) = Polls::open(&hub, headers).await;
        let (second, _) = polls.poll(0, headers).await;
        assert_eq!(
            without_what_changes(first),
            without_what_changes(second),
            "{headers}"
        );
    }
    hub.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_carries_polls_and_everything_else_in_any_order() {
    let hub = Hub::start().await;
    let (mut polls, _) = Polls::open(&hub, "").await;
    polls.drain().await;
    for n in 0..3 {
        let command = format!(r#"{{"id":{n},"publish":{{"channel":"chat:1","data":"{n}"}}}}"#);
        let post = format!(
            "POST /v1/commands?key={} HTTP/1.1\r\nHost: hub\r\nContent-Length: {}\r\n\r\n{command}",
            polls.key,
            command.len()
        );
        polls.raw.send(post).await;
        let (head, body) = response(&mut polls.raw).await;
        assert_eq!(head["status"], "HTTP/1.1 200 OK", "{body}");
        let (_, batch) = polls.poll(10, "").await;
        assert_eq!(
            batch["frames"][0]["message"]["data"],
            n.to_string(),
            "{batch}"
        );
        polls
            .raw
            .send("GET /nowhere HTTP/1.1\r\nHost: hub\r\n\r\n")
            .await;
        let (head, _) = response(&mut polls.raw).await;
        assert_eq!(head["status"], "HTTP/1.1 404 Not Found");
    }
    hub.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_sent_ahead_and_in_pieces_are_all_answered() {
    let hub = Hub::start().await;
    let (mut polls, _) = Polls::open(&hub, "").await;
    polls.drain().await;
    let poll = format!(
        "GET /v1/poll?key={}&cursor={}&wait=0 HTTP/1.1\r\nHost: hub\r\n\r\n",
        polls.key, polls.cursor
    );
    let nowhere = "GET /nowhere HTTP/1.1\r\nHost: hub\r\n\r\n";
    // Together, with something else between them: whoever reads it, nothing is left out.
    let all = [&poll, &poll, nowhere, &poll, nowhere, &poll].concat();
    polls.raw.send(&all).await;
    for expected in ["200", "200", "404", "200", "404", "200"] {
        let (head, _) = response(&mut polls.raw).await;
        assert!(head["status"].contains(expected), "{head:?}");
    }
    for byte in poll.as_bytes() {
        polls.raw.send([*byte]).await;
    }
    polls.answer().await;
    // The next request comes while this one waits.
    let waits = poll.replace("wait=0", "wait=20");
    polls.raw.send([&waits, nowhere].concat()).await;
    hub.publish("chat:1", "\"now\"").await;
    let (_, batch) = polls.answer().await;
    assert_eq!(batch["frames"][0]["message"]["data"], "now", "{batch}");
    assert_eq!(
        response(&mut polls.raw).await.0["status"],
        "HTTP/1.1 404 Not Found"
    );
    hub.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_odd_is_answered_as_ever() {
    let hub = Hub::start().await;
    for (request, expected) in [
        (
            "GET /v1/poll?key=K&wait=x HTTP/1.1\r\nHost: hub\r\n\r\n",
            "400",
        ),
        (
            "GET /v1/poll?key=K HTTP/1.1\r\nHost: hub\r\nHost: b\r\n\r\n",
            "400",
        ),
        ("GET /v1/poll?key=K HTTP/1.1\r\n\r\n", "400"),
        ("GET /v1/poll?key=K HTTP/9.9\r\nHost: hub\r\n\r\n", "400"),
        (
            "GET /v1/poll?key=nonsense&wait=0 HTTP/1.1\r\nHost: hub\r\n\r\n",
            "410",
        ),
        ("GET /v1/poll?wait=0 HTTP/1.1\r\nHost: hub\r\n\r\n", "401"),
    ] {
        let (mut polls, _) = Polls::open(&hub, "").await;
        polls.raw.send(request).await;
        let status = polls.raw.until("\r\n").await;
        assert!(status.contains(expected), "{request:?}: {status}");
    }
    // A session that is gone is opened anew from its cursor, on the same connection.
    let (mut polls, _) = Polls::open(&hub, "").await;
    let other = Hub::start().await;
    let (mut stranger, _) = Polls::open(&other, "").await;
    let query = format!(
        "key={}&cursor={}&token={TOKEN}&wait=1",
        polls.key, polls.cursor
    );
    let (_, batch) = stranger.ask(&query, "").await;
    assert!(batch["frames"][0]["open"].is_object(), "{batch}");
    assert_ne!(stranger.key, polls.key);
    polls.drain().await;
    hub.end().await;
    other.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_that_waits_is_answered_at_the_end_and_the_connection_closed() {
    let hub = Hub::start().await;
    let (mut polls, _) = Polls::open(&hub, "").await;
    polls.drain().await;
    let poll = |wait| {
        format!(
            "GET /v1/poll?key={}&cursor={}&wait={wait} HTTP/1.1\r\nHost: hub\r\n\r\n",
            polls.key, polls.cursor
        )
    };
    // In one piece: when the first has been answered, the second has been read.
    let both = [poll(0), poll(50)].concat();
    polls.raw.send(both).await;
    polls.answer().await;
    // An idle one ends without a word.
    let (mut idle, _) = Polls::open(&hub, "").await;
    hub.stop.cancel();
    let (head, _) = polls.answer().await;
    assert_eq!(head["connection"], "close");
    assert_eq!(polls.raw.rest().await, "");
    assert_eq!(idle.raw.rest().await, "");
    hub.end().await;
}
