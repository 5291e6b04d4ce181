//! Every bound holds, says so in its own words, and harms nobody else.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use serde_json::json;
use switchboard_tests::client::Refused;
use switchboard_tests::raw::{Out, Raw, opcode};
use switchboard_tests::services::item;
use switchboard_tests::waiting::until;
use switchboard_tests::{Hub, Transport, every_transport};

every_transport!(
    a_command_that_is_too_long_is_refused,
    a_payload_that_is_too_long_is_refused,
    subscriptions_of_a_session_are_bounded,
    channels_are_as_many_as_a_cursor_holds,
    sessions_of_the_node_are_bounded,
    sessions_of_a_user_are_bounded,
    commands_at_ten_times_the_rate_are_refused_and_others_unharmed,
);

async fn a_command_that_is_too_long_is_refused(transport: Transport) -> Result<()> {
    let hub = Hub::start_with(|config| {
        config.set("limits.command_bytes_max", "2048");
    })
    .await?;
    let mut client = hub.client(transport, "alice", &["chat:1"]).await?;
    ensure!(
        client.open["limits"]["command_bytes_max"] == 2048,
        "{}",
        client.open
    );
    let line =
        json!({"id": 1, "publish": {"channel": "chat:1", "data": "x".repeat(2048)}}).to_string();
    match client.send_raw(line).await? {
        None => {
            let (ended, _) = client.end(Duration::from_secs(10)).await?;
            ensure!(ended.code == Some(1009), "{ended:?}");
        }
        Some((status, body)) => {
            ensure!(
                status == 413 && body.contains("payload_too_large"),
                "{status} {body}"
            );
            client.command("ping", json!({})).await?;
        }
    }
    Ok(())
}

async fn a_payload_that_is_too_long_is_refused(transport: Transport) -> Result<()> {
    let hub = Hub::start_with(|config| {
        config.set("limits.payload_bytes_max", "100");
    })
    .await?;
    let mut client = hub.client(transport, "alice", &["chat:1"]).await?;
    let fields = |length| json!({"channel": "chat:1", "data": "x".repeat(length)});
    client
        .refused("publish", fields(200), "payload_too_large")
        .await?;
    client.command("publish", fields(98)).await?;
    let message = client.await_kind("message").await?;
    ensure!(message.offset() == 1, "{message:?}");
    Ok(())
}

async fn subscriptions_of_a_session_are_bounded(transport: Transport) -> Result<()> {
    let hub = Hub::start_with(|config| {
        config
            .set("limits.subscriptions_per_session_max", "2")
            .set("limits.opening_channels_max", "2");
    })
    .await?;
    let mut client = hub.client(transport, "alice", &["chat:1"]).await?;
    ensure!(
        client.open["limits"]["subscriptions_max"] == 2,
        "{}",
        client.open
    );
    client
        .command("subscribe", json!({"channel": "chat:2"}))
        .await?;
    client
        .refused("subscribe", json!({"channel": "chat:3"}), "limit_exceeded")
        .await?;
    client
        .command("unsubscribe", json!({"channel": "chat:2"}))
        .await?;
    client
        .command("subscribe", json!({"channel": "chat:3"}))
        .await?;

    let refused = Refused::of(
        hub.client(transport, "bob", &["chat:1", "chat:2", "chat:3"])
            .await,
    )?;
    ensure!(
        refused.status == 400 && refused.code == "limit_exceeded",
        "{refused:?}"
    );
    Ok(())
}

async fn channels_are_as_many_as_a_cursor_holds(transport: Transport) -> Result<()> {
    const FIT: usize = 22;
    let names: Vec<String> = (0..=FIT).map(|n| format!("chat:{n:0245}")).collect();
    let named = |count: usize| names.iter().take(count).map(String::as_str).collect();
    let opening: Vec<&str> = named(10);
    let too_many: Vec<&str> = named(FIT + 1);
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    let mut client = hub.client(transport, "alice", &opening).await?;
    for name in &names[10..FIT] {
        client
            .command("subscribe", json!({"channel": name}))
            .await?;
    }
    let last = json!({"channel": names[FIT]});
    if transport == Transport::WebSocket {
        // Its client has the positions themselves.
        client.command("subscribe", last).await?;
        hub.client(transport, "bob", &too_many).await?;
        return Ok(());
    }
    client
        .refused("subscribe", last.clone(), "limit_exceeded")
        .await?;
    for name in &names[..FIT] {
        services.publish_numbers(name, 0..1).await?;
        client.numbers(name, 0..1).await?;
    }
    let place = client.drop_abruptly();
    services.publish_numbers(&names[FIT - 1], 1..2).await?;
    let mut client = place.resume(&hub, transport).await?;
    client.numbers(&names[FIT - 1], 1..2).await?;
    for name in &names[..FIT] {
        ensure!(client.recovered(name), "{name} was not resumed");
    }
    client
        .refused("subscribe", last.clone(), "limit_exceeded")
        .await?;
    client
        .command("unsubscribe", json!({"channel": names[0]}))
        .await?;
    client.command("subscribe", last).await?;

    let refused = Refused::of(hub.client(transport, "bob", &too_many).await)?;
    ensure!(
        refused.status == 400 && refused.code == "limit_exceeded",
        "{refused:?}"
    );
    Ok(())
}

