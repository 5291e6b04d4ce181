//! The slow way out: connections that the node cannot own (TLS, a stream of HTTP/2) are pumped into a socket pair whose
//! near end it adopts like any other socket.
//!
//! So a session behaves the same either way: the pair's bounded buffers fill when the client reads slowly, and the
//! shard's policy applies as if the socket were the client's.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body::Frame;
use socket2::{SockRef, Socket};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Bytes moved at once; one buffer a direction, for as long as the connection lives.
const CHUNK_BYTES: usize = 4 * 1024;

/// Bytes that the pair holds towards the client before the shard sees a slow reader. As for a client's own socket, see
/// the listener.
const PAIR_BYTES_MAX: usize = 64 * 1024;

/// How long the node may go on when the client has ended: time for its last frames, and for it to notice.
const NODE_LINGER: Duration = Duration::from_secs(5);

/// How long the client may go on when the node has ended: nobody reads any more, but a reset could overtake the last frame.
const CLIENT_LINGER: Duration = Duration::from_secs(1);

/// Makes a pair: the near end for the node, the far end for the pump.
pub(crate) fn pair() -> io::Result<(Socket, UnixStream)> {
    let (near, far) = UnixStream::pair()?;
    SockRef::from(&near).set_send_buffer_size(PAIR_BYTES_MAX)?;
    let near = near.into_std()?;
    Ok((Socket::from(std::os::fd::OwnedFd::from(near)), far))
}

/// A response's body out of what the node writes, and the work that fills it.
///
/// Work of its own, because a body is not looked at while its stream's window is closed: a client that opens streams and
/// takes nothing would hold their descriptors for as long as it likes, though their sessions have long been closed.
pub(crate) fn body(
    mut far: UnixStream,
    write_timeout: Duration,
) -> (Body, impl Future<Output = ()> + Send) {
    // One chunk waits in the channel and one in the stream, beside what the pair holds.
    let (chunks, receiver) = mpsc::channel::<io::Result<Bytes>>(1);
    let pumping = async move {
        loop {
            let place = match timeout(write_timeout, chunks.reserve()).await {
                Ok(Ok(place)) => place,
                Ok(Err(_)) => return,
                Err(_) => {
                    tracing::debug!("an event stream's client takes nothing");
                    return;
                }
            };
            let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
            let read = tokio::select! {
                read = far.read_buf(&mut chunk) => read,
                () = chunks.closed() => return,
            };
            match read {
                Ok(0) => return,
                Ok(_) => place.send(Ok(chunk.freeze())),
                Err(error) => return place.send(Err(error)),
            }
        }
    };
    let received = Received(receiver);
    (Body::new(received), pumping)
}

struct Received(mpsc::Receiver<io::Result<Bytes>>);

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let chunk = self.get_mut().0.poll_recv(cx);
        chunk.map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }
}

/// Moves bytes both ways until both directions have ended, or one has and the other does not follow.
///
/// Each direction ends by shutting down what it writes to, so nothing that was sent before an end is lost. A write that
/// makes no progress for `write_timeout` ends the pump: the shard may have gone long before a stalled client does.
pub(crate) async fn run(
    far: UnixStream,
    client: impl AsyncRead + AsyncWrite,
    write_timeout: Duration,
) {
    let (far_read, far_write) = far.into_split();
    let (client_read, client_write) = tokio::io::split(client);
    let mut to_client = Box::pin(copy(far_read, client_write, write_timeout));
    let mut to_node = Box::pin(copy(client_read, far_write, write_timeout));
    let outcome = tokio::select! {
        first = &mut to_client => match first {
            Ok(()) => timeout(CLIENT_LINGER, to_node).await.unwrap_or(Ok(())),
            failed => failed,
        },
        first = &mut to_node => match first {
            Ok(()) => timeout(NODE_LINGER, to_client).await.unwrap_or(Ok(())),
            failed => failed,
        },
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "pumped connection ended");
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    write_timeout: Duration,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let count = from.read(&mut chunk).await?;
        if count == 0 {
            return timeout(write_timeout, to.shutdown()).await?;
        }
        let write = async {
            to.write_all(&chunk[..count]).await?;
            // TLS holds back what does not fill a record.
            to.flush().await
        };
        timeout(write_timeout, write).await??;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nothing_is_lost_when_the_node_writes_and_leaves() {
        let (mut near, far) = pair().unwrap();
        let (client, mut browser) = tokio::io::duplex(1000);
        let pump = tokio::spawn(run(far, client, TIMEOUT));
        let sent: Vec<u8> = (0..300_000_u32).map(|number| number as u8).collect();
        let expected = sent.clone();
        let node = tokio::task::spawn_blocking(move || {
            near.set_nonblocking(false).unwrap();
            near.write_all(&sent).unwrap();
        });
        let mut received = Vec::new();
        browser.read_to_end(&mut received).await.unwrap();
        assert!(
            received == expected,
            "{} of {} bytes came",
            received.len(),
            expected.len()
        );
        node.await.unwrap();
        drop(browser);
        pump.await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_node_sees_all_that_the_client_sent_and_its_end() {
        let (mut near, far) = pair().unwrap();
        let (client, mut browser) = tokio::io::duplex(1000);
        let pump = tokio::spawn(run(far, client, TIMEOUT));
        let received = tokio::task::spawn_blocking(move || {
            near.set_nonblocking(false).unwrap();
            let mut received = Vec::new();
            near.read_to_end(&mut received).unwrap();
            near.write_all(b"bye").unwrap();
            received.len()
        });
        browser.write_all(&vec![7; 100_000]).await.unwrap();
        browser.shutdown().await.unwrap();
        assert_eq!(received.await.unwrap(), 100_000);
        let mut last = Vec::new();
        browser.read_to_end(&mut last).await.unwrap();
        assert_eq!(last, b"bye");
        pump.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_stalls_does_not_hold_the_pump() {
        let (near, far) = pair().unwrap();
        let (client, browser) = tokio::io::duplex(10);
        (&near).write_all(&[7; 10_000]).unwrap();
        drop(near);
        run(far, client, TIMEOUT).await;
        drop(browser);
    }
}
