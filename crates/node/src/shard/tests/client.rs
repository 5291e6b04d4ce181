//! The other end of a session's socket. It reads when it is told to, and only then.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

use serde_json::Value;
use switchboard_core::SessionId;

/// A WebSocket's or an event stream's client.
pub(crate) struct Client {
    socket: UnixStream,
    unread: Vec<u8>,
    sse: bool,
    /// The stream has ended.
    pub(crate) ended: bool,
}

impl Client {
    pub(crate) fn new(socket: UnixStream, sse: bool) -> Self {
        socket.set_nonblocking(true).unwrap();
        Self {
            socket,
            unread: Vec::new(),
            sse,
            ended: false,
        }
    }

    /// Takes what has come: the JSON of whole frames. An event's has its `id` beside it, as `"id:"`.
    pub(crate) fn read(&mut self) -> Vec<Value> {
        let mut buffer = [0; 4096];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => {
                    self.ended = true;
                    break;
                }
                Ok(len) => self.unread.extend_from_slice(&buffer[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.ended = true;
                    break;
                }
            }
        }
        let mut frames = Vec::new();
        loop {
            let whole = if self.sse {
                self.take_event(&mut frames)
            } else {
                self.take_frame(&mut frames)
            };
            if whole.is_none() {
                break;
            }
        }
        frames
    }

    /// Takes the next WebSocket frame, if it is whole; only text is of interest.
    fn take_frame(&mut self, frames: &mut Vec<Value>) -> Option<()> {
        let (&first, &len) = (self.unread.first()?, self.unread.get(1)?);
        assert_eq!(first & 0x70, 0, "no frame begins here");
        let (header, len) = match len {
            126 => {
                let len = self.unread.get(2..4)?;
                (4, usize::from(u16::from_be_bytes(len.try_into().unwrap())))
            }
            127 => panic!("nothing here is that long"),
            len => (2, usize::from(len)),
        };
        let payload = self.unread.get(header..header + len)?.to_vec();
        self.unread.drain(..header + len);
        if first & 0x0f == 1 {
            frames.push(serde_json::from_slice(&payload).unwrap());
        }
        Some(())
    }

    /// Takes the next event, if it is whole, as a frame of JSON.
    fn take_event(&mut self, frames: &mut Vec<Value>) -> Option<()> {
        let text = String::from_utf8_lossy(&self.unread).into_owned();
        let end = text.find("\n\n")?;
        self.unread.drain(..end + 2);
        let (mut kind, mut id, mut data) = ("message", None, None);
        for line in text[..end].lines() {
            match line.split_once(": ") {
                Some(("event", value)) => kind = value,
                Some(("id", value)) => id = Some(value),
                Some(("data", value)) => data = Some(value),
                _ => {}
            }
        }
        if id.is_some() || data.is_some() {
            let data: Value = data.map_or(Value::Null, |data| serde_json::from_str(data).unwrap());
            frames.push(serde_json::json!({ kind: data, "id:": id }));
        }
        Some(())
    }

    /// Sends commands, a masked text frame each, in one write.
    pub(crate) fn command(&mut self, commands: &[Value]) {
        let mut out = Vec::new();
        for command in commands {
            let text = command.to_string();
            out.push(0x81);
            match text.len() {
                len @ 0..126 => out.push(0x80 | len as u8),
                len => {
                    out.push(0x80 | 0x7e);
                    out.extend((len as u16).to_be_bytes());
                }
            }
            // A mask of zeros leaves the text as it is.
            out.extend([0; 4]);
            out.extend(text.bytes());
        }
        self.socket.write_all(&out).unwrap();
    }
}

/// The session that an `open` frame tells of.
pub(crate) fn session(open: &Value) -> SessionId {
    let text = open["open"]["session"].as_str();
    text.and_then(SessionId::parse).expect("an open frame")
}

/// The offsets of a channel's messages.
pub(crate) fn offsets(frames: &[Value], channel: &str) -> Vec<u64> {
    let messages = frames.iter().map(|frame| &frame["message"]);
    let own = messages.filter(|message| message["channel"] == channel);
    own.filter_map(|message| message["offset"].as_u64())
        .collect()
}

/// Checks that a channel's offsets ascend from 1 to `last`, and that a gap stands in each hole. Gives how many came.
pub(crate) fn check_gaps(frames: &[Value], channel: &str, last: u64) -> u64 {
    let (mut at, mut came) = (0, 0);
    for frame in frames {
        if frame["gap"]["channel"] == channel {
            let position = frame["gap"]["position"]["offset"].as_u64().unwrap_or(0);
            assert!(position > at, "a gap to {position} after {at}");
            at = position;
        } else if frame["message"]["channel"] == channel {
            let offset = frame["message"]["offset"].as_u64().unwrap_or(0);
            assert_eq!(offset, at + 1, "of {channel}, and no gap was announced");
            at = offset;
            came += 1;
        }
    }
    assert_eq!(at, last, "of {channel}");
    came
}
