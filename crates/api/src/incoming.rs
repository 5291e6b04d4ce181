//! Accepts connections: not too many, and each with a way to end it that does not hang on its peer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tokio_stream::Stream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::config::ApiBounds;

/// How long to wait after an accept that failed: most often descriptors have run out, and trying at once would only burn
/// a core.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// What every HTTP/2 connection begins with, in bytes (RFC 9113, section 3.4). With TLS the hello is longer than this, and
/// the handshake behind it has a timeout of its own.
const PREFACE_BYTES: usize = 24;

/// Connections of `listener`, as many at a time as the bounds allow; more wait in the kernel's queue. `broken_off` ends
/// them all at once.
pub(crate) fn incoming(
    listener: TcpListener,
    bounds: &ApiBounds,
    broken_off: CancellationToken,
) -> impl Stream<Item = io::Result<Connection>> + use<> {
    let places = Arc::new(Semaphore::new(bounds.connections_max));
    let (handshake_timeout, user_timeout) = (bounds.handshake_timeout, bounds.tcp_user_timeout);
    async_stream::stream! {
        loop {
            let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
            match listener.accept().await {
                Ok((socket, _)) => {
                    if let Err(error) = prepare(&socket, user_timeout) {
                        // The peer has gone already, or the platform lacks the option: the connection works without.
                        tracing::debug!(%error, "could not set the options of an api connection");
                    }
                    let broken_off = Box::pin(broken_off.clone().cancelled_owned());
                    let opening = Some(Opening {
                        bytes_left: PREFACE_BYTES,
                        deadline: Box::pin(tokio::time::sleep(handshake_timeout)),
                    });
                    yield Ok(Connection { socket, opening, broken_off, _place: place });
                }
                Err(error) => {
                    tracing::warn!(%error, "could not accept an api connection");
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }
}

fn prepare(socket: &TcpStream, user_timeout: Duration) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = SockRef::from(socket);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(user_timeout))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(user_timeout))?;
    Ok(())
}

/// An accepted connection.
pub(crate) struct Connection {
    socket: TcpStream,
    /// Until it has said that it speaks HTTP/2: a connection that says nothing must not hold its place.
    opening: Option<Opening>,
    broken_off: Pin<Box<WaitForCancellationFutureOwned>>,
    _place: OwnedSemaphorePermit,
}

struct Opening {
    bytes_left: usize,
    deadline: Pin<Box<Sleep>>,
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.socket.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buf);
        if let Some(opening) = &mut self.opening {
            let bytes = buf.filled().len() - before;
            opening.bytes_left = opening.bytes_left.saturating_sub(bytes);
            if opening.bytes_left == 0 {
                self.opening = None;
            } else if read.is_pending() && opening.deadline.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        // A server reads always, so it is enough to look here, and only when there is nothing to do anyway.
        if read.is_pending() && self.broken_off.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}
