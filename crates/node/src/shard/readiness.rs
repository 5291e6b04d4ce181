//! Waiting for a socket that somebody else owns.
//!
//! The slot owns the socket, densely, for the fan-out; the session's tasks only need to know when it is readable or writable. So
//! they register its number with the reactor and never close it.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use socket2::Socket;
use tokio::io::unix::AsyncFd;

/// A descriptor's number. It owns nothing: the slot outlives every task that holds one (see `Session::tasks`).
pub(crate) struct Number(RawFd);

impl AsRawFd for Number {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

/// A socket's entry in the shard's reactor.
pub(crate) type Readiness = AsyncFd<Number>;

/// Registers a socket with the current runtime.
pub(crate) fn register(socket: &Socket) -> io::Result<Readiness> {
    AsyncFd::new(Number(socket.as_raw_fd()))
}