async fn sessions_of_the_node_are_bounded(transport: Transport) -> Result<()> {
    let hub = Hub::start_with(|config| {
        config
            .set("limits.sessions_max", "2")
            .set("limits.poll_linger_s", "0.5");
    })
    .await?;
    let services = hub.services().await?;
    let first = hub.client(Transport::WebSocket, "first", &[]).await?;
    let mut second = hub.client(Transport::Sse, "second", &["chat:1"]).await?;
    let third = hub.client(transport, "third", &[]).await;
    if transport == Transport::Sse {
        // To an event stream it is a stream that ends, with a time to come back at.
        let error = third.err().context("a third was let in")?;
        ensure!(format!("{error:#}").contains("1013"), "{error:#}");
    } else {
        let refused = Refused::of(third)?;
        ensure!(
            refused.status == 503 && refused.code == "unavailable",
            "{refused:?}"
        );
        ensure!(
            refused.retry_after.is_some_and(|seconds| seconds > 0),
            "{refused:?}"
        );
    }
    services.publish_numbers("chat:1", 0..3).await?;
    second.numbers("chat:1", 0..3).await?;

    first.leave().await?;
    hub.await_metric("sessions", |count| count < 1.5).await?;
    until("a place for a third", Duration::from_secs(10), || async {
        Ok(hub.client(transport, "third", &[]).await.ok())
    })
    .await?;
    Ok(())
}

async fn sessions_of_a_user_are_bounded(transport: Transport) -> Result<()> {
    let hub = Hub::start_with(|config| {
        config.set("limits.sessions_per_user_max", "2");
    })
    .await?;
    let _first = hub.client(Transport::WebSocket, "alice", &[]).await?;
    let _second = hub.client(Transport::WebSocket, "alice", &[]).await?;
    if transport == Transport::Sse {
        let error = hub
            .client(transport, "alice", &[])
            .await
            .err()
            .context("a third was let in")?;
        ensure!(format!("{error:#}").contains("1013"), "{error:#}");
    } else {
        let refused = Refused::of(hub.client(transport, "alice", &[]).await)?;
        ensure!(
            refused.status == 429 && refused.code == "limit_exceeded",
            "{refused:?}"
        );
        ensure!(refused.retry_after.is_some(), "{refused:?}");
    }
    hub.client(transport, "bob", &[]).await?;
    Ok(())
}

async fn commands_at_ten_times_the_rate_are_refused_and_others_unharmed(
    transport: Transport,
) -> Result<()> {
    let hub = Hub::start_with(|config| {
        config
            .set("limits.commands_per_second_max", "5")
            .set("limits.command_burst_max", "10");
    })
    .await?;
    let mut greedy = hub.client(transport, "greedy", &[]).await?;
    let mut modest = hub.client(transport, "modest", &[]).await?;
    let (mut done, mut refused) = (0, Vec::new());
    for _ in 0..100 {
        match greedy.ask("ping", json!({})).await? {
            Ok(_) => done += 1,
            Err(error) => refused.push(error),
        }
    }
    // The burst, and what came in during the time that the hundred took.
    ensure!(
        done >= 10 && refused.len() > 30,
        "{done} were taken, {} refused",
        refused.len()
    );
    for error in &refused {
        ensure!(
            error["code"] == "rate_limited" && error["retryable"] == true,
            "{error}"
        );
        ensure!(
            error["retry_after"]
                .as_u64()
                .is_some_and(|wait| (1..=1000).contains(&wait)),
            "{error}"
        );
    }
    modest.command("ping", json!({})).await?;
    let allowed = Instant::now() + Duration::from_secs(5);
    while greedy.ask("ping", json!({})).await?.is_err() {
        ensure!(
            Instant::now() < allowed,
            "the rate never allows another command"
        );
    }
    Ok(())
}

