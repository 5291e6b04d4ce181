//! How a request is refused: an HTTP status, and a problem document (RFC 9457) with a stable code.
//!
//! One table turns codes into statuses. An `EventSource` gives up for ever on an HTTP error, so to a request for an event
//! stream a refusal that will pass is a stream of one `close` frame, which ends.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use switchboard_core::{ClientError, Close, CloseCode, ErrorCode};
use switchboard_node::Transport;
use switchboard_protocol::{Wire, sse, wire};

use crate::clients::Shared;
use crate::opening::{client_ip, texts};

/// The media type of event streams.
pub(crate) const EVENT_STREAM: &str = "text/event-stream; charset=utf-8";

/// When to come back, where whoever refused did not say.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A request refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    error: ClientError,
    status: StatusCode,
    /// What it is counted as.
    cause: &'static str,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl From<ClientError> for Refusal {
    fn from(mut error: ClientError) -> Self {
        let status = status(&error);
        if is_temporary(status) {
            error.retry_after.get_or_insert(RETRY_AFTER);
        }
        let mut headers = Vec::new();
        if status == StatusCode::UNAUTHORIZED {
            headers.push((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        }
        if let Some(after) = error.retry_after.filter(|_| is_temporary(status)) {
            let seconds = after.as_millis().div_ceil(1000).max(1);
            headers.push((header::RETRY_AFTER, HeaderValue::from(seconds as u64)));
        }
        let cause = error.code.as_str();
        Self {
            error,
            status,
            cause,
            headers,
        }
    }
}

impl Refusal {
    /// A refusal whose status is HTTP's own affair: a wrong method, a missing upgrade, a body too large.
    pub(crate) fn with_status(
        status: StatusCode,
        code: ErrorCode,
        message: impl Into<String>,
    ) -> Self {
        let error = ClientError::new(code, message.into());
        Self {
            error,
            status,
            cause: code.as_str(),
            headers: Vec::new(),
        }
    }

    /// The method is not one that the path knows.
    pub(crate) fn method(allow: &'static str) -> Self {
        let message = format!("this path takes {allow}");
        Self::with_status(
            StatusCode::METHOD_NOT_ALLOWED,
            ErrorCode::BadRequest,
            message,
        )
        .header(header::ALLOW, HeaderValue::from_static(allow))
    }

    /// The session that the key names is not here.
    pub(crate) fn gone() -> Self {
        let message = "the session is gone: open a new one from the last cursor";
        Self::with_status(StatusCode::GONE, ErrorCode::NotFound, message)
    }

    /// The same with one more header.
    #[must_use]
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The same, counted as something else than its code.
    #[must_use]
    pub(crate) fn counted_as(mut self, cause: &'static str) -> Self {
        self.cause = cause;
        self
    }

    /// Whether the same request may work later, unchanged.
    pub(crate) fn is_temporary(&self) -> bool {
        is_temporary(self.status)
    }

    /// The answer, as a problem document.
    pub(crate) fn into_response(self) -> Response {
        let problem = Problem {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Refused"),
            status: self.status.as_u16(),
            code: self.error.code.as_str(),
            detail: &self.error.message,
            retry_after: self.error.retry_after.map(|after| after.as_millis() as u64),
        };
        let body = serde_json::to_vec(&problem).expect("a problem is plain text and numbers");
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(self.headers);
        response
    }

    /// The answer to a request for an event stream.
    fn into_events(self) -> Response {
        let after = self.error.retry_after.unwrap_or(RETRY_AFTER);
        let body = closing_events(self.error.message, after);
        let mut response = Response::new(Body::from(body));
        event_stream_headers(&mut response);
        response
    }
}

impl Shared {
    /// Counts and logs a refused request, and makes the answer. Without a transport it is no opening, so it is not
    /// counted among those.
    pub(crate) fn refuse(
        &self,
        head: &Parts,
        transport: Option<Transport>,
        refusal: Refusal,
    ) -> Response {
        if transport.is_some() {
            self.node.metrics().refused(refusal.cause);
        }
        tracing::debug!(
            transport = transport.map(Transport::as_str),
            // The path alone: the query may hold a token.
            path = head.uri.path(),
            status = refusal.status.as_u16(),
            code = refusal.error.code.as_str(),
            error = %refusal.error.message,
            client.addr = client_ip(self, head).map(tracing::field::display),
            "request refused"
        );
        if transport == Some(Transport::Sse) && refusal.is_temporary() && accepts_events(head) {
            refusal.into_events()
        } else {
            refusal.into_response()
        }
    }
}

/// A whole event stream that says when to come back, and no more.
pub(crate) fn closing_events(message: impl Into<Cow<'static, str>>, after: Duration) -> Vec<u8> {
    let after = jittered(after);
    let mut close = Close::new(CloseCode::TRY_LATER, message);
    close.reconnect_after_ms = Some(after.as_millis() as u64);
    let mut events = Vec::new();
    sse::retry(after, false, &mut events);
    events.extend_from_slice(&wire::encode_close(&close, Wire::SseRaw));
    events
}

/// The headers of every event stream.
pub(crate) fn event_stream_headers(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx would hold events back to fill its buffers.
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
}

/// The one table from codes to statuses.
fn status(error: &ClientError) -> StatusCode {
    match error.code {
        ErrorCode::BadRequest => StatusCode::BAD_REQUEST,
        ErrorCode::Unauthenticated | ErrorCode::TokenExpired => StatusCode::UNAUTHORIZED,
        ErrorCode::PermissionDenied => StatusCode::FORBIDDEN,
        ErrorCode::UnknownNamespace | ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::AlreadySubscribed
        | ErrorCode::NotSubscribed
        | ErrorCode::PositionUnavailable => StatusCode::CONFLICT,
        // A bound that others' leaving will lift says when to try again; one on the request itself never will.
        ErrorCode::LimitExceeded if error.retry_after.is_none() => StatusCode::BAD_REQUEST,
        ErrorCode::LimitExceeded | ErrorCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::NoService | ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn is_temporary(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    )
}

fn accepts_events(head: &Parts) -> bool {
    let is_events = |range: &str| {
        range
            .split(';')
            .next()
            .is_some_and(|kind| kind.trim() == "text/event-stream")
    };
    texts(&head.headers, &header::ACCEPT)
        .iter()
        .flat_map(|list| list.split(','))
        .any(is_events)
}

/// Between once and twice the time: everybody who was refused together must not come back together.
fn jittered(after: Duration) -> Duration {
    let spread = getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX));
    after.mul_f64(1.0 + spread)
}

