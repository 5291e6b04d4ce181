//! One client: connects, asks, is open once it has seen what it waits for, and then counts what arrives.

use std::io::{self, Read, Write};

use anyhow::{Context, Result, bail, ensure};
use mio::net::TcpStream;

use super::framing::{masked, member, response, ws_frame};
use super::place::Place;
use super::tally::Tally;
use super::{Framing, Group};
use crate::marker::Marker;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Connecting,
    /// The request is out; the head of the response is not there.
    Asked,
    /// So many of the texts it waits for are still missing.
    Opening(usize),
    Open,
    Stalled,
    Ended,
}

/// A client.
pub(crate) struct Client {
    pub(crate) stream: Option<TcpStream>,
    kind: Framing,
    stage: Stage,
    opening: Option<Box<Opening>>,
    /// Input of which the end is missing.
    rest: Vec<u8>,
    /// Where it stands in each channel.
    places: Vec<Place>,
    /// For polls: what each request repeats.
    target: Box<str>,
}

/// What it needs only until it is open.
struct Opening {
    request: String,
    then_send: Vec<String>,
    ready: String,
    ready_count: usize,
    stalled: bool,
}

impl Client {
    pub(crate) fn new(group: &Group, number: usize) -> Self {
        let fill = |text: &str| {
            text.replace("{n}", &number.to_string())
                .replace("{m}", &(number % group.modulus.max(1)).to_string())
        };
        Self {
            stream: None,
            kind: group.framing,
            stage: Stage::Connecting,
            opening: Some(Box::new(Opening {
                request: fill(&group.request),
                then_send: group.then_send.iter().map(|text| fill(text)).collect(),
                ready: fill(&group.ready),
                ready_count: group.ready_count,
                stalled: group.stalled,
            })),
            rest: Vec::new(),
            places: Vec::new(),
            target: "".into(),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open | Stage::Stalled)
    }

    fn send_text(&mut self, text: &str) -> Result<()> {
        self.send(&masked(1, text.as_bytes()))
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let stream = self.stream.as_mut().context("not connected")?;
        let written = stream.write(bytes)?;
        ensure!(written == bytes.len(), "a request did not fit the socket");
        Ok(())
    }

    /// Something happened on its socket.
    pub(crate) fn handle(&mut self, scratch: &mut [u8], tally: &mut Tally) -> Result<()> {
        if self.stage == Stage::Connecting {
            let stream = self.stream.as_mut().context("not connected")?;
            if let Some(error) = stream.take_error()? {
                bail!("connect: {error}");
            }
            if stream.peer_addr().is_err() {
                return Ok(());
            }
            stream.set_nodelay(true)?;
            self.stage = Stage::Asked;
            let request = self.opening.as_ref().context("opening")?.request.clone();
            self.send(request.as_bytes())?;
        }
        while !matches!(self.stage, Stage::Ended | Stage::Stalled) {
            let stream = self.stream.as_mut().context("not connected")?;
            match stream.read(scratch) {
                Ok(0) => {
                    self.end(tally)?;
                }
                Ok(read) => {
                    tally.read(read);
                    self.take(&scratch[..read], tally)?;
                    // A short read has emptied the socket: what comes next is a new event.
                    if read < scratch.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.end(tally)?,
            }
        }
        Ok(())
    }

    fn end(&mut self, tally: &mut Tally) -> Result<()> {
        ensure!(self.is_open(), "the connection ended before it was open");
        self.stage = Stage::Ended;
        self.stream = None;
        tally.closed();
        Ok(())
    }

    fn take(&mut self, bytes: &[u8], tally: &mut Tally) -> Result<()> {
        if self.rest.is_empty() {
            let used = self.consume(bytes, tally)?;
            self.rest.extend_from_slice(&bytes[used..]);
        } else {
            let mut all = std::mem::take(&mut self.rest);
            all.extend_from_slice(bytes);
            let used = self.consume(&all, tally)?;
            all.drain(..used);
            if !all.is_empty() {
                self.rest = all;
            }
        }
        Ok(())
    }

    /// Works off what is whole; says how many bytes that was.
    fn consume(&mut self, bytes: &[u8], tally: &mut Tally) -> Result<usize> {
        let mut used = 0;
        if self.stage == Stage::Asked && self.kind != Framing::Poll {
            let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
                return Ok(0);
            };
            used = end + 4;
            self.head(&bytes[..used])?;
        }
        match self.kind {
            Framing::WebSocket => {
                while let Some(frame) = ws_frame(&bytes[used..]) {
                    used += frame.len;
                    match frame.opcode {
                        1 | 2 => self.text(frame.payload, tally)?,
                        9 => self.send(&masked(10, frame.payload))?,
                        8 => self.end(tally)?,
                        _ => {}
                    }
                    if self.stage == Stage::Ended {
                        return Ok(bytes.len());
                    }
                }
            }
            Framing::EventStream => {
                while let Some(end) = memchr::memmem::find(&bytes[used..], b"\n\n") {
                    self.text(&bytes[used..used + end], tally)?;
                    used += end + 2;
                }
            }
            Framing::Poll => {
                while let Some((body, len)) = response(&bytes[used..]) {
                    if self.stage == Stage::Asked {
                        self.head(&bytes[used..used + len - body.len()])?;
                    }
                    used += len;
                    self.polled(body, tally)?;
                }
            }
        }
        Ok(used)
    }

