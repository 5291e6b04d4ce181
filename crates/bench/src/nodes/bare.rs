//! Publishing and subscribing with bare calls of the client library that the hub's engine uses: no script, no idempotency, no
//! numbers, no hub.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fred::clients::Client;
use fred::interfaces::{ClientLike, EventInterface};
use fred::types::config::{Config, ServerConfig};
use fred::types::{Builder, ClusterHash, CustomCommand, Message, RespVersion, Value};
use futures_util::StreamExt;
use tokio::sync::broadcast::Receiver;

use crate::marker::{Marker, now_ns};

/// Publications under way at a time, as many as a stream to the hub has.
const AT_ONCE: usize = 1024;
/// No longer may a message take.
const PATIENCE: Duration = Duration::from_secs(20);
/// The library drops what does not fit.
const MESSAGES_QUEUED_MAX: usize = 1_000_000;

/// What a bare publication is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bare {
    /// `SPUBLISH`: who does not listen at the moment never gets it.
    Published,
    /// `XADD` and `SPUBLISH` in one go: what it takes to have a history as well, though the two may disagree.
    Kept,
}

/// A publisher and a subscriber, a connection each.
pub(super) struct Calls {
    publisher: Client,
    /// Keeps the connection.
    _subscriber: Client,
    messages: Receiver<Message>,
    channels: usize,
    payload_len: usize,
}

impl Calls {
    pub(super) async fn connect(port: u16, channels: usize, payload_len: usize) -> Result<Self> {
        let (publisher, subscriber) = (client(port).await?, client(port).await?);
        let messages = subscriber.message_rx();
        for channel in 0..channels {
            call(&subscriber, "SSUBSCRIBE", vec![name(channel).into()]).await?;
        }
        Ok(Self {
            publisher,
            _subscriber: subscriber,
            messages,
            channels,
            payload_len,
        })
    }

    /// Publishes so many, many at a time, and returns when all have come.
    pub(super) async fn saturated(&mut self, what: Bare, count: u64) -> Result<()> {
        let (publisher, channels, len) = (&self.publisher, self.channels, self.payload_len);
        let publishing = async {
            let mut publishing = futures_util::stream::iter(0..count)
                .map(|number| publish(publisher, what, number as usize % channels, number, len))
                .buffer_unordered(AT_ONCE);
            while let Some(published) = publishing.next().await {
                published?;
            }
            Ok(())
        };
        let messages = &mut self.messages;
        let arriving = async {
            for _ in 0..count {
                next(messages).await?;
            }
            Ok(())
        };
        tokio::try_join!(publishing, arriving).map(|((), ())| ())
    }

    /// Publishes one, and gives the microseconds until it has come.
    pub(super) async fn one(&mut self, what: Bare, number: u64) -> Result<f64> {
        let publishing = publish(&self.publisher, what, 0, number, self.payload_len);
        let messages = &mut self.messages;
        let arriving = async {
            let message = next(messages).await?;
            let come = now_ns();
            let bytes = message.value.as_bytes().context("a payload")?.to_vec();
            let (marker, _) = Marker::find(&bytes).context("a mark")?;
            ensure!(
                marker.number == number,
                "{} came, not {number}",
                marker.number
            );
            Ok((come - marker.sent_ns) as f64 / 1e3)
        };
        tokio::try_join!(publishing, arriving).map(|((), micros)| micros)
    }
}

async fn next(messages: &mut Receiver<Message>) -> Result<Message> {
    let message = tokio::time::timeout(PATIENCE, messages.recv()).await;
    Ok(message.context("a message has not come")??)
}

async fn publish(
    client: &Client,
    what: Bare,
    channel: usize,
    number: u64,
    payload_len: usize,
) -> Result<()> {
    let marker = Marker {
        channel: channel as u32,
        number,
        sent_ns: now_ns(),
    };
    let payload: bytes::Bytes = marker.payload(payload_len).into();
    let publish = vec![name(channel).into(), payload.clone().into()];
    let published = call(client, "SPUBLISH", publish);
    if what == Bare::Published {
        return published.await;
    }
    let mut add: Vec<Value> = vec![format!("{}:history", name(channel)).into()];
    add.extend(["MAXLEN", "=", "100", "*", "d"].map(Value::from_static_str));
    add.push(payload.into());
    tokio::try_join!(call(client, "XADD", add), published).map(|((), ())| ())
}

async fn call(client: &Client, command: &'static str, arguments: Vec<Value>) -> Result<()> {
    let command = CustomCommand::new_static(command, ClusterHash::Custom(0), false);
    client.custom_raw(command, arguments).await?;
    Ok(())
}

async fn client(port: u16) -> Result<Client> {
    let mut builder = Builder::from_config(Config {
        server: ServerConfig::new_centralized("127.0.0.1", port),
        version: RespVersion::RESP3,
        ..Config::default()
    });
    builder
        .with_performance_config(|config| config.broadcast_channel_capacity = MESSAGES_QUEUED_MAX);
    let client = builder.build()?;
    client.init().await?;
    Ok(client)
}

fn name(channel: usize) -> String {
    format!("bare:{channel}")
}
