//! `GET /v1/poll`: opens a session, or takes what one is owed.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, Method, header};
use switchboard_core::cursor::Cursor;
use switchboard_core::{ClientError, ErrorCode};
use switchboard_node::{PollBatch, PollRefused, Transport};
use switchboard_protocol::Wire;

use crate::clients::Shared;
use crate::opening;
use crate::query::Query;
use crate::refusal::Refusal;
use crate::takeover::Slot;

/// How long a poll waits that does not say.
const WAIT: Duration = Duration::from_secs(25);

/// Answers a poll.
pub(crate) async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    match attempt(&shared, &head).await {
        Ok(batch) => {
            if let Some(slot) = head.extensions.get::<Arc<Slot>>() {
                // The next poll need not go through all of this.
                slot.keep_for_polls();
            }
            let mut response = Response::new(Body::from(batch.body));
            let headers = response.headers_mut();
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            );
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(refusal) => shared.refuse(&head, Some(Transport::Poll), refusal),
    }
}

async fn attempt(shared: &Shared, head: &Parts) -> Result<PollBatch, Refusal> {
    if head.method != Method::GET {
        return Err(Refusal::method("GET"));
    }
    let mut query = Query::parse(head.uri.query(), shared.node.limits())?;
    let wait = wait(shared, &query);
    let Some(key) = query.key.take() else {
        return open(shared, head, query, wait).await;
    };
    match wait_for_frames(shared, &key, query.cursor.clone(), wait).await {
        Ok(batch) => Ok(batch),
        Err(PollRefused::Gone) => reopen(shared, head, query, wait).await,
    }
}

/// Opens a session. Its first frames are there already, so the answer does not wait.
async fn open(
    shared: &Shared,
    head: &Parts,
    query: Query,
    wait: Duration,
) -> Result<PollBatch, Refusal> {
    let opening = opening::check(shared, head, query, Transport::Poll, Wire::Poll).await?;
    let admission = shared.node.admit(&opening).await?;
    let key = shared.node.open_poll(opening, admission).await?;
    wait_for_frames(shared, &key, None, wait)
        .await
        .map_err(|PollRefused::Gone| {
            let message = "the session ended as it began: try again";
            ClientError::new(ErrorCode::Unavailable, message).into()
        })
}

/// Opens a session in place of one that is gone (another node, a restart, a long pause), from where the cursor stands.
///
/// What stands in the way for good is answered with 410 all the same: the client opens anew, and hears the reason then.
async fn reopen(
    shared: &Shared,
    head: &Parts,
    mut query: Query,
    wait: Duration,
) -> Result<PollBatch, Refusal> {
    let Some(cursor) = &query.cursor else {
        return Err(Refusal::gone());
    };
    if query.channels.is_empty() {
        query.channels = cursor
            .positions
            .iter()
            .map(|(channel, _)| channel.clone())
            .collect();
    }
    if query.channels.is_empty() {
        return Err(Refusal::gone());
    }
    let opened = open(shared, head, query, wait).await;
    opened.map_err(|refusal| {
        if refusal.is_temporary() {
            refusal
        } else {
            Refusal::gone()
        }
    })
}

/// How long a poll is to wait.
pub(crate) fn wait(shared: &Shared, query: &Query) -> Duration {
    query
        .wait
        .unwrap_or(WAIT)
        .min(shared.node.limits().poll_wait_max)
}

/// Waits for what a session is owed.
///
/// # Cancel safety
/// As [`Node::poll`](switchboard_node::Node::poll).
pub(crate) async fn wait_for_frames(
    shared: &Shared,
    key: &str,
    cursor: Option<Cursor>,
    wait: Duration,
) -> Result<PollBatch, PollRefused> {
    tokio::select! {
        batch = shared.node.poll(key, cursor.clone(), wait) => batch,
        // A poll that does not wait supersedes the one that does: all that is there, at once.
        () = shared.stop.cancelled() => shared.node.poll(key, cursor, Duration::ZERO).await,
    }
}
