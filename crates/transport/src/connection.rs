//! One connection, from accept to its end or to the node.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::Socket;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

use crate::clients::Shared;
use crate::http1::Http1;
use crate::listener::Place;
use crate::pump;
use crate::requests::{Busy, Requests};
use crate::sniff::{Version, sniff};
use crate::stream::{ClientStream, Inlet};
use crate::takeover::Handover;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How long a connection that is done waits for its client to close, so that the last answer is not overtaken by a reset.
const LINGER: Duration = Duration::from_secs(1);

/// Serves a connection.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    router: Router,
    tcp: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    place: Place,
) {
    let deadline = Instant::now() + shared.node.limits().handshake_timeout;
    let begun = tokio::select! {
        // Nothing has been asked yet, so nothing is owed.
        () = shared.stop.cancelled() => return,
        // Boxed: a TLS handshake is larger than all that a connection needs later.
        begun = timeout_at(deadline, Box::pin(begin(&shared, tcp, tls))) => begun,
    };
    let (version, stream, prefix) = match begun {
        Ok(Ok(Some(begun))) => begun,
        Ok(Ok(None)) => return,
        Ok(Err(error)) => {
            tracing::debug!(%error, client.addr = %peer.ip(), "connection ended before a request");
            return;
        }
        Err(_) => {
            tracing::debug!(client.addr = %peer.ip(), "connection timed out before a request");
            return;
        }
    };
    // Boxed: an idle connection should not pay for the larger of the two.
    let ended = match version {
        Version::Http1 => {
            let http1 = Http1 {
                shared,
                router,
                peer,
                // The first head has what is left of the time from accept; it is also what a connection may be idle
                // between requests.
                head_timeout: deadline
                    .saturating_duration_since(Instant::now())
                    .max(Duration::from_secs(1)),
                _place: place,
            };
            http1.serve(stream, prefix.into()).await
        }
        Version::Http2 => {
            let ended = Box::pin(serve_http2(&shared, router, stream, prefix, peer)).await;
            drop(place);
            ended
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, client.addr = %peer.ip(), "connection ended");
    }
}

async fn begin(
    shared: &Shared,
    tcp: TcpStream,
    tls: Option<TlsAcceptor>,
) -> io::Result<Option<(Version, ClientStream, Bytes)>> {
    let mut stream = match tls {
        None => ClientStream::Plain(tcp),
        Some(tls) => {
            let accepted = tls.accept(tcp).await;
            ClientStream::Tls(Box::new(accepted.inspect_err(|_| {
                shared.metrics.tls_errors.inc();
            })?))
        }
    };
    let sniffed = sniff(&mut stream).await?;
    Ok(sniffed.map(|(version, prefix)| (version, stream, prefix)))
}

async fn serve_http2(
    shared: &Arc<Shared>,
    router: Router,
    stream: ClientStream,
    prefix: Bytes,
    peer: SocketAddr,
) -> Result<(), BoxError> {
    let limits = shared.node.limits();
    let inlet = Inlet {
        stream,
        prefix,
        slot: None,
    };
    let busy = Busy::default();
    let service = Requests {
        router,
        peer,
        slot: None,
        busy: Some(busy.clone()),
    };
    let mut connection = http2::Builder::new(TrackedExecutor(Arc::clone(shared)))
        .timer(TokioTimer::new())
        .max_header_list_size(limits.header_bytes_max as u32)
        .max_concurrent_streams(limits.streams_per_connection_max)
        .keep_alive_interval(limits.ping_interval)
        .keep_alive_timeout(limits.pong_timeout)
        .enable_connect_protocol()
        .serve_connection(TokioIo::new(inlet), service);
    let mut check = tokio::time::interval(limits.handshake_timeout.max(Duration::from_millis(1)));
    check.reset();
    let (mut stopping, mut idle_checks) = (false, 0);
    loop {
        tokio::select! {
            ended = &mut connection => return Ok(ended?),
            () = shared.stop.cancelled(), if !stopping => {
                stopping = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            // HTTP/2 has no time between requests in which a library would notice that none comes.
            _ = check.tick() => {
                idle_checks = if busy.holders() == 0 { idle_checks + 1 } else { 0 };
                match idle_checks {
                    0 | 1 => {}
                    2 => Pin::new(&mut connection).graceful_shutdown(),
                    _ => return Ok(()),
                }
            }
        }
    }
}

/// Gives the connection to the node.
pub(crate) fn hand_over(
    shared: &Arc<Shared>,
    handover: Handover,
    stream: ClientStream,
    leftover: Bytes,
) {
    let Handover {
        opening,
        admission,
        pair,
    } = handover;
    let outcome = match (stream, pair) {
        // Registered anew on its shard's runtime, which also drops the wakers that hyper left behind.
        (ClientStream::Plain(tcp), _) => tcp.into_std().map(Socket::from),
        (ClientStream::Tls(tls), Some((near, far))) => {
            shared.spawn(pump::run(far, *tls, shared.node.limits().outbox_age_max));
            Ok(near)
        }
        (ClientStream::Tls(_), None) => Err(io::Error::other("no pair was made")),
    };
    match outcome {
        Ok(socket) => shared.node.adopt(opening, admission, socket, leftover),
        Err(error) => tracing::warn!(%error, "connection could not be handed over"),
    }
}

/// Ends a connection whose last answer may still be on its way.
pub(crate) fn close(mut stream: ClientStream) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    // Boxed: a connection that waits has no room for its last moments.
    Box::pin(async move {
        let _ = timeout(LINGER, async {
            stream.shutdown().await?;
            let mut scratch = [0; 1024];
            while stream.read(&mut scratch).await? > 0 {}
            io::Result::Ok(())
        })
        .await;
    })
}

/// Runs the tasks of HTTP/2's streams among the others.
#[derive(Clone)]
struct TrackedExecutor(Arc<Shared>);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for TrackedExecutor {
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}
