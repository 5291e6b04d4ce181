//! `POST /v1/commands`: commands of a session whose attachment cannot carry them.
//!
//! The key in the query is the proof, so neither credentials nor the content's type are asked for: a page may send
//! `text/plain`, which needs no preflight, and `curl -d` its own default.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use switchboard_core::{ClientError, ErrorCode};
use switchboard_node::CommandsRefused;
use switchboard_protocol::commands;
use tokio::time::timeout;

use crate::clients::Shared;
use crate::opening::texts;
use crate::query::Query;
use crate::refusal::Refusal;

/// When commands that another node did not answer may be tried again: by then it is there, or known to be gone.
const UNREACHED_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Executes a body's commands and answers with their replies, a line each.
pub(crate) async fn execute(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    match attempt(&shared, &head, body).await {
        Ok(replies) => {
            let mut response = Response::new(Body::from(replies));
            let headers = response.headers_mut();
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/x-ndjson"),
            );
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(refusal) => shared.refuse(&head, None, refusal),
    }
}

async fn attempt(shared: &Shared, head: &Parts, body: Body) -> Result<Bytes, Refusal> {
    if head.method != Method::POST {
        return Err(Refusal::method("POST"));
    }
    let Some(key) = Query::parse(head.uri.query(), shared.node.limits())?.key else {
        let message = "parameter `key` is missing: it is in the session's `open` frame";
        return Err(ClientError::new(ErrorCode::BadRequest, message).into());
    };
    if texts(&head.headers, &header::CONTENT_ENCODING)
        .iter()
        .any(|encoding| *encoding != "identity")
    {
        let message = "the body must not be compressed";
        return Err(Refusal::with_status(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ErrorCode::BadRequest,
            message,
        ));
    }
    let body = read(shared, body).await?;
    check_lines(shared, &body)?;
    shared
        .node
        .commands(&key, body)
        .await
        .map_err(|refused| match refused {
            CommandsRefused::Gone => Refusal::gone(),
            CommandsRefused::Unreached => {
                let error = ClientError::new(ErrorCode::Unavailable, refused.to_string());
                error.retry_after(UNREACHED_RETRY_AFTER).into()
            }
        })
}

async fn read(shared: &Shared, body: Body) -> Result<Bytes, Refusal> {
    let max = shared.config.body_bytes_max;
    let too_large = || {
        ClientError::new(
            ErrorCode::PayloadTooLarge,
            format!("the body has more than {max} bytes"),
        )
    };
    if body.size_hint().lower() > max as u64 {
        return Err(too_large().into());
    }
    let within = shared.node.limits().handshake_timeout;
    let Ok(read) = timeout(within, Limited::new(body, max).collect()).await else {
        let message = format!("the body did not come within {} s", within.as_secs_f32());
        return Err(
            Refusal::with_status(StatusCode::REQUEST_TIMEOUT, ErrorCode::Timeout, message)
                // What is left of the body would be taken for the next request.
                .header(header::CONNECTION, HeaderValue::from_static("close")),
        );
    };
    match read {
        Ok(read) => Ok(read.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large().into()),
        Err(_) => Err(ClientError::new(ErrorCode::BadRequest, "the body was cut short").into()),
    }
}

/// Checks the bounds of all lines before any of them is executed.
fn check_lines(shared: &Shared, body: &[u8]) -> Result<(), ClientError> {
    let lines = commands::split(body, shared.node.limits().commands_per_body_max);
    let lines =
        lines.map_err(|error| ClientError::new(ErrorCode::PayloadTooLarge, error.to_string()))?;
    let max = shared.node.limits().command_bytes_max;
    if let Some(line) = lines.iter().find(|line| line.len() > max) {
        let message = format!("command of {} bytes: at most {max} are taken", line.len());
        return Err(ClientError::new(ErrorCode::PayloadTooLarge, message));
    }
    Ok(())
}
