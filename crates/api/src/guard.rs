//! What stands before every call: the API key, a bound on calls at a time, the deadline, a line in the log.
//!
//! A layer and not a line in each method, so that no method can forget it. What needs no key is in `open`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use switchboard_auth::{ApiKeys, Caller};
use switchboard_core::{ClientError, ErrorCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::transport::server::TcpConnectInfo;
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::access;
use crate::config::ApiBounds;
use crate::open::{UntilStopped, is_open};
use crate::status::{explain, refused, status};

/// Puts the guard before services.
#[derive(Clone)]
pub(crate) struct GuardLayer(Arc<Gate>);

struct Gate {
    keys: ApiKeys,
    calls: Arc<Semaphore>,
    /// Places of calls that need no key, so that strangers can neither fill the hub nor take a service's place.
    open_calls: Arc<Semaphore>,
    call_timeout: Duration,
    /// Ends what has neither a key nor an end.
    stopping: CancellationToken,
}

impl GuardLayer {
    /// Lets `calls_max` calls in at a time, and as many that need no key; a call whose caller names no deadline has `call_timeout` until its response
    /// begins. `stopping` ends the streams that need no key.
    pub(crate) fn new(keys: ApiKeys, bounds: &ApiBounds, stopping: CancellationToken) -> Self {
        let places = || Arc::new(Semaphore::new(bounds.calls_max));
        Self(Arc::new(Gate {
            keys,
            calls: places(),
            open_calls: places(),
            call_timeout: bounds.call_timeout,
            stopping,
        }))
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard {
            inner,
            gate: Arc::clone(&self.0),
        }
    }
}

/// Services behind the guard.
#[derive(Clone)]
pub struct Guard<S> {
    inner: S,
    gate: Arc<Gate>,
}

impl<S> Service<Request<Body>> for Guard<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let mut record = Record::start(&request);
        if is_open(request.uri().path()) {
            let place = match place(&self.gate.open_calls) {
                Ok(place) => place,
                Err(error) => {
                    return Box::pin(std::future::ready(Ok(record.refuse(&status(error)))));
                }
            };
            let responding = tokio::time::timeout(self.gate.call_timeout, self.inner.call(request));
            let stopping = self.gate.stopping.clone();
            return Box::pin(async move {
                let Ok(response) = responding.await else {
                    return Ok(record.refuse(&timeout()));
                };
                let mut response = response?;
                record.code = explain(response.headers_mut()).or(Some(Code::Ok));
                drop(record); // A watch lasts: what counts is that it was let in.
                Ok(response.map(|body| Body::new(UntilStopped::new(body, stopping, place))))
            });
        }
        let permit = match self.gate.admit(&mut request, &mut record) {
            Ok(permit) => permit,
            Err(error) => return Box::pin(std::future::ready(Ok(record.refuse(&status(error))))),
        };
        let asked = request.headers().get("grpc-timeout").map(grpc_timeout);
        let deadline = match asked {
            None => None,
            Some(Some(timeout)) => Some(timeout),
            Some(None) => {
                let refusal = refused(ErrorCode::BadRequest, "`grpc-timeout` is no timeout");
                return Box::pin(std::future::ready(Ok(record.refuse(&refusal))));
            }
        };
        // Made before the call is: it ends no later than the framework's own timer, which knows no details.
        let mut sleep = Box::pin(tokio::time::sleep(
            deadline.unwrap_or(self.gate.call_timeout),
        ));
        let responding = self.inner.call(request);
        Box::pin(async move {
            let Ok(mut response) = tokio::select! {
                biased;
                response = responding => response,
                () = &mut sleep => return Ok(record.refuse(&timeout())),
            };
            record.code = explain(response.headers_mut());
            // From here on only the caller's own deadline counts: a stream may last as long as it likes.
            let deadline = deadline.map(|_| sleep);
            Ok(response.map(|body| {
                Body::new(Guarded {
                    body: Some(body),
                    deadline,
                    record,
                    _permit: permit,
                })
            }))
        })
    }
}

