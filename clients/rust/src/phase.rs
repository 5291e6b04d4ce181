//! What a client waits for: for its session, for one to move to, for a token.

use std::future::pending;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::frames::Frame;
use crate::link::Link;
use crate::outbox::Outbox;
use crate::tokens::{Fetch, TokenError};
use crate::verdict::Loss;

/// A session on its way.
pub(crate) type Opening = BoxFuture<'static, Result<Box<Link>, Loss>>;

/// What came of a phase. Whoever hears of it puts another phase in its place.
pub(crate) enum Reached {
    Token(Result<String, TokenError>),
    Opened(Result<Box<Link>, Loss>),
    Heard(Result<Box<Frame>, Loss>),
}

/// Where the client is on its way to a session.
pub(crate) enum Phase {
    /// It waits until this time: a backoff, or the hub's word.
    Waiting(Instant),
    Fetching(Fetch),
    Opening(Opening),
    Open(Box<Link>),
}

impl Phase {
    /// # Cancel safety
    /// Nothing is lost.
    pub(crate) async fn next(&mut self, outbox: &mut Outbox) -> Reached {
        match self {
            Self::Waiting(_) => pending().await,
            Self::Fetching(fetch) => Reached::Token(fetch.await),
            Self::Opening(opening) => Reached::Opened(opening.await),
            Self::Open(link) => Reached::Heard(link.next(outbox).await),
        }
    }

    pub(crate) fn wake_at(&self, silence: Duration) -> Option<Instant> {
        match self {
            Self::Waiting(until) => Some(*until),
            Self::Open(link) => Some(link.silent_at(silence)),
            Self::Fetching(_) | Self::Opening(_) => None,
        }
    }
}

/// A session that is to take the place of the present one.
pub(crate) enum Moving {
    No,
    At(Instant),
    Opening(Opening),
}

impl Moving {
    /// # Cancel safety
    /// Nothing is lost.
    pub(crate) async fn next(&mut self) -> Result<Box<Link>, Loss> {
        match self {
            Self::No | Self::At(_) => pending().await,
            Self::Opening(opening) => opening.await,
        }
    }

    pub(crate) fn wake_at(&self) -> Option<Instant> {
        match self {
            Self::At(at) => Some(*at),
            Self::No | Self::Opening(_) => None,
        }
    }
}

/// A new token for the present session.
pub(crate) enum Renewal {
    No,
    At(Instant),
    Fetching(Fetch),
    /// The hub was told, by the command of this number, and has until then to answer.
    Told {
        id: u64,
        until: Instant,
    },
}

impl Renewal {
    /// # Cancel safety
    /// Nothing is lost.
    pub(crate) async fn next(&mut self) -> Result<String, TokenError> {
        match self {
            Self::Fetching(fetch) => fetch.await,
            Self::No | Self::At(_) | Self::Told { .. } => pending().await,
        }
    }

    pub(crate) fn wake_at(&self) -> Option<Instant> {
        match self {
            Self::At(at) => Some(*at),
            Self::Told { until, .. } => Some(*until),
            Self::No | Self::Fetching(_) => None,
        }
    }
}
