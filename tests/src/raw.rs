//! Bytes on a socket: HTTP and WebSocket frames written by hand, for what no library would send.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::waiting::SOON;

/// The key of the example in RFC 6455, section 1.3, and what it must be answered with.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// See [`KEY`].
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Opcodes.
pub mod opcode {
    /// Continues a message.
    pub const CONTINUATION: u8 = 0;
    /// Begins a text message.
    pub const TEXT: u8 = 1;
    /// Begins a binary message.
    pub const BINARY: u8 = 2;
    /// Closes.
    pub const CLOSE: u8 = 8;
    /// Asks for a pong.
    pub const PING: u8 = 9;
    /// Answers a ping.
    pub const PONG: u8 = 10;
}

/// A frame to be written: anything may be wrong with it.
#[derive(Clone, Debug)]
pub struct Out {
    first: u8,
    payload: Vec<u8>,
    masked: bool,
    length: Option<Vec<u8>>,
}

impl Out {
    /// A whole frame of this opcode, masked.
    pub fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            first: 0x80 | opcode,
            payload: payload.into(),
            masked: true,
            length: None,
        }
    }

    /// Without FIN.
    #[must_use]
    pub fn unfinished(mut self) -> Self {
        self.first &= 0x7f;
        self
    }

    /// With these of the reserved bits: 1, 2 or 3.
    #[must_use]
    pub fn rsv(mut self, bit: u8) -> Self {
        self.first |= 0x80 >> bit;
        self
    }

    /// Without a mask.
    #[must_use]
    pub fn unmasked(mut self) -> Self {
        self.masked = false;
        self
    }

    /// With this length in 64 bits, whatever the payload's is.
    #[must_use]
    pub fn length64(mut self, length: u64) -> Self {
        let mut bytes = vec![127];
        bytes.extend(length.to_be_bytes());
        self.length = Some(bytes);
        self
    }

    /// With this length in 16 bits, whatever the payload's is.
    #[must_use]
    pub fn length16(mut self, length: u16) -> Self {
        let mut bytes = vec![126];
        bytes.extend(length.to_be_bytes());
        self.length = Some(bytes);
        self
    }

    /// The bytes.
    pub fn bytes(&self) -> Vec<u8> {
        const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
        let mut length = self
            .length
            .clone()
            .unwrap_or_else(|| match self.payload.len() {
                short @ 0..=125 => vec![short as u8],
                middle @ 126..=0xffff => {
                    [vec![126], (middle as u16).to_be_bytes().to_vec()].concat()
                }
                long => [vec![127], (long as u64).to_be_bytes().to_vec()].concat(),
            });
        let mut out = vec![self.first];
        if self.masked {
            length[0] |= 0x80;
            out.extend(length);
            out.extend(MASK);
            out.extend(
                self.payload
                    .iter()
                    .zip(MASK.iter().cycle())
                    .map(|(byte, mask)| byte ^ mask),
            );
        } else {
            out.extend(length);
            out.extend(&self.payload);
        }
        out
    }
}

/// A frame that the hub wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct In {
    /// FIN, the reserved bits and the opcode.
    pub first: u8,
    /// The payload.
    pub payload: Vec<u8>,
}

impl In {
    /// The opcode.
    pub fn opcode(&self) -> u8 {
        self.first & 0x0f
    }

    /// RSV1: the message is compressed.
    pub fn compressed(&self) -> bool {
        self.first & 0x40 != 0
    }

    /// The code of a close frame.
    pub fn close_code(&self) -> Option<u16> {
        match self.payload[..] {
            [high, low, ..] => Some(u16::from_be_bytes([high, low])),
            _ => None,
        }
    }

    /// As text.
    ///
    /// # Errors
    /// It is none.
    pub fn text(&self) -> Result<&str> {
        Ok(std::str::from_utf8(&self.payload)?)
    }
}

/// The head of an HTTP response.
#[derive(Clone, Debug)]
pub struct Head {
    /// The status.
    pub status: u16,
    /// Header lines, the names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }
}

