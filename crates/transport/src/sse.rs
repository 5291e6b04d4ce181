//! `GET /v1/sse`: an event stream.
//!
//! Over HTTP/1 the socket leaves HTTP once the head of the response is on its way, and the shard writes the body: chunks
//! for HTTP/1.1, bare events until the close for HTTP/1.0 (which proxies still speak by default). Over HTTP/2 the body
//! is read from a socket pair whose near end the node adopts.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderName, Method, Version};
use switchboard_core::{ClientError, ErrorCode};
use switchboard_node::Transport;
use switchboard_protocol::Wire;
use tokio_util::io::ReaderStream;

use crate::clients::Shared;
use crate::opening::{self, texts};
use crate::pump;
use crate::query::{Query, read_cursor};
use crate::refusal::{Refusal, event_stream_headers};
use crate::takeover::{Handover, Slot, silent_body};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Bytes read for a body at once.
const CHUNK_BYTES: usize = 4 * 1024;

/// Opens a session on an event stream.
pub(crate) async fn open(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    match attempt(&shared, &head).await {
        Ok(response) => response,
        Err(refusal) => shared.refuse(&head, Some(Transport::Sse), refusal),
    }
}

async fn attempt(shared: &Shared, head: &Parts) -> Result<Response, Refusal> {
    if head.method != Method::GET {
        return Err(Refusal::method("GET"));
    }
    let mut query = Query::parse(head.uri.query())?;
    // What an EventSource brings when it reconnects is newer than what its page once put in the URL.
    if let Some(id) = texts(&head.headers, &LAST_EVENT_ID).last() {
        query.cursor = read_cursor("Last-Event-ID", id)?.or(query.cursor);
    }
    let slot: Option<&Arc<Slot>> = head.extensions.get();
    let is_chunked = slot.is_some() && head.version == Version::HTTP_11;
    let wire = if is_chunked {
        Wire::SseChunked
    } else {
        Wire::SseRaw
    };
    let opening = opening::check(shared, head, query, Transport::Sse, wire).await?;
    let admission = shared.node.admit(&opening.identity)?;
    let body = if let Some(slot) = slot {
        slot.fill(Handover { opening, admission });
        silent_body()
    } else {
        let (near, far) = pump::pair().map_err(|error| {
            tracing::warn!(%error, "no socket pair for an event stream");
            ClientError::new(
                ErrorCode::Unavailable,
                "this node is short of descriptors: try again",
            )
        })?;
        shared
            .node
            .adopt(opening, admission, near, bytes::Bytes::new());
        Body::from_stream(ReaderStream::with_capacity(far, CHUNK_BYTES))
    };
    let mut response = Response::new(body);
    event_stream_headers(&mut response);
    Ok(response)
}
