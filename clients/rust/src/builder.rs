//! Making a client.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use tokio::sync::{Notify, mpsc, watch};

use crate::dial::Address;
use crate::driver::{Driver, Listener, Parts, Status};
use crate::events::{ClientEvent, State};
use crate::timing::{INBOX_MAX, ORDERS_MAX, Timing};
use crate::tokens::{Fetcher, TokenError, TokenReason, Tokens};
use crate::{Client, Error};

/// Makes a [`Client`]; see [`Client::builder`].
#[must_use = "`build` makes the client"]
pub struct ClientBuilder {
    url: String,
    token: Option<String>,
    fetcher: Option<Fetcher>,
    timing: Timing,
    inbox_max: usize,
    tls: Option<Arc<rustls::ClientConfig>>,
    listener: Option<Listener>,
}

impl ClientBuilder {
    pub(crate) fn new(url: String) -> Self {
        Self {
            url,
            token: None,
            fetcher: None,
            timing: Timing::default(),
            inbox_max: INBOX_MAX,
            tls: None,
            listener: None,
        }
    }

    /// A token for good. Without any, the client is anonymous.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Where tokens are fetched: before a connection, before the present one ends, and when one was refused.
    pub fn tokens<F, T>(mut self, fetch: F) -> Self
    where
        F: Fn(TokenReason) -> T + Send + Sync + 'static,
        T: Future<Output = Result<String, TokenError>> + Send + 'static,
    {
        self.fetcher = Some(Arc::new(move |reason| Box::pin(fetch(reason))));
        self
    }

    /// Other times than the defaults.
    pub fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// Bounds the events that wait for a subscription's reader. Default 1000, at least 1.
    pub fn inbox_max(mut self, events: usize) -> Self {
        self.inbox_max = events;
        self
    }

    /// How TLS is spoken, for `https`. By default whom the machine trusts is trusted.
    pub fn tls(mut self, config: Arc<rustls::ClientConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// Is told what happens to the client, in its order. It must not block: the client waits for it.
    pub fn on_event(mut self, listener: impl Fn(ClientEvent) + Send + Sync + 'static) -> Self {
        self.listener = Some(Arc::new(listener));
        self
    }

    /// Makes the client, which begins to connect.
    ///
    /// # Errors
    /// `bad_request`: the URL is no hub's address.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn build(self) -> Result<Client, Error> {
        let timeout = self.timing.request;
        let (orders, taken) = mpsc::channel(ORDERS_MAX);
        let (status, seen) = watch::channel(Status {
            state: State::Connecting,
            session: None,
            error: None,
        });
        let left = Arc::new(Notify::new());
        let driver = Driver::new(Parts {
            address: Address::read(&self.url, self.tls)?,
            timing: self.timing,
            tokens: Tokens::new(self.token, self.fetcher),
            inbox_max: self.inbox_max,
            listener: self.listener,
            status,
            orders: taken,
            left: Arc::clone(&left),
        });
        // Nobody has to await it: it ends with the last handle, and `Client::close` hears its end.
        drop(tokio::spawn(driver.run()));
        Ok(Client::new(orders, seen, left, self.inbox_max, timeout))
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A token is a secret.
        f.debug_struct("ClientBuilder")
            .field("url", &self.url)
            .field("timing", &self.timing)
            .field("inbox_max", &self.inbox_max)
            .finish_non_exhaustive()
    }
}
