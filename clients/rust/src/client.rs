//! What an application holds.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::builder::ClientBuilder;
use crate::commands::{self, body};
use crate::driver::{Order, Status};
use crate::events::{HistoryPage, Position, PresencePage, Session, State};
use crate::frames::Reply;
use crate::inbox::{Holder, Inbox};
use crate::place::Start;
use crate::requests::Request;
use crate::{Error, Payload, Subscription};

/// A connection to a hub, with its subscriptions: it comes back by itself.
///
/// Clones are handles of the same client; it ends with [`close`](Self::close), or when the last handle and the last subscription are dropped.
///
/// Commands wait for a session, and end after [`Timing::request`](crate::Timing::request) with the code `timeout`. Those that may be
/// carried out twice are repeated until then: when the connection was lost, and when the hub says that they may succeed later.
#[derive(Clone)]
pub struct Client {
    orders: mpsc::Sender<Order>,
    status: watch::Receiver<Status>,
    left: Arc<Notify>,
    inbox_max: usize,
    timeout: Duration,
}

/// What to read of a channel's history. `HistoryQuery::default()`: from the oldest retained, as many as the hub likes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HistoryQuery {
    /// What came after it; reversed, what came before it, nearest first.
    pub position: Option<Position>,
    /// At most so many; 0: only the channel's latest position.
    pub limit: Option<u32>,
    /// The latest first.
    pub reverse: bool,
}

impl Client {
    pub(crate) fn new(
        orders: mpsc::Sender<Order>,
        status: watch::Receiver<Status>,
        left: Arc<Notify>,
        inbox_max: usize,
        timeout: Duration,
    ) -> Self {
        Self {
            orders,
            status,
            left,
            inbox_max,
            timeout,
        }
    }

    /// Begins a client of the hub at an address such as `https://hub.example.com`.
    ///
    /// ```no_run
    /// # async fn fetch_token() -> Result<String, std::io::Error> { Ok(String::new()) }
    /// # async fn example() -> Result<(), switchboard_client::Error> {
    /// use switchboard_client::{Client, TokenError};
    ///
    /// let client = Client::builder("https://hub.example.com")
    ///     .tokens(|_reason| async {
    ///         fetch_token().await.map_err(|error| TokenError::Unavailable(error.to_string()))
    ///     })
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(url: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(url.into())
    }

