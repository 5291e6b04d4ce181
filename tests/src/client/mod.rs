//! A client over any of the three transports: each speaks its transport for real, and all of them give the same frames.
//!
//! Deliberately absent: patience. A client here does nothing by itself: it does not reconnect, refresh or acknowledge
//! unless the test says so. Reading only when asked to, it is also the client that stops reading.

mod asking;
pub mod frame;
mod link;
mod opening;
mod place;
mod poll;
mod sse;
mod ws;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::door::Door;
use crate::waiting::SOON;

pub use frame::Frame;
pub use link::{Ended, Step};
pub use opening::{Opening, Refused};
pub use place::{Place, Position};
pub use poll::{Batch, Poll};
pub use sse::{Event, EventParser, Sse, read_all};
pub use ws::Ws;

/// The way in which a client is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// RFC 6455.
    WebSocket,
    /// Server-Sent Events.
    Sse,
    /// Long poll.
    Poll,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::WebSocket, Self::Sse, Self::Poll];

    /// The path that opens it.
    pub fn path(self) -> &'static str {
        match self {
            Self::WebSocket => "/v1/ws",
            Self::Sse => "/v1/sse",
            Self::Poll => "/v1/poll",
        }
    }

    /// Its label in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Sse => "sse",
            Self::Poll => "poll",
        }
    }
}

enum Link {
    Ws(Box<Ws>),
    Sse(Box<Sse>),
    Poll(Box<Poll>),
}

/// A session, as its client sees it.
pub struct Client {
    /// How it is attached.
    pub transport: Transport,
    /// The body of the `open` frame.
    pub open: Value,
    /// The bodies of the `subscribed` frames and subscribe replies so far, by channel.
    pub subscribed: BTreeMap<String, Value>,
    link: Link,
    opening: Opening,
    /// Frames that came while something else was awaited.
    held: VecDeque<Frame>,
    positions: BTreeMap<String, Position>,
    next_id: u64,
}

impl Client {
    /// Opens a session and awaits its `open` frame.
    ///
    /// # Errors
    /// [`Refused`] when the hub refused it; anything else when what came was no `open`.
    pub async fn open(
        hub: impl Into<Door>,
        transport: Transport,
        opening: Opening,
    ) -> Result<Self> {
        let hub: Door = hub.into();
        hub.secrets.add(opening.token_text());
        let link = match transport {
            Transport::WebSocket => Link::Ws(Box::new(Ws::open(&hub, &opening).await?)),
            Transport::Sse => Link::Sse(Box::new(Sse::open(&hub, &opening).await?)),
            Transport::Poll => Link::Poll(Box::new(Poll::open(&hub, &opening).await?)),
        };
        let mut client = Self {
            transport,
            open: Value::Null,
            subscribed: BTreeMap::new(),
            link,
            opening,
            held: VecDeque::new(),
            positions: BTreeMap::new(),
            next_id: 0,
        };
        client.open = client.expect("open").await.context("the first frame")?.body;
        let key = client.open["key"].as_str().unwrap_or_default().to_owned();
        ensure!(
            key.is_empty() == (transport == Transport::WebSocket),
            "`key` in {}",
            client.open
        );
        hub.secrets.add(&key);
        match &mut client.link {
            Link::Ws(_) => {}
            Link::Sse(sse) => sse.key = key,
            Link::Poll(poll) => ensure!(
                poll.key == key,
                "the key of the response is not that of `open`"
            ),
        }
        Ok(client)
    }

    /// The session's public id.
    ///
    /// # Panics
    /// `open` named none.
    pub fn session(&self) -> &str {
        self.open["session"]
            .as_str()
            .expect("open names the session")
    }

    /// Awaits the `subscribed` frames of the channels that the opening named. Other frames are kept for later.
    ///
    /// # Errors
    /// They do not come.
    pub async fn await_subscribed(&mut self) -> Result<()> {
        let deadline = Instant::now() + SOON;
        let wanted = self.opening.channels.clone();
        let mut passed_over = VecDeque::new();
        while !wanted
            .iter()
            .all(|channel| self.subscribed.contains_key(channel))
        {
            let frame = self.take(deadline).await.context("awaiting `subscribed`")?;
            if frame.kind != "subscribed" {
                passed_over.push_back(frame);
            }
        }
        passed_over.append(&mut self.held);
        self.held = passed_over;
        Ok(())
    }

