//! A connection of HTTP/1: by turns with the library, and without it where it polls.
//!
//! What polls is served on the thread of its session's shard ([`AtShard`]), as far as its socket can go there: a
//! connection that speaks TLS stays.

use std::future::{pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use switchboard_node::AtShard;
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use crate::clients::Shared;
use crate::connection::{BoxError, close, hand_over};
use crate::listener::Place;
use crate::polls::{self, Next};
use crate::requests::Requests;
use crate::stream::{ClientStream, Inlet};
use crate::takeover::Slot;

/// The least buffer that hyper takes.
const BUFFER_BYTES_MIN: usize = 8 * 1024;

/// A connection of HTTP/1, without its socket.
pub(crate) struct Http1 {
    pub(crate) shared: Arc<Shared>,
    pub(crate) router: Router,
    pub(crate) peer: SocketAddr,
    /// How long a request's head may take, and none may come.
    pub(crate) head_timeout: Duration,
    /// Held to the end.
    pub(crate) _place: Place,
}

impl Http1 {
    /// Serves it to its end, or to where somebody else goes on. `bytes` have been read already.
    pub(crate) fn serve(
        self,
        mut stream: ClientStream,
        mut bytes: Vec<u8>,
    ) -> Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>> {
        Box::pin(async move {
            loop {
                let (shared, timeout) = (&self.shared, self.head_timeout);
                let next = match &stream {
                    ClientStream::Plain(_) => {
                        polls::look(shared, &mut stream, bytes, timeout).await?
                    }
                    ClientStream::Tls(_) => {
                        polls::serve(shared, &mut stream, bytes, timeout, pending()).await?
                    }
                };
                match next {
                    // Boxed: it is much larger than a poll that waits.
                    Next::Library(read) => {
                        match Box::pin(self.serve_library(stream, read)).await? {
                            Some((back, read)) => (stream, bytes) = (back, read),
                            None => return Ok(()),
                        }
                    }
                    Next::Shard(shard, read) => return Ok(self.go_to(shard, stream, read)?),
                    Next::Close => {
                        close(stream).await;
                        return Ok(());
                    }
                }
            }
        })
    }

    /// Goes on at a shard, and comes back from there for whatever is no poll.
    fn go_to(self, shard: u16, stream: ClientStream, bytes: Vec<u8>) -> io::Result<()> {
        let ClientStream::Plain(tcp) = stream else {
            return Err(io::Error::other("only a bare socket can go to a shard"));
        };
        // Registered anew with the runtime of wherever it is.
        let tcp = tcp.into_std()?;
        let (here, node) = (Handle::current(), self.shared.node.clone());
        let task = self.shared.task_token();
        node.at_shard(shard, async move |at: AtShard| {
            let _task = task;
            let abort = self.shared.abort.clone();
            let served = abort.run_until_cancelled(self.serve_at(&at, tcp, bytes));
            match served.await {
                Some(Ok(Some((tcp, read)))) => {
                    let shared = Arc::clone(&self.shared);
                    shared.spawn_on(&here, async move { self.come_back(tcp, read).await });
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, client.addr = %self.peer.ip(), "connection ended");
                }
                Some(Ok(None)) | None => {}
            }
        });
        Ok(())
    }

    /// Serves polls at a shard; gives the socket back with what was read of something else.
    async fn serve_at(
        &self,
        at: &AtShard,
        tcp: std::net::TcpStream,
        bytes: Vec<u8>,
    ) -> io::Result<Option<(std::net::TcpStream, Vec<u8>)>> {
        let mut stream = ClientStream::Plain(TcpStream::from_std(tcp)?);
        let (shared, timeout) = (&self.shared, self.head_timeout);
        let next = polls::serve(shared, &mut stream, bytes, timeout, at.stopping()).await?;
        match (next, stream) {
            (Next::Library(read), ClientStream::Plain(tcp)) => Ok(Some((tcp.into_std()?, read))),
            (_, stream) => {
                close(stream).await;
                Ok(None)
            }
        }
    }

    async fn come_back(self, tcp: std::net::TcpStream, bytes: Vec<u8>) {
        let ip = self.peer.ip();
        let served = match TcpStream::from_std(tcp) {
            Ok(tcp) => self.serve(ClientStream::Plain(tcp), bytes).await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = served {
            tracing::debug!(%error, client.addr = %ip, "connection ended");
        }
    }

    /// Requests as hyper reads them; gives the connection back for polls, with what was read of the next request.
    async fn serve_library(
        &self,
        stream: ClientStream,
        prefix: Vec<u8>,
    ) -> hyper::Result<Option<(ClientStream, Vec<u8>)>> {
        let shared = &self.shared;
        let limits = shared.node.limits();
        let is_tls = matches!(stream, ClientStream::Tls(_));
        let slot = Arc::new(Slot::new(is_tls));
        let inlet = Inlet {
            stream,
            prefix: prefix.into(),
            slot: Some(Arc::clone(&slot)),
        };
        let service = Requests {
            router: self.router.clone(),
            peer: self.peer,
            slot: Some(Arc::clone(&slot)),
            busy: None,
        };
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head_timeout)
            .max_headers(limits.headers_max)
            .max_header_size(limits.header_bytes_max)
            .max_buf_size(limits.header_bytes_max.max(BUFFER_BYTES_MIN))
            .serve_connection(TokioIo::new(inlet), service);
        let mut stopping = false;
        let ended = loop {
            let step = poll_fn(|cx| match connection.poll_without_shutdown(cx) {
                Poll::Pending if slot.is_ready() => Poll::Ready(Ok(())),
                step => step,
            });
            tokio::select! {
                biased;
                ended = step => break ended,
                () = shared.stop.cancelled(), if !stopping => {
                    stopping = true;
                    Pin::new(&mut connection).graceful_shutdown();
                }
            }
        };
        let parts = connection.into_parts();
        let Inlet { stream, prefix, .. } = parts.io.into_inner();
        // A copy: an empty or short buffer would pin the block that hyper read into.
        let unread = [&parts.read_buf[..], &prefix[..]].concat();
        match slot.take().filter(|_| ended.is_ok()) {
            Some(handover) => hand_over(shared, handover, stream, unread.into()),
            None if ended.is_ok() && slot.is_for_polls() && !stopping => {
                return Ok(Some((stream, unread)));
            }
            // Also after nonsense: there is an answer to it on its way, and most often more nonsense that nobody has read.
            None => close(stream).await,
        }
        ended.map(|()| None)
    }
}
