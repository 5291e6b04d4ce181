//! A client that knows nothing: bytes out, bytes in.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::hub::{Hub, PATIENCE};

pub(crate) struct Raw<T> {
    pub(crate) stream: T,
    /// Read and not yet asked for.
    read: Vec<u8>,
}

impl Raw<TcpStream> {
    pub(crate) async fn connect(hub: &Hub) -> Self {
        Self::over(TcpStream::connect(hub.address).await.unwrap())
    }

    /// Sends one request by a connection of its own that then closes; gives the whole answer.
    pub(crate) async fn ask(hub: &Hub, head: &str) -> String {
        let mut raw = Self::connect(hub).await;
        raw.send(&format!("{head}Host: hub\r\nConnection: close\r\n\r\n"))
            .await;
        raw.rest().await
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Raw<T> {
    pub(crate) fn over(stream: T) -> Self {
        Self {
            stream,
            read: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Reads up to and including `end`.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        let found = timeout(PATIENCE, async {
            loop {
                let at = self
                    .read
                    .windows(end.len())
                    .position(|part| part == end.as_bytes());
                if let Some(at) = at {
                    return self.read.drain(..at + end.len()).collect::<Vec<_>>();
                }
                assert!(self.more().await, "ended before {end:?}: {}", self.shown());
            }
        });
        match found.await {
            Ok(found) => String::from_utf8_lossy(&found).into_owned(),
            Err(elapsed) => panic!("{end:?} did not come ({elapsed}): {}", self.shown()),
        }
    }

    /// Reads exactly so many bytes.
    pub(crate) async fn exactly(&mut self, count: usize) -> Vec<u8> {
        let read = timeout(PATIENCE, async {
            while self.read.len() < count {
                assert!(self.more().await, "ended early: {}", self.shown());
            }
            self.read.drain(..count).collect()
        });
        read.await.expect("bytes did not come")
    }

    /// Reads to the end. A reset counts as one.
    pub(crate) async fn rest(&mut self) -> String {
        let read = timeout(PATIENCE, async { while self.more().await {} });
        read.await
            .unwrap_or_else(|_| panic!("does not end: {}", self.shown()));
        String::from_utf8_lossy(&std::mem::take(&mut self.read)).into_owned()
    }

    /// Reads one unmasked WebSocket frame: its first byte and its payload.
    pub(crate) async fn frame(&mut self) -> (u8, String) {
        let head = self.exactly(2).await;
        let len = match head[1] {
            126 => {
                let len = self.exactly(2).await;
                usize::from(u16::from_be_bytes([len[0], len[1]]))
            }
            len => usize::from(len),
        };
        (head[0], String::from_utf8(self.exactly(len).await).unwrap())
    }

    async fn more(&mut self) -> bool {
        let mut chunk = [0; 4096];
        let count = self.stream.read(&mut chunk).await.unwrap_or(0);
        self.read.extend_from_slice(&chunk[..count]);
        count > 0
    }

    fn shown(&self) -> String {
        format!("{:?}", String::from_utf8_lossy(&self.read))
    }
}

/// A masked text frame, shorter than 126 bytes. The mask is zero, which masks nothing.
pub(crate) fn masked(text: &str) -> Vec<u8> {
    let len = u8::try_from(text.len()).unwrap();
    assert!(len < 126);
    [&[0x81, 0x80 | len, 0, 0, 0, 0], text.as_bytes()].concat()
}

/// The head of a WebSocket upgrade.
pub(crate) fn upgrade(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}
