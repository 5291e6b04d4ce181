//! What a client keeps when its connection is gone, and how it comes back with that: on the same transport or another.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{Client, Frame, Opening, Transport};
use crate::door::Door;

/// A place in a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Opaque.
    pub epoch: String,
    /// 0 before the first.
    pub offset: u64,
}

impl Position {
    /// Reads a position of a frame; an absent offset is 0.
    pub fn of(json: &Value) -> Self {
        Self {
            epoch: json["epoch"].as_str().unwrap_or_default().to_owned(),
            offset: json["offset"].as_u64().unwrap_or_default(),
        }
    }

    /// As a command carries it.
    pub fn json(&self) -> Value {
        json!({"epoch": self.epoch, "offset": self.offset})
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.epoch, self.offset)
    }
}

/// Where a client was.
#[derive(Clone, Debug)]
pub struct Place {
    /// The transport that it was on.
    pub from: Transport,
    /// How it had opened; its channels are those that it had at last.
    pub opening: Opening,
    /// The last position seen in each channel.
    pub positions: BTreeMap<String, Position>,
    /// The last cursor, where the transport has one.
    pub cursor: Option<String>,
    /// What the last poll's answer carried and nobody has looked at yet: the cursor acknowledges it, so it is the client's.
    pub unread: Vec<Frame>,
}

impl Place {
    /// Comes back on a transport, as its clients do: with the cursor where there is one (an event stream that goes on as
    /// an event stream gives it as `Last-Event-ID`), else by subscribing with positions.
    ///
    /// # Errors
    /// The hub refused it.
    pub async fn resume(&self, hub: impl Into<Door>, transport: Transport) -> Result<Client> {
        let mut opening = self.opening.continued();
        if let Some(cursor) = &self.cursor {
            opening = match (self.from, transport) {
                (Transport::Sse, Transport::Sse) => opening.header("last-event-id", cursor),
                _ => opening.cursor(cursor),
            };
            let mut client = Client::open(hub, transport, opening).await?;
            client.seed(&self.positions);
            client.await_subscribed().await?;
            for frame in self.unread.iter().rev() {
                client.held.push_front(frame.clone());
            }
            return Ok(client);
        }
        let channels = std::mem::take(&mut opening.channels);
        let mut client = Client::open(hub, transport, opening).await?;
        client.seed(&self.positions);
        for channel in channels {
            let position = self.positions.get(&channel).cloned().unwrap_or_default();
            ensure!(
                !position.epoch.is_empty(),
                "no position of {channel} is known"
            );
            client
                .command(
                    "subscribe",
                    json!({"channel": channel, "position": position.json()}),
                )
                .await?;
        }
        Ok(client)
    }
}

impl Client {
    /// Whether the hub said that nothing of the channel was missed.
    pub fn recovered(&self, channel: &str) -> bool {
        self.subscribed
            .get(channel)
            .is_some_and(|body| body["recovered"] == true)
    }

    fn seed(&mut self, positions: &BTreeMap<String, Position>) {
        self.positions.clone_from(positions);
    }
}