impl Gate {
    fn admit(
        &self,
        request: &mut Request<Body>,
        record: &mut Record,
    ) -> Result<OwnedSemaphorePermit, ClientError> {
        let caller = access::authenticate(&self.keys, request.headers())?;
        record.caller = Some(Arc::clone(&caller));
        access::remember(request.extensions_mut(), caller);
        place(&self.calls)
    }
}

fn place(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, ClientError> {
    Arc::clone(places).try_acquire_owned().map_err(|_| {
        ClientError::new(ErrorCode::Unavailable, "too many calls at a time")
            .retry_after(Duration::from_secs(1))
    })
}

fn timeout() -> Status {
    refused(
        ErrorCode::Timeout,
        "the deadline has passed: whether it was done is unknown",
    )
}

/// Reads a `grpc-timeout`: at most eight digits and a unit (gRPC over HTTP/2, Requests).
fn grpc_timeout(value: &HeaderValue) -> Option<Duration> {
    let (number, unit) = value
        .to_str()
        .ok()?
        .split_at_checked(value.len().checked_sub(1)?)?;
    if number.is_empty() || number.len() > 8 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = number.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// A response's body: holds the call's place until it ends, and ends it at the deadline.
struct Guarded {
    /// Dropped as soon as the call has ended, and with it what feeds it.
    body: Option<Body>,
    deadline: Option<Pin<Box<Sleep>>>,
    record: Record,
    _permit: OwnedSemaphorePermit,
}

impl http_body::Body for Guarded {
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
        if this
            .deadline
            .as_mut()
            .is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready())
        {
            this.body = None;
            this.record.code = Some(Code::DeadlineExceeded);
            let mut trailers = HeaderMap::new();
            timeout().add_header(&mut trailers)?;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        let frame = std::task::ready!(Pin::new(body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            frame.map(|mut frame| {
                if let Some(trailers) = frame.trailers_mut() {
                    this.record.code = explain(trailers);
                }
                frame
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body
            .as_ref()
            .is_none_or(http_body::Body::is_end_stream)
    }
}

/// A call's line in the log, written when the call is over, however it ends.
struct Record {
    method: Box<str>,
    caller: Option<Arc<Caller>>,
    client: Option<SocketAddr>,
    started: Instant,
    /// How it ended; nothing when it was left.
    code: Option<Code>,
}

impl Record {
    fn start(request: &Request<Body>) -> Self {
        Self {
            method: request.uri().path().into(),
            caller: None,
            client: request
                .extensions()
                .get::<TcpConnectInfo>()
                .and_then(TcpConnectInfo::remote_addr),
            started: Instant::now(),
            code: None,
        }
    }

    fn refuse(mut self, status: &Status) -> Response<Body> {
        self.code = Some(status.code());
        let mut response = Response::new(Body::empty());
        response.headers_mut().insert(
            http::header::CONTENT_TYPE,
            HeaderValue::from_static("application/grpc"),
        );
        // It fails only for text that is no header, and messages are percent-encoded.
        let _ = status.add_header(response.headers_mut());
        response
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        tracing::debug!(
            api.method = &*self.method,
            api.key = self.caller.as_ref().map(|caller| caller.name.as_str()),
            api.code = ?self.code.unwrap_or(Code::Cancelled),
            api.elapsed_us = self.started.elapsed().as_micros() as u64,
            client.addr = self.client.map(tracing::field::display),
            "api call"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_the_specification_has_them() {
        let check = |text: &str, expected| {
            assert_eq!(
                grpc_timeout(&HeaderValue::from_str(text).unwrap()),
                expected,
                "{text}"
            );
        };
        check("3H", Some(Duration::from_hours(3)));
        check("1M", Some(Duration::from_mins(1)));
        check("99999999S", Some(Duration::from_secs(99_999_999)));
        check("250m", Some(Duration::from_millis(250)));
        check("7u", Some(Duration::from_micros(7)));
        check("7n", Some(Duration::from_nanos(7)));
        for bad in ["", "S", "1", "1s", "+1S", "-1S", "100000000S", "1 S"] {
            check(bad, None);
        }
    }
}
