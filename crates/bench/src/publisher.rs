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
    PublishBatchRequest, PublishItem, PublishRequest, PublishStreamRequest,
};
use tokio_stream::StreamExt as _;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::hub::API_KEY;
use crate::marker::{Marker, now_ns};

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
#[derive(Clone)]
pub(crate) struct Publisher {
    client: PublishServiceClient<InterceptedService<Channel, Key>>,
    channels: Arc<[String]>,
    /// The last number of each channel.
    numbers: Vec<u64>,
    payload_len: usize,
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
        })
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

    /// Publishes `count` in one call, to the channels in turn.
    pub(crate) async fn burst(&mut self, count: usize) -> Result<()> {
        self.burst_from(0, count).await
    }

    /// The same, beginning with the channel whose turn it is after `before` publications.
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
        let numbered: Vec<(usize, u64)> = (before..before + count)
            .map(|n| {
                let channel = (n % self.channels.len() as u64) as usize;
                self.numbers[channel] += 1;
                (channel, self.numbers[channel])
            })
            .collect();
        let (channels, payload_len) = (Arc::clone(&self.channels), self.payload_len);
        // Marked when it is their turn, so that the time in them is that of their sending.
        let requests = numbered
            .into_iter()
            .zip(0..)
            .map(move |((channel, number), sequence)| PublishStreamRequest {
                sequence,
                item: Some(marked(&channels, channel, number, payload_len)),
            });
        let mut answers = self
            .client
            .publish_stream(tokio_stream::iter(requests))
            .await?
            .into_inner();
        let mut got = 0;
        while let Some(answer) = answers.next().await {
            let outcome = answer?.result.and_then(|r| r.result);
            ensure!(
                matches!(outcome, Some(Outcome::Published(_))),
                "an item of a stream was refused: {outcome:?}"
            );
            got += 1;
        }
        ensure!(got == count, "{got} answers to {count} items");
        Ok(())
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