    /// The next frame, whatever it is.
    ///
    /// # Errors
    /// None comes soon, or the session ends.
    pub async fn next(&mut self) -> Result<Frame> {
        self.take(Instant::now() + SOON).await
    }

    /// The next frame; nothing when none comes within this time.
    ///
    /// # Errors
    /// The session ends.
    pub async fn next_within(&mut self, within: Duration) -> Result<Option<Frame>> {
        match self.step(Instant::now() + within).await? {
            Some(Step::Frame(frame)) => Ok(Some(frame)),
            Some(Step::Ended(ended)) => bail!("the session ended: {ended:?}"),
            None => Ok(None),
        }
    }

    /// What comes next within this time, be it the session's end.
    ///
    /// # Errors
    /// What came is not of the protocol.
    pub async fn next_step(&mut self, within: Duration) -> Result<Option<Step>> {
        self.step(Instant::now() + within).await
    }

    /// The next frame, which must be of this kind.
    ///
    /// # Errors
    /// It is of another kind.
    pub async fn expect(&mut self, kind: &str) -> Result<Frame> {
        let frame = self
            .next()
            .await
            .with_context(|| format!("awaiting `{kind}`"))?;
        ensure!(frame.kind == kind, "`{kind}` was expected, not {frame:?}");
        Ok(frame)
    }

    /// The next frame of this kind; others are passed over.
    ///
    /// # Errors
    /// None comes soon.
    pub async fn await_kind(&mut self, kind: &str) -> Result<Frame> {
        let deadline = Instant::now() + SOON;
        loop {
            let frame = self
                .take(deadline)
                .await
                .with_context(|| format!("awaiting `{kind}`"))?;
            if frame.kind == kind {
                return Ok(frame);
            }
        }
    }

    /// The next `count` messages of a channel. Between them nothing may come that says that something is wrong, and no
    /// offset may be left out.
    ///
    /// # Errors
    /// A gap, a hole, an end, or too few.
    pub async fn messages(&mut self, channel: &str, count: usize) -> Result<Vec<Frame>> {
        let deadline = Instant::now() + SOON * 3;
        let mut messages: Vec<Frame> = Vec::with_capacity(count);
        while messages.len() < count {
            let frame = self.take(deadline).await.with_context(|| {
                format!(
                    "{} of {count} messages of {channel}, the last {:?}",
                    messages.len(),
                    messages.last()
                )
            })?;
            match frame.kind.as_str() {
                "message" if frame.channel() == channel => {
                    if let Some(last) = messages.last() {
                        let (last, this) = (last.offset(), frame.offset());
                        ensure!(
                            this == last + 1 || this == 0,
                            "offset {this} of {channel} follows {last}"
                        );
                    }
                    messages.push(frame);
                }
                "gap" | "close" | "unsubscribed" => {
                    bail!("{frame:?} while awaiting messages of {channel}")
                }
                _ => {}
            }
        }
        Ok(messages)
    }

    /// Awaits messages `{"n": n}` of a channel for each `n` of a range: all, each once, in order.
    ///
    /// # Errors
    /// Anything else comes.
    pub async fn numbers(&mut self, channel: &str, numbers: std::ops::Range<u64>) -> Result<()> {
        let count = usize::try_from(numbers.end - numbers.start)?;
        let messages = self.messages(channel, count).await?;
        let got: Vec<u64> = messages
            .iter()
            .filter_map(|message| message.body["data"]["n"].as_u64())
            .collect();
        ensure!(
            got == numbers.clone().collect::<Vec<_>>(),
            "{numbers:?} were published, {got:?} came"
        );
        Ok(())
    }

    /// Reads on to the end of the session; gives how it ended, and the frames before that.
    ///
    /// # Errors
    /// It does not end within the deadline.
    pub async fn end(&mut self, within: Duration) -> Result<(Ended, Vec<Frame>)> {
        let deadline = Instant::now() + within;
        let mut frames = Vec::new();
        loop {
            match self.step(deadline).await? {
                Some(Step::Frame(frame)) => frames.push(frame),
                Some(Step::Ended(ended)) => return Ok((ended, frames)),
                None => bail!("the session did not end within {within:?}; it sent {frames:?}"),
            }
        }
    }

