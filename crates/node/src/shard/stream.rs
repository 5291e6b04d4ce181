//! A session's socket: a client's TCP connection, or the near end of a socket pair whose far end is pumped into TLS or HTTP/2.
//!
//! The fan-out sends straight on it, past the reactor; the session's tasks wait for it through the reactor. They never hold it:
//! each poll borrows it anew, so the slot can own it densely.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll};

use socket2::{Domain, SockRef, Socket};
use tokio::net::{TcpStream, UnixStream};

/// Never wait, and no signal when the peer has gone.
const SEND_FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

/// A connected socket, registered with the shard's runtime.
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// Benchmarks: takes everything, gives nothing.
    #[cfg(feature = "bench")]
    Null,
}

impl Stream {
    /// Registers a socket with the current runtime.
    pub(crate) fn register(socket: Socket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        if socket.domain()? == Domain::UNIX {
            UnixStream::from_std(socket.into()).map(Self::Unix)
        } else {
            TcpStream::from_std(socket.into()).map(Self::Tcp)
        }
    }

    /// For sends by a batch.
    #[inline]
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        #[cfg(feature = "bench")]
        super::bench::count_send();
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
            #[cfg(feature = "bench")]
            Self::Null => unreachable!("benchmarks without sockets have no ring"),
        }
    }

    fn socket(&self) -> SockRef<'_> {
        match self {
            Self::Tcp(stream) => SockRef::from(stream),
            Self::Unix(stream) => SockRef::from(stream),
            #[cfg(feature = "bench")]
            Self::Null => unreachable!("every call looks for it first"),
        }
    }

    /// Benchmarks: counts a send, and says whether there is no socket.
    #[cfg(feature = "bench")]
    fn is_null(&self) -> bool {
        super::bench::count_send();
        matches!(self, Self::Null)
    }

    /// Sends what the socket takes at once: one system call.
    #[inline]
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        #[cfg(feature = "bench")]
        if self.is_null() {
            return Ok(bytes.len());
        }
        self.socket().send_with_flags(bytes, SEND_FLAGS)
    }

    /// The same for several buffers.
    #[inline]
    pub(crate) fn send_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        #[cfg(feature = "bench")]
        if self.is_null() {
            return Ok(slices.iter().map(|slice| slice.len()).sum());
        }
        self.socket().send_vectored_with_flags(slices, SEND_FLAGS)
    }

    /// Writes what the socket takes; when it takes nothing, the reactor knows to wait.
    pub(crate) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write_vectored(slices),
            Self::Unix(stream) => stream.try_write_vectored(slices),
            #[cfg(feature = "bench")]
            Self::Null => Ok(slices.iter().map(|slice| slice.len()).sum()),
        }
    }

    /// Reads what there is; when there is nothing, the reactor knows to wait.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read(buffer),
            Self::Unix(stream) => stream.try_read(buffer),
            #[cfg(feature = "bench")]
            Self::Null => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    pub(crate) fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(context),
            Self::Unix(stream) => stream.poll_read_ready(context),
            #[cfg(feature = "bench")]
            Self::Null => Poll::Pending,
        }
    }

    pub(crate) fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_write_ready(context),
            Self::Unix(stream) => stream.poll_write_ready(context),
            #[cfg(feature = "bench")]
            Self::Null => Poll::Ready(Ok(())),
        }
    }

    /// Ends one or both directions. That the peer has done so already is no error worth telling.
    pub(crate) fn shutdown(&self, how: Shutdown) {
        #[cfg(feature = "bench")]
        if matches!(self, Self::Null) {
            return;
        }
        let _ = self.socket().shutdown(how);
    }
}