    fn head(&mut self, head: &[u8]) -> Result<()> {
        let expected: &[u8] = match self.kind {
            Framing::WebSocket => b"HTTP/1.1 101",
            _ => b"HTTP/1.1 200",
        };
        ensure!(
            head.starts_with(expected),
            "refused: {}",
            String::from_utf8_lossy(head)
        );
        let opening = self.opening.as_mut().context("opening")?;
        let then_send = std::mem::take(&mut opening.then_send);
        self.stage = match opening.ready_count {
            0 if opening.stalled => Stage::Stalled,
            0 => Stage::Open,
            count => Stage::Opening(count),
        };
        for text in then_send {
            self.send_text(&text)?;
        }
        Ok(())
    }

    /// A message, an event, or a poll's answer.
    fn text(&mut self, text: &[u8], tally: &mut Tally) -> Result<()> {
        if let Stage::Opening(missing) = self.stage {
            let opening = self.opening.as_ref().context("opening")?;
            let seen = memchr::memmem::find_iter(text, opening.ready.as_bytes()).count();
            if seen >= missing {
                self.stage = if opening.stalled {
                    Stage::Stalled
                } else {
                    Stage::Open
                };
                if self.kind != Framing::Poll {
                    self.opening = None;
                }
            } else {
                self.stage = Stage::Opening(missing - seen);
            }
        }
        let mut at = 0;
        while let Some((marker, end)) = Marker::find(&text[at..]) {
            tally.delivery(marker, &mut self.places);
            at += end;
        }
        if at == 0 {
            if memchr::memmem::find(text, b"\"gap\"").is_some() {
                tally.gap();
            }
            // Engine.IO and Pusher ping by messages.
            if text == b"2" {
                self.send_text("3")?;
            } else if memchr::memmem::find(text, b"pusher:ping").is_some() {
                self.send_text(r#"{"event":"pusher:pong","data":{}}"#)?;
            } else if text == b"{}" {
                self.send_text("{}")?;
            }
        }
        Ok(())
    }

    /// A poll was answered: the next one acknowledges it.
    fn polled(&mut self, body: &[u8], tally: &mut Tally) -> Result<()> {
        self.text(body, tally)?;
        if self.stage == Stage::Stalled {
            return Ok(());
        }
        if self.target.is_empty() {
            let key = member(body, "key").context("a poll's answer has no key")?;
            self.target = key.into();
        }
        let cursor = member(body, "cursor").context("a poll's answer has no cursor")?;
        // The first request's head with the session's key and the cursor in its target.
        let opening = self.opening.as_ref().context("opening")?;
        let (_, headers) = opening.request.split_once("\r\n").context("a request")?;
        let key = &self.target;
        let request =
            format!("GET /v1/poll?key={key}&cursor={cursor}&wait=50 HTTP/1.1\r\n{headers}");
        self.send(request.as_bytes())
    }
}
