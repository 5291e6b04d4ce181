//! One channel: a stream of its events.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::events::{Event, Position};
use crate::inbox::Inbox;
use crate::place::SubscriptionState;
use crate::{Client, Error};

/// A subscription of one channel, which outlives connections: a [`Stream`] of its events, in their order.
///
/// Events wait for their reader from the moment it is made. Where more of them wait than
/// [`ClientBuilder::inbox_max`](crate::ClientBuilder::inbox_max) allows, the oldest are dropped and a gap with the reason `slow_consumer` is
/// told in their place. The stream ends after [`Event::Unsubscribed`].
///
/// Dropping it ends the subscription.
///
/// ```no_run
/// # async fn example(client: switchboard_client::Client) -> Result<(), switchboard_client::Error> {
/// use switchboard_client::{Event, Start};
///
/// let mut chat = client.subscribe("chat:42", Start::default()).await?;
/// while let Some(event) = chat.next().await {
///     match event {
///         Event::Message(message) => println!("{:?}", message.decode::<String>()?),
///         Event::Gap(_) => println!("something may have been missed: reload"),
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Subscription {
    client: Client,
    inbox: Arc<Inbox>,
}

impl Subscription {
    pub(crate) fn new(client: Client, inbox: Arc<Inbox>) -> Self {
        Self { client, inbox }
    }

    /// The channel's name.
    pub fn channel(&self) -> &str {
        &self.inbox.channel
    }

    /// Where it stands.
    pub fn state(&self) -> SubscriptionState {
        self.inbox.standing()
    }

    /// The place of the last event that was read here; none before it first stood. Keep it to begin there in another visit.
    pub fn position(&self) -> Option<Position> {
        self.inbox.read()
    }

    /// Waits for the next event; nothing after [`Event::Unsubscribed`].
    ///
    /// # Cancel safety
    /// No event is lost.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|context| self.inbox.poll(context)).await
    }

    /// Reads every message's data as a `T`.
    pub fn typed<T: DeserializeOwned>(self) -> Typed<T> {
        Typed {
            subscription: self,
            data: PhantomData,
        }
    }

    /// Publishes a value to this channel, as [`Client::publish`] does.
    ///
    /// # Errors
    /// As there.
    pub async fn publish<T: Serialize + ?Sized>(&self, data: &T) -> Result<Position, Error> {
        self.client.publish(self.channel(), data).await
    }

    /// Says that in a durable channel everything up to this offset is done, as [`Client::ack`] does.
    ///
    /// # Errors
    /// As there.
    pub async fn ack(&self, offset: u64) -> Result<(), Error> {
        self.client.ack(self.channel(), offset).await
    }

    /// Ends it, as dropping does. What waits is not read any more.
    pub fn unsubscribe(self) {
        drop(self);
    }
}

impl Stream for Subscription {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.inbox.poll(context)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.inbox.leave();
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("channel", &self.channel())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

/// A [`Subscription`] whose messages carry a `T`.
///
/// A message that carries something else is an error in its place, with the code `unreadable`, and the next one follows.
///
/// ```no_run
/// # async fn example(client: switchboard_client::Client) -> Result<(), switchboard_client::Error> {
/// use switchboard_client::{Event, Start};
///
/// #[derive(serde::Deserialize)]
/// struct Said { text: String }
///
/// let mut chat = client.subscribe("chat:42", Start::default()).await?.typed::<Said>();
/// while let Some(event) = chat.next().await {
///     if let Event::Message(message) = event? {
///         println!("{}", message.data.text);
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Typed<T> {
    subscription: Subscription,
    data: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Typed<T> {
    /// Waits for the next event.
    ///
    /// # Errors
    /// `unreadable`: the next event is a message that carries no `T`.
    ///
    /// # Cancel safety
    /// No event is lost.
    pub async fn next(&mut self) -> Option<Result<Event<T>, Error>> {
        self.subscription.next().await.map(Event::typed)
    }

    /// The subscription, to publish and to acknowledge.
    pub fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    /// The subscription as it was.
    pub fn into_inner(self) -> Subscription {
        self.subscription
    }
}

impl<T: DeserializeOwned> Stream for Typed<T> {
    type Item = Result<Event<T>, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let read = self.subscription.inbox.poll(context);
        read.map(|event| event.map(Event::typed))
    }
}
