//! The accept loop. It outlives whatever goes wrong with single connections, and the want of descriptors too.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use rustls::ServerConfig;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::clients::Shared;
use crate::connection;
use crate::refusal::{self, EVENT_STREAM};

/// How long to wait when accepting fails for want of something (descriptors, memory) that only time gives back.
const BACKOFF: Duration = Duration::from_millis(100);

/// Descriptors above what clients may have that those may take while they linger.
const LINGERING_DESCRIPTORS_MAX: usize = 8;

/// How long such a connection may take to ask, and how long it lingers when it is answered.
const LINGER: Duration = Duration::from_secs(1);

/// Bytes of a refused request that are looked at. One that goes on is answered without a look at the rest.
const REFUSED_BYTES_MAX: usize = 4 * 1024;

const TOO_MANY_DETAIL: &str = "this node has as many connections as it takes";
const TOO_MANY_RETRY_AFTER: Duration = Duration::from_secs(5);

const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/problem+json\r\n\
    cache-control: no-store\r\n\
    retry-after: 5\r\n\
    connection: close\r\n\
    content-length: 162\r\n\r\n\
    {\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\"code\":\"unavailable\",\
    \"detail\":\"this node has as many connections as it takes\",\"retry_after\":5000}";

/// Accepts until the stop token is cancelled.
pub(crate) async fn run(
    shared: &Arc<Shared>,
    router: &Router,
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
) {
    let tls = tls.map(acceptor);
    let transport = if tls.is_some() { "https" } else { "http" };
    let address = listener
        .local_addr()
        .map(|address| address.to_string())
        .unwrap_or_default();
    tracing::info!(transport, address, "listening for clients");
    let lingering = Arc::new(AtomicUsize::new(0));
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((tcp, peer)) => {
                failing = false;
                shared.metrics.accepts.inc();
                let place = Place::take(shared).filter(|_| shared.may_keep(&tcp, 0));
                let Some(place) = place else {
                    shared.metrics.connections_refused.inc();
                    refuse(shared, tcp, tls.is_some(), &lingering);
                    continue;
                };
                if let Err(error) = prepare(&tcp, shared) {
                    // Only a client that has gone already makes these fail.
                    tracing::debug!(%error, client.addr = %peer.ip(), "connection could not be prepared");
                    continue;
                }
                let (connection, router, tls) = (Arc::clone(shared), router.clone(), tls.clone());
                // Boxed once here: each layer of a task would make room for the whole of it anew.
                let served = connection::serve(connection, router, tcp, peer, tls, place);
                shared.spawn(Box::pin(served));
            }
            Err(error) if is_of_one_connection(&error) => {
                shared.metrics.accept_errors.inc();
            }
            Err(error) => {
                shared.metrics.accept_errors.inc();
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "connections cannot be accepted");
                }
                tokio::time::sleep(BACKOFF).await;
            }
        }
    }
    tracing::info!(transport, address, "no longer listening for clients");
}

/// A connection's place among those that speak HTTP, given back when it is dropped.
pub(crate) struct Place(Arc<Shared>);

impl Place {
    fn take(shared: &Arc<Shared>) -> Option<Self> {
        let max = shared.config.connections_max;
        let before = shared.metrics.connections.inc();
        let place = Self(Arc::clone(shared));
        (max == 0 || usize::try_from(before).is_ok_and(|before| before < max)).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.metrics.connections.dec();
    }
}

fn acceptor(config: Arc<ServerConfig>) -> TlsAcceptor {
    let mut config = Arc::unwrap_or_clone(config);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

fn prepare(tcp: &TcpStream, shared: &Shared) -> io::Result<()> {
    let limits = shared.node.limits();
    tcp.set_nodelay(true)?;
    let socket = SockRef::from(tcp);
    socket.set_tcp_user_timeout(Some(limits.tcp_user_timeout))?;
    socket.set_tcp_notsent_lowat(limits.unsent_bytes_max)?;
    // Reaps half-open peers of connections on which nothing is sent, such as a parked poll's.
    let keepalive = TcpKeepalive::new()
        .with_time(limits.ping_interval.max(KEEPALIVE_MIN))
        .with_interval(limits.pong_timeout.max(KEEPALIVE_MIN));
    socket.set_tcp_keepalive(&keepalive)
}

/// The kernel counts keep-alive in whole seconds.
const KEEPALIVE_MIN: Duration = Duration::from_secs(1);

/// Errors that say that one client left while it was being accepted (accept(2) lists them).
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::TimedOut
    )
}

/// Says 503 to one that came too many, where that costs little, and closes. Under TLS nothing can be said without a
/// handshake.
fn refuse(shared: &Arc<Shared>, mut tcp: TcpStream, is_tls: bool, lingering: &Arc<AtomicUsize>) {
    if is_tls
        || lingering.load(Ordering::Relaxed) >= shared.node.limits().refusals_lingering_max
        || !shared.may_keep(&tcp, LINGERING_DESCRIPTORS_MAX)
    {
        return;
    }
    lingering.fetch_add(1, Ordering::Relaxed);
    let lingering = Arc::clone(lingering);
    shared.spawn(async move {
        let mut asked = Vec::with_capacity(1024);
        let read = timeout(LINGER, read_head(&mut tcp, &mut asked)).await;
        if let Ok(Err(_)) = read {
            lingering.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let _ = timeout(LINGER, async {
            tcp.write_all(&refusal(&asked)).await?;
            tcp.shutdown().await?;
            // A close with unread bytes is a reset, which may overtake the answer.
            let mut scratch = [0; 1024];
            while tcp.read(&mut scratch).await? > 0 {}
            io::Result::Ok(())
        })
        .await;
        lingering.fetch_sub(1, Ordering::Relaxed);
    });
}

async fn read_head(tcp: &mut TcpStream, asked: &mut Vec<u8>) -> io::Result<()> {
    while asked.len() < REFUSED_BYTES_MAX && !asked.windows(4).any(|end| end == b"\r\n\r\n") {
        if tcp.read_buf(asked).await? == 0 {
            break;
        }
    }
    Ok(())
}

/// The answer to a request that has not been looked at any closer. An `EventSource` is told in its own way, for a 503 would
/// be its end.
fn refusal(asked: &[u8]) -> Cow<'static, [u8]> {
    let asked = String::from_utf8_lossy(asked).to_ascii_lowercase();
    let is_stream = asked.starts_with("get /v1/sse")
        && asked
            .lines()
            .any(|line| line.starts_with("accept:") && line.contains("text/event-stream"));
    if is_stream {
        Cow::Owned(refused_stream(TOO_MANY_DETAIL, TOO_MANY_RETRY_AFTER))
    } else {
        Cow::Borrowed(TOO_MANY)
    }
}

/// A whole response to an `EventSource`, without its CORS headers: one of another origin fails by them, and comes back.
fn refused_stream(detail: &'static str, after: Duration) -> Vec<u8> {
    let events = refusal::closing_events(detail, after);
    let mut response = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {EVENT_STREAM}\r\ncache-control: no-store\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        events.len()
    )
    .into_bytes();
    response.extend(events);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canned_answer_is_as_long_as_it_says() {
        let text = std::str::from_utf8(TOO_MANY).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("content-length: {}", body.len())),
            "{}",
            body.len()
        );
        let problem: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(problem["detail"], TOO_MANY_DETAIL);
        assert_eq!(
            problem["retry_after"],
            TOO_MANY_RETRY_AFTER.as_millis() as u64
        );
    }
}