#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: &'a str,
    /// Milliseconds, as in every reply; the header `Retry-After` has seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_statuses() {
        let check = |code, retry_after_ms: Option<u64>, status: u16| {
            let mut error = ClientError::new(code, "x");
            error.retry_after = retry_after_ms.map(Duration::from_millis);
            assert_eq!(Refusal::from(error).status.as_u16(), status, "{code}");
        };
        check(ErrorCode::BadRequest, None, 400);
        check(ErrorCode::Unauthenticated, None, 401);
        check(ErrorCode::TokenExpired, None, 401);
        check(ErrorCode::PermissionDenied, None, 403);
        check(ErrorCode::UnknownNamespace, None, 404);
        check(ErrorCode::LimitExceeded, None, 400);
        check(ErrorCode::LimitExceeded, Some(10), 429);
        check(ErrorCode::RateLimited, None, 429);
        check(ErrorCode::PayloadTooLarge, None, 413);
        check(ErrorCode::Unavailable, None, 503);
        check(ErrorCode::Internal, None, 500);
    }

    #[test]
    fn temporary_refusals_say_when_and_unauthenticated_ones_how() {
        let headers = |code, after: Option<u64>| {
            let mut error = ClientError::new(code, "x");
            error.retry_after = after.map(Duration::from_millis);
            Refusal::from(error).into_response().headers().clone()
        };
        assert_eq!(
            headers(ErrorCode::Unavailable, Some(4001))[header::RETRY_AFTER],
            "5"
        );
        assert_eq!(
            headers(ErrorCode::Unavailable, None)[header::RETRY_AFTER],
            "1"
        );
        let unauthenticated = headers(ErrorCode::Unauthenticated, None);
        assert_eq!(unauthenticated[header::WWW_AUTHENTICATE], "Bearer");
        assert_eq!(unauthenticated[header::CACHE_CONTROL], "no-store");
        assert!(!unauthenticated.contains_key(header::RETRY_AFTER));
    }

    #[test]
    fn jitter_stays_between_once_and_twice() {
        for _ in 0..1000 {
            let after = jittered(Duration::from_secs(2));
            assert!(
                (Duration::from_secs(2)..=Duration::from_secs(4)).contains(&after),
                "{after:?}"
            );
        }
    }
}
