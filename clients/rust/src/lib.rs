//! The client of the Switchboard realtime hub, on tokio: subscribers over WebSocket, and services over gRPC ([`service`]).
//!
//! A [`Client`] keeps a connection and comes back by itself; a [`Subscription`] outlives connections, and is a stream of events: what was
//! missed comes first after a reconnect, and where history does not reach back a [`Event::Gap`] says so.
//!
//! ```no_run
//! # async fn example() -> Result<(), switchboard_client::Error> {
//! use switchboard_client::{Client, Event, Start};
//!
//! let client = Client::builder("http://127.0.0.1:8000").token("...").build()?;
//! let start = Start { rewind: Some(20), ..Start::default() };
//! let mut chat = client.subscribe("chat:42", start).await?;
//! chat.publish("hello").await?;
//! while let Some(event) = chat.next().await {
//!     match event {
//!         Event::Message(message) => println!("{:?}", message.decode::<String>()?),
//!         Event::Gap(_) => println!("something may have been missed: reload"),
//!         _ => {}
//!     }
//! }
//! client.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! Reading order: `client` (what an application holds), `builder`, `subscription` and `inbox` (its events), `driver` (the one task of a
//! client: which session when), `phase` (what it waits for), `subscriptions` and `requests` (across sessions); then what is decided
//! without waiting: `place`, `verdict`, `trust`, `backoff`, `tokens`; and the wire: `frames`, `commands`, `payload`, `outbox`, `link`, `handshake`,
//! `dial`. The control API is in [`service`].
//!
//! Deliberately absent: Server-Sent Events and long poll, which are for browsers behind proxies; the protobuf format and
//! `permessage-deflate`; any other crate of the hub than its generated gRPC code.
//!
//! To add a command: its shape in `commands`, its result in `frames::Reply`, a method in `client`. To add a kind of frame: a field of
//! `frames::Frame`, and who takes it in: `driver` or `subscriptions`.

mod builder;
mod client;
mod driver;
mod error;
mod events;
mod inbox;
mod phase;
mod subscription;

mod requests;
mod subscriptions;

mod backoff;
mod place;
mod timing;
mod tokens;
mod trust;
mod verdict;

mod commands;
mod dial;
mod frames;
mod handshake;
mod link;
mod outbox;
mod payload;

pub mod service;

#[cfg(test)]
mod fixtures;

pub use builder::ClientBuilder;
pub use client::{Client, HistoryQuery};
pub use error::Error;
pub use events::{
    Begun, ClientEvent, Event, Gap, GapReason, HistoryPage, Member, Message, Policy, Position,
    PresencePage, Sender, Session, State,
};
pub use payload::Payload;
pub use place::{Start, SubscriptionState};
pub use subscription::{Subscription, Typed};
pub use timing::Timing;
pub use tokens::{TokenError, TokenReason};