    /// The same client by a handle whose commands take at most so long.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self {
            timeout,
            ..self.clone()
        }
    }

    /// Where the client stands.
    pub fn state(&self) -> State {
        self.status.borrow().state
    }

    /// Waits for a session, however long it takes.
    ///
    /// # Errors
    /// Why the client has stopped; `disconnected` where it was closed.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn ready(&self) -> Result<Session, Error> {
        let mut status = self.status.clone();
        let decided =
            |status: &Status| status.session.is_some() || status.state == State::Disconnected;
        match status.wait_for(decided).await {
            Ok(status) => status.session.clone().ok_or_else(|| over(&status)),
            Err(_) => Err(self.over()),
        }
    }

    /// Subscribes a channel, and waits until the hub has it, however long it takes.
    ///
    /// # Errors
    /// The hub's reason where it refuses, such as `permission_denied`; `already_subscribed` where this client has a subscription of the
    /// channel; `disconnected`, or why the client has stopped.
    ///
    /// # Cancel safety
    /// A subscription that was not awaited ends.
    pub async fn subscribe(&self, channel: &str, start: Start) -> Result<Subscription, Error> {
        let left = Arc::clone(&self.left);
        let inbox = Arc::new(Inbox::new(
            channel,
            self.inbox_max,
            Holder::Application,
            left,
        ));
        let subscription = Subscription::new(self.clone(), Arc::clone(&inbox));
        let (standing, stands) = oneshot::channel();
        let order = Order::Subscribe {
            start,
            inbox,
            standing,
        };
        self.order(order).await?;
        stands.await.map_err(|_| self.over())??;
        Ok(subscription)
    }

    /// Gives the subscription of a channel that the server has subscribed by its own hand, where nobody has it yet.
    ///
    /// # Cancel safety
    /// A subscription that was not awaited ends.
    pub async fn subscription(&self, channel: &str) -> Option<Subscription> {
        let (held, holds) = oneshot::channel();
        let channel = channel.to_owned();
        self.order(Order::Hold { channel, held }).await.ok()?;
        let inbox = holds.await.ok()??;
        Some(Subscription::new(self.clone(), inbox))
    }

    /// Publishes a value as JSON, and gives its position. It carries a random id, and is repeated until it is answered: it happens once.
    ///
    /// # Errors
    /// The hub's code, such as `permission_denied`; `payload_too_large`, `bad_request`, `timeout`, `overflow`, `disconnected`.
    pub async fn publish<T>(&self, channel: &str, data: &T) -> Result<Position, Error>
    where
        T: Serialize + ?Sized,
    {
        let id = random_id();
        self.publish_once(channel, &id, Payload::json(data)?).await
    }

    /// Publishes JSON or bytes under an id of the application's own: the same id publishes once within the namespace's window.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub async fn publish_once(
        &self,
        channel: &str,
        id: &str,
        payload: impl Into<Payload>,
    ) -> Result<Position, Error> {
        let payload = payload.into();
        let asked = commands::Publish {
            channel,
            payload: (&payload).into(),
            id: Some(id),
        };
        let reply = self.ask("publish", body(&asked), true).await?;
        Ok(result(reply.publish)?.position)
    }

    /// Says who is present: a page of at most `limit` members, or as many as the hub likes. `page` is the `next_page` of the page before.
    ///
    /// # Errors
    /// The hub's code, `timeout`, `overflow` or `disconnected`.
    pub async fn presence(
        &self,
        channel: &str,
        limit: Option<u32>,
        page: Option<&str>,
    ) -> Result<PresencePage, Error> {
        let asked = commands::Presence {
            channel,
            limit,
            page,
        };
        result(self.ask("presence", body(&asked), true).await?.presence)
    }

    /// Reads what a channel retains.
    ///
    /// # Errors
    /// As [`presence`](Self::presence).
    pub async fn history(&self, channel: &str, query: HistoryQuery) -> Result<HistoryPage, Error> {
        let asked = commands::History {
            channel,
            position: query.position.as_ref(),
            limit: query.limit,
            reverse: query.reverse,
        };
        result(self.ask("history", body(&asked), true).await?.history)
    }

    /// Asks a service, and gives its answer. It is not repeated: when the connection is lost before the answer it fails with `unavailable`.
    ///
    /// # Errors
    /// The hub's or the service's code; `unavailable`, `timeout`, `overflow`, `disconnected`.
    pub async fn call(&self, method: &str, data: impl Into<Payload>) -> Result<Payload, Error> {
        let data = data.into();
        let asked = commands::Call {
            method,
            payload: Some((&data).into()),
        };
        Ok(result(self.ask("call", body(&asked), false).await?.call)?.0)
    }

    /// Says that in a durable channel everything up to this offset, of a message or of a gap's position, is done. It returns when the hub
    /// keeps it. The newest covers all before it, so acknowledge as seldom as you like.
    ///
    /// # Errors
    /// As [`presence`](Self::presence).
    pub async fn ack(&self, channel: &str, offset: u64) -> Result<(), Error> {
        let asked = commands::Ack { channel, offset };
        self.ask("ack", body(&asked), true).await.map(drop)
    }

    /// Gives the hub's time.
    ///
    /// # Errors
    /// As [`presence`](Self::presence).
    pub async fn ping(&self) -> Result<SystemTime, Error> {
        let reply = self.ask("ping", body(&commands::Ping {}), true).await?;
        Ok(result(reply.ping)?.time)
    }

    /// Ends the session, all subscriptions and whatever was asked, for all handles. When it returns nothing of the client is left.
    pub async fn close(&self) {
        // It may have ended already.
        drop(self.orders.send(Order::Close).await);
        self.orders.closed().await;
    }

    async fn ask(&self, name: &'static str, body: String, safe: bool) -> Result<Reply, Error> {
        // Dropped last, when the task can see that nobody awaits the answer any more.
        let mut abandoned = Abandoned(Some(&*self.left));
        let (answer, awaited) = oneshot::channel();
        let request = Request {
            name,
            body,
            safe,
            answer,
        };
        let asked = async {
            self.order(Order::Ask(request)).await?;
            awaited.await.map_err(|_| self.over())?
        };
        let Ok(outcome) = tokio::time::timeout(self.timeout, asked).await else {
            return Err(Error::timeout(name));
        };
        abandoned.0 = None;
        outcome
    }

    async fn order(&self, order: Order) -> Result<(), Error> {
        self.orders.send(order).await.map_err(|_| self.over())
    }

    /// Why the client's task is no more.
    fn over(&self) -> Error {
        over(&self.status.borrow())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

/// Tells the client's task, when it is dropped, that somebody no longer wants what was asked.
struct Abandoned<'a>(Option<&'a Notify>);

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        if let Some(left) = self.0 {
            left.notify_one();
        }
    }
}

fn over(status: &Status) -> Error {
    status.error.clone().unwrap_or_else(Error::closed)
}

fn result<T>(told: Option<T>) -> Result<T, Error> {
    told.ok_or_else(|| Error::new("internal", "the hub replied without a result"))
}

/// 128 random bits in hexadecimal.
pub(crate) fn random_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}
