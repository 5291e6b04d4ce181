//! Calls that need no key, health and reflection: their streams have no end of their own, so the end of the server ends them.
//!
//! Not its drain: whoever watches the health is told of that, and goes on watching.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::HeaderMap;
use http_body::Frame;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;
use tonic::body::Body;

use crate::status::draining;

/// Services that answer without an API key: a probe has none, and what reflection tells is public.
const OPEN_PREFIXES: [&str; 2] = ["/grpc.health.v1.", "/grpc.reflection."];

/// Whether the method needs no key.
pub(crate) fn is_open(path: &str) -> bool {
    OPEN_PREFIXES.iter().any(|prefix| path.starts_with(prefix))
}

/// A response's body that ends with the server, and holds the call's place until then.
pub(crate) struct UntilStopped {
    body: Option<Body>,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
    _place: OwnedSemaphorePermit,
}

impl UntilStopped {
    pub(crate) fn new(
        body: Body,
        stopping: CancellationToken,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            body: Some(body),
            stopping: Box::pin(stopping.cancelled_owned()),
            _place: place,
        }
    }
}

impl http_body::Body for UntilStopped {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        // What there is goes first, so that the last status still arrives.
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        std::task::ready!(this.stopping.as_mut().poll(cx));
        this.body = None;
        let mut trailers = HeaderMap::new();
        draining().add_header(&mut trailers)?;
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.body
            .as_ref()
            .is_none_or(http_body::Body::is_end_stream)
    }
}