/// A connection.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Raw {
    /// Connects and sends nothing.
    ///
    /// # Errors
    /// The hub does not listen.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
        })
    }

    /// Connects and opens a WebSocket with further header lines, each ended by CRLF.
    ///
    /// # Errors
    /// The answer is not 101.
    pub async fn websocket(address: SocketAddr, path: &str, headers: &str) -> Result<(Self, Head)> {
        let mut raw = Self::connect(address).await?;
        raw.write(websocket_request(path, headers).as_bytes())
            .await?;
        let head = raw.head().await?;
        if head.status != 101 {
            let body = String::from_utf8_lossy(&raw.buffer).into_owned();
            bail!("the handshake was answered with {head:?}: {body}");
        }
        Ok((raw, head))
    }

    /// Writes bytes.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// Writes a frame.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn send(&mut self, frame: &Out) -> Result<()> {
        self.write(&frame.bytes()).await
    }

    /// Reads the head of a response.
    ///
    /// # Errors
    /// None comes.
    pub async fn head(&mut self) -> Result<Head> {
        let end = loop {
            if let Some(at) = self
                .buffer
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
            {
                break at;
            }
            ensure!(
                self.fill().await?,
                "the connection ended before the head did: {:?}",
                self.buffer_text()
            );
        };
        let text = String::from_utf8(self.buffer.drain(..end + 4).collect())?;
        let mut lines = text.trim_end().split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .context("no status")?
            .parse()?;
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Ok(Head { status, headers })
    }

    /// Reads a frame; nothing when the hub has ended the connection.
    ///
    /// # Errors
    /// None comes soon.
    pub async fn frame(&mut self) -> Result<Option<In>> {
        loop {
            if let Some((length, frame)) = parse(&self.buffer)? {
                self.buffer.drain(..length);
                return Ok(Some(frame));
            }
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    /// Reads frames until one that is neither text nor a ping of the hub's own.
    ///
    /// # Errors
    /// The connection ends first.
    pub async fn control(&mut self) -> Result<In> {
        loop {
            let frame = self
                .frame()
                .await?
                .context("the connection ended without a control frame")?;
            if frame.opcode() >= 8 && frame.opcode() != opcode::PING {
                return Ok(frame);
            }
        }
    }

    /// Awaits the hub's close with this code, and that the hub ends the connection once it is answered.
    ///
    /// # Errors
    /// It closes otherwise, or not.
    pub async fn closed(&mut self, code: u16) -> Result<()> {
        let frame = self
            .control()
            .await
            .with_context(|| format!("awaiting a close with {code}"))?;
        ensure!(
            frame.opcode() == opcode::CLOSE,
            "a close was expected, not {frame:?}"
        );
        ensure!(
            frame.close_code() == Some(code),
            "close {code} was expected, not {frame:?}"
        );
        std::str::from_utf8(&frame.payload[2..])?;
        // The hub may be gone already; then there is nobody to answer.
        let _ = self
            .send(&Out::new(opcode::CLOSE, code.to_be_bytes()))
            .await;
        self.ended().await
    }

    /// Awaits the end of the connection; frames may still come.
    ///
    /// # Errors
    /// It does not end soon.
    pub async fn ended(&mut self) -> Result<()> {
        while self.fill().await? {}
        Ok(())
    }

    /// Reads on until these characters have come, wherever they stand; what came is forgotten.
    ///
    /// # Errors
    /// The connection ends first, or nothing comes.
    pub async fn until_text(&mut self, text: &str) -> Result<()> {
        while !self
            .buffer
            .windows(text.len())
            .any(|window| window == text.as_bytes())
        {
            ensure!(
                self.fill().await?,
                "the connection ended before `{text}` came"
            );
        }
        self.buffer = Vec::new();
        Ok(())
    }

    /// Reads to the end of the connection and gives what came.
    ///
    /// # Errors
    /// It does not end within this time.
    pub async fn rest(&mut self, within: Duration) -> Result<Vec<u8>> {
        let read = async {
            while self.fill().await? {}
            Ok(std::mem::take(&mut self.buffer))
        };
        timeout(within, read)
            .await
            .context("the connection did not end")?
    }

    /// Reads more; false at the end of the connection, which a reset is too.
    async fn fill(&mut self) -> Result<bool> {
        let mut part = [0; 16 * 1024];
        match timeout(SOON, self.stream.read(&mut part))
            .await
            .context("nothing came")?
        {
            Ok(0) => Ok(false),
            Ok(length) => {
                self.buffer.extend_from_slice(&part[..length]);
                Ok(true)
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn buffer_text(&self) -> String {
        String::from_utf8_lossy(&self.buffer).into_owned()
    }
}

/// A correct request for a WebSocket with further header lines.
pub fn websocket_request(path: &str, headers: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
    )
}

fn parse(bytes: &[u8]) -> Result<Option<(usize, In)>> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    ensure!(second & 0x80 == 0, "the hub masked a frame");
    let (length, head) = match second & 0x7f {
        126 => match rest {
            [a, b, ..] => (usize::from(u16::from_be_bytes([*a, *b])), 4),
            _ => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(bytes) => (usize::try_from(u64::from_be_bytes(*bytes))?, 10),
            None => return Ok(None),
        },
        short => (usize::from(short), 2),
    };
    let Some(payload) = bytes.get(head..head + length) else {
        return Ok(None);
    };
    Ok(Some((
        head + length,
        In {
            first: *first,
            payload: payload.to_vec(),
        },
    )))
}