    /// Awaits the end with this close code; gives the `close` frame's body.
    ///
    /// # Errors
    /// It ends otherwise, or not soon, or without a `close` frame.
    pub async fn closed(&mut self, code: u16) -> Result<Value> {
        let (ended, frames) = self.end(SOON).await?;
        ensure!(
            ended.code == Some(code),
            "{code} was expected, not {ended:?} after {frames:?}"
        );
        let close = frames.into_iter().rfind(|frame| frame.kind == "close");
        let close = close.context("there was no `close` frame before the end")?;
        ensure!(
            close.body["code"] == code,
            "the `close` frame says {close:?}"
        );
        Ok(close.body)
    }

    /// The cursor, where the transport has one.
    pub fn cursor(&self) -> Option<String> {
        match &self.link {
            Link::Ws(_) => None,
            Link::Sse(sse) => sse.cursor.clone(),
            Link::Poll(poll) => poll.cursor.clone(),
        }
    }

    /// The last position seen in each channel.
    pub fn positions(&self) -> &BTreeMap<String, Position> {
        &self.positions
    }

    /// The poll behind it.
    ///
    /// # Panics
    /// It is no poll.
    pub fn poll_mut(&mut self) -> &mut Poll {
        match &mut self.link {
            Link::Poll(poll) => poll,
            _ => panic!("not a poll"),
        }
    }

    /// The event stream behind it.
    ///
    /// # Panics
    /// It is no event stream.
    pub fn sse_mut(&mut self) -> &mut Sse {
        match &mut self.link {
            Link::Sse(sse) => sse,
            _ => panic!("not an event stream"),
        }
    }

    /// The WebSocket behind it.
    ///
    /// # Panics
    /// It is no WebSocket.
    pub fn ws_mut(&mut self) -> &mut Ws {
        match &mut self.link {
            Link::Ws(ws) => ws,
            _ => panic!("not a WebSocket"),
        }
    }

    /// Is gone without a word: a reset where there is a socket, and no further poll where there is none. Gives what a
    /// client keeps to come back with.
    pub fn drop_abruptly(self) -> Place {
        let cursor = self.cursor();
        let unread = match &self.link {
            Link::Poll(poll) => self.held.iter().chain(poll.unread()).cloned().collect(),
            _ => Vec::new(),
        };
        let place = Place {
            from: self.transport,
            opening: self.opening,
            positions: self.positions,
            cursor,
            unread,
        };
        if let Link::Ws(ws) = self.link {
            ws.reset();
        }
        place
    }

    /// Says that it goes: a close on a WebSocket; the other transports have no word for it and end as abruptly as ever.
    ///
    /// # Errors
    /// The hub does not answer the close.
    pub async fn leave(self) -> Result<()> {
        match self.link {
            Link::Ws(ws) => ws.leave().await,
            _ => Ok(()),
        }
    }

    async fn take(&mut self, deadline: Instant) -> Result<Frame> {
        match self.step(deadline).await? {
            Some(Step::Frame(frame)) => Ok(frame),
            Some(Step::Ended(ended)) => bail!("the session ended: {ended:?}"),
            None => bail!("no frame came in time"),
        }
    }

    async fn step(&mut self, deadline: Instant) -> Result<Option<Step>> {
        let step = match self.held.pop_front() {
            Some(frame) => Some(Step::Frame(frame)),
            None => self.read(deadline).await?,
        };
        if let Some(Step::Frame(frame)) = &step {
            let place = self.positions.entry(frame.channel().to_owned());
            match frame.kind.as_str() {
                "message" if frame.offset() > 0 => {
                    place.or_default().offset = frame.offset();
                }
                "gap" => *place.or_default() = Position::of(&frame.body["position"]),
                _ => {}
            }
        }
        Ok(step)
    }

    async fn read(&mut self, deadline: Instant) -> Result<Option<Step>> {
        let step = match &mut self.link {
            Link::Ws(ws) => ws.step(deadline).await?,
            Link::Sse(sse) => sse.step(deadline).await?,
            Link::Poll(poll) => poll.step(deadline).await?,
        };
        if let Some(Step::Frame(frame)) = &step
            && frame.kind == "subscribed"
        {
            let channel = frame.channel().to_owned();
            self.note_subscribed(&channel, &frame.body);
        }
        Ok(step)
    }

    fn note_subscribed(&mut self, channel: &str, body: &Value) {
        self.subscribed.insert(channel.to_owned(), body.clone());
        let position = Position::of(&body["position"]);
        let known = self.positions.entry(channel.to_owned()).or_default();
        if body["recovered"] == true && known.epoch == position.epoch {
            // What was missed follows: until it has come, the place is where it was.
            return;
        }
        *known = position;
    }
}
