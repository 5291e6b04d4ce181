//! `GET /v1/sse`: an event stream.
//!
//! Over HTTP/1 the socket leaves HTTP once the head of the response is on its way, and the shard writes the body: chunks
//! for HTTP/1.1, bare events until the close for HTTP/1.0 (which proxies still speak by default). Over HTTP/2 the body
//! is read from a socket pair whose near end the node adopts.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Version};
use switchboard_core::cursor::Cursor;
use switchboard_core::{Epoch, Limits, Position};
use switchboard_node::{Opening, Transport};
use switchboard_protocol::Wire;

use crate::clients::Shared;
use crate::opening;
use crate::pump;
use crate::query::{Query, read_cursor};
use crate::refusal::{Refusal, event_stream_headers};
use crate::takeover::{Handover, Slot, silent_body};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// A life of no channel, for theirs fit 53 bits. Who stands in it is told of a gap.
const NOWHERE: Epoch = Epoch(u64::MAX);

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
    let mut query = Query::parse(head.uri.query(), shared.node.limits())?;
    let resumption = Resumption::of(&head.headers, shared.node.limits());
    if let Resumption::From(cursor) = &resumption {
        // What an EventSource brings when it reconnects is newer than what its page once put in the URL.
        query.cursor = Some(cursor.clone());
    }
    let slot: Option<&Arc<Slot>> = head.extensions.get();
    let is_chunked = slot.is_some() && head.version == Version::HTTP_11;
    let wire = if is_chunked {
        Wire::SseChunked
    } else {
        Wire::SseRaw
    };
    let mut opening = opening::check(shared, head, query, Transport::Sse, wire).await?;
    if let Resumption::Unreadable = resumption {
        opening.cursor = Some(lost(&opening));
    }
    let admission = shared.node.admit(&opening).await?;
    let body = if let Some(slot) = slot {
        slot.fill(Handover {
            opening,
            admission,
            pair: slot.pair(shared)?,
        });
        silent_body()
    } else {
        let (near, far) = shared.pair()?;
        shared
            .node
            .adopt(opening, admission, near, bytes::Bytes::new());
        let (body, pumping) = pump::body(far, shared.node.limits().outbox_age_max);
        shared.spawn(pumping);
        body
    };
    let mut response = Response::new(body);
    event_stream_headers(&mut response);
    Ok(response)
}

/// What `Last-Event-ID` says of where to go on.
enum Resumption {
    /// Nothing.
    Anew,
    From(Cursor),
    /// Something that is no cursor here: another version wrote it, or a proxy cut it.
    Unreadable,
}

impl Resumption {
    fn of(headers: &HeaderMap, limits: &Limits) -> Self {
        let Some(id) = headers.get_all(LAST_EVENT_ID).iter().next_back() else {
            return Self::Anew;
        };
        let read = id.to_str().ok();
        match read.map(|id| read_cursor("Last-Event-ID", id, limits)) {
            Some(Ok(None)) => Self::Anew,
            Some(Ok(Some(cursor))) => Self::From(cursor),
            Some(Err(_)) | None => Self::Unreadable,
        }
    }
}

/// The cursor of a client that was somewhere, nobody knows where: each of its channels begins with a gap.
///
/// An `EventSource` gives up for ever on an HTTP error and cannot send another id, so a refusal would help nobody; and to
/// begin as if nothing had been missed would be a silent hole. A `cursor=` is the page's own to mend, and is refused.
fn lost(opening: &Opening) -> Cursor {
    let channels = opening
        .channels
        .iter()
        .chain(&opening.identity.grants.channels);
    let nowhere = Position {
        epoch: NOWHERE,
        offset: 0,
    };
    Cursor {
        sequence: 0,
        positions: channels.map(|name| (name.clone(), nowhere)).collect(),
    }
}
