//! The client over Server-Sent Events, with a parser of its own (the HTML standard, section 9.2.6).

use std::collections::VecDeque;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::HeaderMap;
use reqwest::Response;
use serde_json::Value;
use tokio::time::timeout_at;

use super::{Ended, Frame, Opening, Refused, Step, poll};
use crate::door::Door;

/// An event stream.
pub struct Sse {
    /// Names the session in POSTs.
    pub key: String,
    /// The last `id`.
    pub cursor: Option<String>,
    /// The headers of the response.
    pub response: HeaderMap,
    /// Comments, `retry` and events with an `id` alone are counted here.
    pub parser: EventParser,
    http: reqwest::Client,
    commands: String,
    stream: Response,
    close: Option<Ended>,
}

impl Sse {
    /// Opens an event stream.
    ///
    /// # Errors
    /// [`Refused`] when the hub answers otherwise than with an event stream.
    pub async fn open(hub: impl Into<Door>, opening: &Opening) -> Result<Self> {
        let hub = hub.into();
        let mut request = hub
            .http
            .get(hub.url(&format!("/v1/sse{}", opening.query(&[]))));
        request = request.header("accept", "text/event-stream");
        for (name, value) in opening.all_headers() {
            request = request.header(name, value);
        }
        let stream = request.send().await?;
        let status = stream.status().as_u16();
        let response = stream.headers().clone();
        let kind = response
            .get("content-type")
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or_default();
        if status != 200 || !kind.starts_with("text/event-stream") {
            bail!(Refused::read(status, &response, &stream.bytes().await?));
        }
        let commands = hub.url("/v1/commands");
        let parser = EventParser::default();
        let http = hub.http.clone();
        Ok(Self {
            key: String::new(),
            cursor: None,
            response,
            parser,
            http,
            commands,
            stream,
            close: None,
        })
    }

    pub(super) async fn step(&mut self, deadline: Instant) -> Result<Option<Step>> {
        loop {
            if let Some(event) = self.parser.next() {
                if let Some(frame) = self.take_event(event)? {
                    return Ok(Some(Step::Frame(frame)));
                }
                continue;
            }
            match timeout_at(deadline.into(), self.stream.chunk()).await {
                Ok(Ok(Some(bytes))) => self.parser.feed(&bytes),
                Ok(Ok(None)) => {
                    let ended = self
                        .close
                        .take()
                        .unwrap_or_else(|| Ended::broken("the stream ended"));
                    return Ok(Some(Step::Ended(ended)));
                }
                Ok(Err(error)) => {
                    let ended = self.close.take().unwrap_or_else(|| Ended::broken(error));
                    return Ok(Some(Step::Ended(ended)));
                }
                Err(_) => return Ok(None),
            }
        }
    }

    fn take_event(&mut self, event: Event) -> Result<Option<Frame>> {
        if let Some(id) = event.id {
            self.cursor = Some(id);
        }
        let Some(data) = event.data else {
            return Ok(None);
        };
        let body: Value =
            serde_json::from_str(&data).with_context(|| format!("no JSON: {data}"))?;
        let kind = event.kind.unwrap_or_else(|| "message".to_owned());
        let frame = Frame { kind, body };
        if frame.kind == "close" {
            self.close = Some(Ended::of_close(&frame));
        }
        Ok(Some(frame))
    }

    pub(super) async fn post(&self, line: String) -> Result<Value> {
        poll::reply(self.post_raw(line).await?)
    }

    pub(super) async fn post_raw(&self, body: String) -> Result<(u16, String)> {
        poll::post(&self.http, &self.commands, &self.key, body).await
    }
}

/// One dispatched block of the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// The field `event`.
    pub kind: Option<String>,
    /// The field `data`, its lines joined.
    pub data: Option<String>,
    /// The field `id`.
    pub id: Option<String>,
}

/// Bytes to events.
#[derive(Debug, Default)]
pub struct EventParser {
    /// The last `retry`, in milliseconds.
    pub retry: Option<u64>,
    /// Comment lines so far.
    pub comments: u64,
    /// Blocks that only moved the cursor.
    pub id_only: u64,
    rest: Vec<u8>,
    open: Event,
    ready: VecDeque<Event>,
}

impl EventParser {
    /// Takes bytes as they come.
    pub fn feed(&mut self, bytes: &Bytes) {
        self.rest.extend_from_slice(bytes);
        let mut start = 0;
        while let Some(length) = self.rest[start..].iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&self.rest[start..start + length]).into_owned();
            start += length + 1;
            self.line(line.trim_end_matches('\r'));
        }
        self.rest.drain(..start);
    }

    /// The next event that is complete.
    #[allow(
        clippy::should_implement_trait,
        reason = "nothing now does not mean nothing ever"
    )]
    pub fn next(&mut self) -> Option<Event> {
        self.ready.pop_front()
    }

    fn line(&mut self, line: &str) {
        if line.is_empty() {
            let event = std::mem::take(&mut self.open);
            if event != Event::default() {
                self.id_only += u64::from(event.data.is_none() && event.id.is_some());
                self.ready.push_back(event);
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => self.comments += 1,
            "event" => self.open.kind = Some(value.to_owned()),
            "id" => self.open.id = Some(value.to_owned()),
            "retry" => self.retry = value.parse().ok(),
            "data" => match &mut self.open.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.open.data = Some(value.to_owned()),
            },
            _ => {}
        }
    }
}

/// Reads a whole body of events, such as a refusal in an event stream.
///
/// # Errors
/// It has no `retry`.
pub fn read_all(body: &Bytes) -> Result<(Vec<Event>, u64)> {
    let mut parser = EventParser::default();
    parser.feed(body);
    ensure!(parser.rest.is_empty(), "the stream ends within a line");
    let retry = parser.retry.context("no retry")?;
    Ok((parser.ready.into(), retry))
}
