//! What is published arrives as it was: JSON, bytes, tags, in both formats.

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use prost::Message as _;
use serde_json::json;
use switchboard_proto::api::v1 as api;
use switchboard_proto::client::v1 as wire;
use switchboard_tests::client::Ws;
use switchboard_tests::services::item;
use switchboard_tests::{Hub, Transport, every_transport};

every_transport!(
    bytes_reach_json_clients_as_base64,
    tags_and_ids_travel,
    a_client_publishes_bytes
);

const BYTES: [u8; 6] = [0, 1, 2, 0xff, 0xfe, 0x80];

fn binary(channel: &str) -> api::PublishItem {
    let payload = Some(api::publish_item::Payload::Binary(BYTES.to_vec().into()));
    api::PublishItem {
        channel: channel.into(),
        payload,
        ..api::PublishItem::default()
    }
}

async fn bytes_reach_json_clients_as_base64(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let mut client = hub.client(transport, "alice", &["chat:1"]).await?;
    hub.services().await?.publish_item(binary("chat:1")).await?;
    let message = client.await_kind("message").await?;
    ensure!(message.body["binary"] == true, "{message:?}");
    ensure!(
        BASE64_STANDARD.decode(message.data().as_str().unwrap_or_default())? == BYTES,
        "{message:?}"
    );
    let history = client
        .command("history", json!({"channel": "chat:1"}))
        .await?;
    ensure!(
        history["publications"][0]["data"] == *message.data(),
        "{history}"
    );
    Ok(())
}

async fn tags_and_ids_travel(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let mut client = hub.client(transport, "alice", &["chat:1"]).await?;
    let mut labelled = item("chat:1", &json!({"a": [1, {"b": "\u{1f600}"}]}));
    labelled.id = "order-7".into();
    labelled.tags.insert("kind".into(), "order".into());
    labelled.tags.insert("zone".into(), "eu".into());
    hub.services().await?.publish_item(labelled).await?;
    let message = client.await_kind("message").await?;
    ensure!(
        message.body["id"] == "order-7" && message.data() == &json!({"a": [1, {"b": "\u{1f600}"}]}),
        "{message:?}"
    );
    ensure!(
        message.body["tags"] == json!({"kind": "order", "zone": "eu"}),
        "{message:?}"
    );
    ensure!(
        message.body.get("from").is_none(),
        "a service is no sender: {message:?}"
    );
    Ok(())
}

async fn a_client_publishes_bytes(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let mut client = hub.client(transport, "alice", &["chat:1"]).await?;
    let data = BASE64_STANDARD.encode(BYTES);
    client
        .command(
            "publish",
            json!({"channel": "chat:1", "data": data, "binary": true}),
        )
        .await?;
    let message = client.await_kind("message").await?;
    ensure!(
        message.data() == &json!(data) && message.body["binary"] == true,
        "{message:?}"
    );
    client
        .refused(
            "publish",
            json!({"channel": "chat:1", "data": "!", "binary": true}),
            "bad_request",
        )
        .await?;
    Ok(())
}

async fn frame(socket: &mut Ws) -> Result<wire::frame::Kind> {
    let frame = wire::Frame::decode(socket.binary().await?)?;
    frame.kind.context("a frame of no kind")
}

#[tokio::test]
async fn a_protobuf_client_gets_bytes_and_json_and_publishes_both() -> Result<()> {
    let hub = Hub::start().await?;
    let opening = hub
        .opening("alice")
        .channel("chat:1")
        .subprotocol("switchboard.v1.protobuf");
    let mut socket = Ws::open(&hub, &opening).await?;
    ensure!(
        socket.response["sec-websocket-protocol"] == "switchboard.v1.protobuf",
        "{:?}",
        socket.response
    );
    let wire::frame::Kind::Open(open) = frame(&mut socket).await? else {
        anyhow::bail!("`open` comes first")
    };
    ensure!(
        open.user == "alice" && open.key.is_empty() && open.limits.is_some(),
        "{}",
        open.session
    );
    let wire::frame::Kind::Subscribed(_) = frame(&mut socket).await? else {
        anyhow::bail!("`subscribed` follows")
    };

    let services = hub.services().await?;
    services.publish_item(binary("chat:1")).await?;
    services
        .publish("chat:1", &json!({"text": "hello"}))
        .await?;
    let wire::frame::Kind::Message(message) = frame(&mut socket).await? else {
        anyhow::bail!("a message was to come")
    };
    ensure!(
        message.binary && message.data == BYTES[..] && message.offset == 1,
        "{message:?}"
    );
    let wire::frame::Kind::Message(message) = frame(&mut socket).await? else {
        anyhow::bail!("a message was to come")
    };
    ensure!(
        !message.binary && message.data == br#"{"text":"hello"}"#[..] && message.offset == 2,
        "{message:?}"
    );

    let publish = wire::Publish {
        channel: "chat:1".into(),
        data: BYTES.to_vec().into(),
        binary: true,
        id: "p-1".into(),
    };
    let command = wire::Command {
        id: Some(0),
        command: Some(wire::command::Command::Publish(publish)),
    };
    socket.send_binary(command.encode_to_vec()).await?;
    let (mut replied, mut heard) = (false, false);
    while !(replied && heard) {
        match frame(&mut socket).await? {
            wire::frame::Kind::Reply(reply) => {
                let Some(wire::reply::Result::Publish(result)) = reply.result else {
                    anyhow::bail!("{reply:?}")
                };
                ensure!(
                    reply.id == 0 && result.position.is_some_and(|position| position.offset == 3),
                    "{}",
                    reply.id
                );
                replied = true;
            }
            wire::frame::Kind::Message(message) => {
                ensure!(
                    message.binary && message.data == BYTES[..] && message.id == "p-1",
                    "{message:?}"
                );
                heard = true;
            }
            _ => anyhow::bail!("neither a reply nor a message"),
        }
    }
    Ok(())
}