#[tokio::test]
async fn bounds_of_publications_bodies_and_fragments_are_those_configured() -> Result<()> {
    let hub = Hub::start_with(|config| {
        config
            .set("limits.publication_id_bytes_max", "16")
            .set("limits.tags_max", "1")
            .set("limits.tags_bytes_max", "8")
            .set("limits.commands_per_body_max", "2")
            .set("limits.fragments_max", "2");
    })
    .await?;
    let services = hub.services().await?;
    let tagged = |id: usize, tags: &[(&str, &str)]| {
        let mut item = item("chat:1", &json!(1));
        item.id = "x".repeat(id);
        let tags = tags.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        item.tags = tags.collect();
        services.publish_item(item)
    };
    tagged(16, &[("a", "1234567")]).await?;
    for (id, tags) in [
        (17, &[][..]),
        (1, &[("a", "12345678")]),
        (1, &[("a", ""), ("b", "")]),
    ] {
        let refused = tagged(id, tags).await.err().context("it was published")?;
        let status = refused.downcast::<tonic::Status>()?;
        ensure!(status.code() == tonic::Code::InvalidArgument, "{status:?}");
    }

    let mut sse = hub.client(Transport::Sse, "alice", &["chat:1"]).await?;
    let publish = |id: usize| json!({"channel": "chat:1", "data": 1, "id": "y".repeat(id)});
    sse.command("publish", publish(16)).await?;
    sse.refused("publish", publish(17), "bad_request").await?;
    let ping = "{\"id\":1,\"ping\":{}}\n";
    let (status, _) = sse.send_raw(ping.repeat(2)).await?.context("no answer")?;
    ensure!(status == 200, "{status}");
    let (status, body) = sse.send_raw(ping.repeat(3)).await?.context("no answer")?;
    ensure!(
        status == 413 && body.contains("more than 2 commands"),
        "{status} {body}"
    );

    let bearer = format!("Authorization: Bearer {}\r\n", hub.token("bob"));
    let (mut raw, _) = Raw::websocket(hub.clients, "/v1/ws", &bearer).await?;
    raw.send(&Out::new(opcode::TEXT, "{\"id\":1,").unfinished())
        .await?;
    raw.send(&Out::new(opcode::CONTINUATION, "\"ping\":{}}"))
        .await?;
    raw.until_text("ping").await?;
    raw.send(&Out::new(opcode::TEXT, "").unfinished()).await?;
    let second = Out::new(opcode::CONTINUATION, "").unfinished();
    raw.send(&second).await?;
    raw.send(&second).await?;
    raw.closed(1008).await
}

#[tokio::test]
async fn requests_that_never_end_are_cut_off_and_others_unharmed() -> Result<()> {
    let hub = Hub::start_with(|config| {
        config.set("limits.handshake_timeout_s", "0.6");
    })
    .await?;
    let mut connections = Vec::new();
    for n in 0..150 {
        let mut raw = Raw::connect(hub.clients).await?;
        let part = match n % 3 {
            0 => "",
            1 => "GET /v1/ws HTTP/1.1\r\nHost: x\r\n",
            _ => "GET /v1/sse?channel=chat:1 HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        };
        raw.write(part.as_bytes()).await?;
        connections.push(raw);
    }
    let mut client = hub
        .client(Transport::WebSocket, "alice", &["chat:1"])
        .await?;
    hub.services()
        .await?
        .publish_numbers("chat:1", 0..1)
        .await?;
    client.numbers("chat:1", 0..1).await?;
    try_join_all(
        connections
            .iter_mut()
            .map(|raw| raw.rest(Duration::from_secs(8))),
    )
    .await?;
    client.command("ping", json!({})).await?;
    Ok(())
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() -> Result<()> {
    let hub = Hub::start().await?;
    let many = "X-Many: 1\r\n".repeat(100);
    let long = format!("X-Long: {}\r\n", "x".repeat(20 * 1024));
    for flood in [many, long] {
        let mut raw = Raw::connect(hub.clients).await?;
        raw.write(format!("GET /v1/sse HTTP/1.1\r\nHost: x\r\n{flood}\r\n").as_bytes())
            .await?;
        let answer = raw.rest(Duration::from_secs(8)).await?;
        let answer = String::from_utf8_lossy(&answer);
        ensure!(
            answer.starts_with("HTTP/1.1 431") || answer.starts_with("HTTP/1.1 400"),
            "{answer:?}"
        );
    }
    hub.client(Transport::Sse, "alice", &["chat:1"]).await?;
    Ok(())
}
