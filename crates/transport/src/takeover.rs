//! Sockets on their way out of HTTP: a handler names the session, the connection hands the socket over.
//!
//! A handler cannot take its own connection's socket, and must not before the head of its response is on the way. So it
//! leaves what the socket is for in the connection's slot, and the connection, which alone knows when the head has been
//! flushed, ends HTTP and takes it from there. For a WebSocket that is after the 101; for an event stream after the
//! head of the 200, whose body never yields a byte.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::Frame;
use socket2::Socket;
use switchboard_core::ClientError;
use switchboard_node::{Admission, Opening};
use tokio::net::UnixStream;

use crate::clients::Shared;

/// What a socket is handed over for.
#[derive(Debug)]
pub(crate) struct Handover {
    pub(crate) opening: Opening,
    pub(crate) admission: Admission,
    /// Where the node cannot own the connection: the near end for the node, the far end for the pump.
    pub(crate) pair: Option<(Socket, UnixStream)>,
}

/// One HTTP/1 connection's slot.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    handover: Mutex<Option<Handover>>,
    /// Everything that was written since the slot was filled has reached the kernel. Written by the stream, and reset
    /// by filling: hyper writes the head between the two.
    flushed: AtomicBool,
    /// The connection goes to the polls: what it was asked by now is answered.
    polls: AtomicBool,
    /// The connection speaks TLS, so the node cannot own it.
    is_tls: bool,
}

impl Slot {
    /// The slot of a connection.
    pub(crate) fn new(is_tls: bool) -> Self {
        Self {
            is_tls,
            ..Self::default()
        }
    }

    /// What the connection is pumped through, where it must be. Made before anything is promised to the client.
    ///
    /// # Errors
    /// `unavailable` when descriptors are short.
    pub(crate) fn pair(
        &self,
        shared: &Shared,
    ) -> Result<Option<(Socket, UnixStream)>, ClientError> {
        self.is_tls.then(|| shared.pair()).transpose()
    }

    /// Leaves a handover for the connection. To be called as the last thing before the response is returned.
    pub(crate) fn fill(&self, handover: Handover) {
        let mut slot = self.lock();
        self.flushed.store(false, Ordering::Relaxed);
        *slot = Some(handover);
    }

    /// Has the connection served by [`crate::polls`] from the next request on. To be called as the last thing before the
    /// response, which must be whole, is returned.
    pub(crate) fn keep_for_polls(&self) {
        self.flushed.store(false, Ordering::Relaxed);
        self.polls.store(true, Ordering::Relaxed);
    }

    /// Notes a request: a pipelined one may be under way before the connection could be taken, and must not be lost.
    pub(crate) fn note_request(&self) {
        self.polls.store(false, Ordering::Relaxed);
    }

    /// Notes that the stream has been flushed.
    pub(crate) fn note_flush(&self) {
        self.flushed.store(true, Ordering::Relaxed);
    }

    /// Whether the connection is to be handed over now.
    pub(crate) fn is_ready(&self) -> bool {
        self.flushed.load(Ordering::Relaxed)
            && (self.polls.load(Ordering::Relaxed) || self.lock().is_some())
    }

    /// Whether the connection goes to the polls.
    pub(crate) fn is_for_polls(&self) -> bool {
        self.flushed.load(Ordering::Relaxed) && self.polls.load(Ordering::Relaxed)
    }

    /// Takes the handover, if its response's head has been flushed.
    pub(crate) fn take(&self) -> Option<Handover> {
        if self.flushed.load(Ordering::Relaxed) {
            self.lock().take()
        } else {
            None
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Handover>> {
        // A panic elsewhere leaves a whole value behind.
        self.handover.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body of unknown length that never yields anything: it keeps the response open until the socket is taken.
pub(crate) fn silent_body() -> Body {
    Body::new(Silent)
}

struct Silent;

impl http_body::Body for Silent {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Pending
    }
}
