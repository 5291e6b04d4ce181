//! Publishing through the real control API: one at a time, as a batch, or as a stream.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::Serialize;
use switchboard_proto::api::v1::publish_item::Payload;
use switchboard_proto::api::v1::publish_result::Result as Outcome;
use switchboard_proto::api::v1::publish_service_client::PublishServiceClient;
use switchboard_proto::api::v1::{
    PublishBatchRequest, PublishItem, PublishRequest, PublishStreamRequest, PublishStreamResponse,
};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};

use crate::hub::API_KEY;
use crate::marker::{Marker, now_ns};

/// Publications that may wait on this side of a stream.
const STREAM_AHEAD: usize = 32;

/// Puts the API key into every call.
#[derive(Clone)]
pub(crate) struct Key(MetadataValue<Ascii>);

impl tonic::service::Interceptor for Key {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request
            .metadata_mut()
            .insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// The call that publications are handed over by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum By {
    /// `Publish`, one call after the other
    Unary,
    /// `PublishBatch`, all in one call
    Batch,
    /// `PublishStream`, all on one stream
    Stream,
}

/// A publisher to a set of channels, which it numbers.
pub(crate) struct Publisher {
    client: PublishServiceClient<InterceptedService<Channel, Key>>,
    channels: Arc<[String]>,
    /// The last number of each channel.
    numbers: Vec<u64>,
    payload_len: usize,
    /// Opened by the first publication that is streamed.
    stream: Option<Stream>,
}

/// Connects to a hub's control API.
pub(crate) async fn connect(api: SocketAddr) -> Result<InterceptedService<Channel, Key>> {
    let channel = Endpoint::from_shared(format!("http://{api}"))?
        .initial_connection_window_size(4 * 1024 * 1024)
        .initial_stream_window_size(4 * 1024 * 1024)
        .connect()
        .await
        .context("the control API")?;
    Ok(InterceptedService::new(
        channel,
        Key(format!("Bearer {API_KEY}").parse()?),
    ))
}

impl Publisher {
    pub(crate) async fn new(
        api: SocketAddr,
        channels: Vec<String>,
        payload_len: usize,
    ) -> Result<Self> {
        Ok(Self {
            client: PublishServiceClient::new(connect(api).await?),
            numbers: vec![0; channels.len()],
            channels: channels.into(),
            payload_len,
            stream: None,
        })
    }

    /// Another on the same connection, which counts on by itself.
    pub(crate) fn another(&self) -> Self {
        Self {
            client: self.client.clone(),
            channels: Arc::clone(&self.channels),
            numbers: self.numbers.clone(),
            payload_len: self.payload_len,
            stream: None,
        }
    }

    /// The next item of a channel.
    pub(crate) fn item(&mut self, channel: usize) -> PublishItem {
        self.numbers[channel] += 1;
        marked(
            &self.channels,
            channel,
            self.numbers[channel],
            self.payload_len,
        )
    }

    /// Publishes `count` to the channels in turn, beginning with the one whose turn it is after `before` publications.
    pub(crate) async fn publish(&mut self, by: By, before: u64, count: u64) -> Result<()> {
        match by {
            By::Unary => {
                for n in before..before + count {
                    self.one((n % self.channels.len() as u64) as usize).await?;
                }
                Ok(())
            }
            By::Batch => self.burst_from(before, count as usize).await,
            By::Stream => self.stream_from(before, count).await,
        }
    }

    /// Publishes one into a channel and waits for the acknowledgement.
    pub(crate) async fn one(&mut self, channel: usize) -> Result<()> {
        let item = Some(self.item(channel));
        self.client.publish(PublishRequest { item }).await?;
        Ok(())
    }

    /// Publishes `count` in one call, beginning with the channel whose turn it is after `before` publications.
    pub(crate) async fn burst_from(&mut self, before: u64, count: usize) -> Result<()> {
        let turn = |n| ((before + n as u64) % self.channels.len() as u64) as usize;
        let turns: Vec<usize> = (0..count).map(turn).collect();
        let items = turns
            .into_iter()
            .map(|channel| self.item(channel))
            .collect();
        let answer = self
            .client
            .publish_batch(PublishBatchRequest { items })
            .await?;
        let all = answer.into_inner().results;
        ensure!(all.len() == count, "{} answers to {count} items", all.len());
        ensure!(
            all.iter()
                .all(|r| matches!(r.result, Some(Outcome::Published(_)))),
            "an item of a batch was refused: {all:?}"
        );
        Ok(())
    }

    /// Streams `count` items, to the channels in turn, and waits for all acknowledgements.
    pub(crate) async fn stream(&mut self, count: u64) -> Result<()> {
        self.stream_from(0, count).await
    }

    /// The same, beginning with the channel whose turn it is after `before` publications.
    pub(crate) async fn stream_from(&mut self, before: u64, count: u64) -> Result<()> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => Stream::open(&mut self.client).await?,
        };
        let (mut sent, mut answered) = (0, 0);
        while answered < count {
            tokio::select! {
                place = stream.items.reserve(), if sent < count => {
                    let channel = ((before + sent) % self.channels.len() as u64) as usize;
                    // Marked when it is its turn, so that the time in it is that of its sending.
                    place.context("the stream has ended")?.send(PublishStreamRequest {
                        sequence: sent,
                        item: Some(self.item(channel)),
                    });
                    sent += 1;
                }
                answer = stream.answers.next() => {
                    let answer = answer.context("the stream has ended")??;
                    let outcome = answer.result.and_then(|r| r.result);
                    ensure!(
                        matches!(outcome, Some(Outcome::Published(_))),
                        "an item of a stream was refused: {outcome:?}"
                    );
                    answered += 1;
                }
            }
        }
        self.stream = Some(stream);
        Ok(())
    }
}

/// A `PublishStream` that stays open, as a service has it that publishes all the time.
struct Stream {
    items: mpsc::Sender<PublishStreamRequest>,
    answers: Streaming<PublishStreamResponse>,
}

impl Stream {
    async fn open(
        client: &mut PublishServiceClient<InterceptedService<Channel, Key>>,
    ) -> Result<Self> {
        let (items, requests) = mpsc::channel(STREAM_AHEAD);
        let answers = client.publish_stream(ReceiverStream::new(requests)).await?;
        Ok(Self {
            items,
            answers: answers.into_inner(),
        })
    }
}

/// An item with the mark of a channel's number, sent now.
fn marked(channels: &[String], channel: usize, number: u64, payload_len: usize) -> PublishItem {
    let marker = Marker {
        channel: u32::try_from(channel).unwrap_or(u32::MAX),
        number,
        sent_ns: now_ns(),
    };
    PublishItem {
        channel: channels[channel].clone(),
        payload: Some(Payload::Json(marker.payload(payload_len).into())),
        ..PublishItem::default()
    }
}
