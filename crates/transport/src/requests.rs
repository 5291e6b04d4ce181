//! What a connection's requests are answered by: the routes, told where each request came from.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Version, header};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use switchboard_core::ErrorCode;
use tower::ServiceExt;

use crate::refusal::Refusal;
use crate::takeover::Slot;

/// The other end of the socket that a request came by; an extension of each request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Held by whatever keeps a connection of HTTP/2 in use: a request, a body, a tunnel. An extension of its requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Busy(Arc<()>);

impl Busy {
    /// How many hold it, the connection itself and its service not counted.
    pub(crate) fn holders(&self) -> usize {
        Arc::strong_count(&self.0).saturating_sub(2)
    }
}

/// The service of one connection.
pub(crate) struct Requests {
    pub(crate) router: Router,
    pub(crate) peer: SocketAddr,
    /// HTTP/1: where handlers leave what the socket is for.
    pub(crate) slot: Option<Arc<Slot>>,
    /// HTTP/2: held while something goes on.
    pub(crate) busy: Option<Busy>,
}

impl hyper::service::Service<Request<Incoming>> for Requests {
    type Response = Response;
    type Error = Infallible;
    // Boxed so that the connection is `Unpin`, which taking it apart needs.
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        if let Some(slot) = &self.slot {
            slot.note_request();
        }
        if request.version() == Version::HTTP_11 && !has_one_host(request.headers()) {
            // RFC 9112, section 3.2: who is meant must be as clear to a proxy before us as it is to us.
            let message = "a request has one `Host`";
            let refusal =
                Refusal::with_status(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, message)
                    .header(header::CONNECTION, HeaderValue::from_static("close"));
            return Box::pin(std::future::ready(Ok(refusal.into_response())));
        }
        let mut request = request.map(Body::new);
        let extensions = request.extensions_mut();
        extensions.insert(Peer(self.peer));
        if let Some(slot) = &self.slot {
            extensions.insert(Arc::clone(slot));
        }
        let busy = self.busy.clone();
        if let Some(busy) = &busy {
            extensions.insert(busy.clone());
        }
        let answer = self.router.clone().oneshot(request);
        Box::pin(async move {
            let response = answer.await?;
            Ok(match busy {
                Some(busy) => response.map(|body| Body::new(BusyBody { body, _busy: busy })),
                None => response,
            })
        })
    }
}

fn has_one_host(headers: &HeaderMap) -> bool {
    headers.get_all(header::HOST).iter().count() == 1
}

struct BusyBody {
    body: Body,
    _busy: Busy,
}

impl http_body::Body for BusyBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
