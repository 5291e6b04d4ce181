//! The client over long poll.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{Ended, Frame, Opening, Refused, Step};
use crate::door::Door;
use crate::waiting::SOON;

/// The longest that one request waits.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// A session by polls.
pub struct Poll {
    /// Names the session.
    pub key: String,
    /// The latest cursor.
    pub cursor: Option<String>,
    /// What each poll repeats.
    pub channels: Vec<String>,
    /// Responses so far.
    pub responses: u64,
    opening: Opening,
    http: reqwest::Client,
    base: String,
    frames: VecDeque<Frame>,
    close: Option<Ended>,
}

/// What a poll brought.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The session's key.
    pub key: String,
    /// The cursor that acknowledges these frames.
    pub cursor: String,
    /// The frames, possibly none.
    pub frames: Vec<Frame>,
}

impl Poll {
    /// Opens a session by a first poll.
    ///
    /// # Errors
    /// [`Refused`] when the hub refuses it.
    pub async fn open(hub: impl Into<Door>, opening: &Opening) -> Result<Self> {
        let hub = hub.into();
        let mut poll = Self {
            key: String::new(),
            cursor: None,
            channels: opening.channels.clone(),
            responses: 0,
            opening: opening.clone(),
            http: hub.http.clone(),
            base: hub.url(""),
            frames: VecDeque::new(),
            close: None,
        };
        let batch = poll
            .request(&opening.query(&["wait=10".to_owned()]))
            .await?;
        poll.opening = opening.continued();
        poll.take(batch);
        Ok(poll)
    }

    /// Polls once with the key and the cursor that are known, and takes nothing in: the caller may throw the answer away.
    ///
    /// # Errors
    /// [`Refused`] when the hub refuses it.
    pub async fn once(&self, wait: Duration) -> Result<Batch> {
        let mut opening = self.opening.clone();
        opening.channels.clone_from(&self.channels);
        let mut more = vec![
            format!("key={}", self.key),
            format!("wait={}", wait.as_secs_f64()),
        ];
        if let Some(cursor) = &self.cursor {
            more.push(format!("cursor={cursor}"));
        }
        self.request(&opening.query(&more)).await
    }

    /// Frames of the last answer that have not been taken yet.
    pub fn unread(&self) -> impl Iterator<Item = &Frame> {
        self.frames.iter()
    }

    /// Takes the answer of a poll in.
    pub fn take(&mut self, batch: Batch) {
        self.responses += 1;
        self.key = batch.key;
        self.cursor = Some(batch.cursor);
        self.frames.extend(batch.frames);
    }

    async fn request(&self, query: &str) -> Result<Batch> {
        let mut request = self
            .http
            .get(format!("{}/v1/poll{query}", self.base))
            .timeout(WAIT_MAX + SOON);
        for (name, value) in self.opening.all_headers() {
            request = request.header(name, value);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await?;
        if status != 200 {
            bail!(Refused::read(status, &headers, &body));
        }
        ensure!(
            headers
                .get("cache-control")
                .is_some_and(|value| value == "no-store"),
            "no `no-store`: {headers:?}"
        );
        let json: Value = serde_json::from_slice(&body)?;
        let frames = json["frames"]
            .as_array()
            .with_context(|| format!("no frames in {json}"))?;
        Ok(Batch {
            key: json["key"].as_str().context("no key")?.to_owned(),
            cursor: json["cursor"].as_str().context("no cursor")?.to_owned(),
            frames: frames.iter().map(Frame::read).collect::<Result<_>>()?,
        })
    }

    pub(super) async fn step(&mut self, deadline: Instant) -> Result<Option<Step>> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                if frame.kind == "close" {
                    self.close = Some(Ended::of_close(&frame));
                }
                return Ok(Some(Step::Frame(frame)));
            }
            if let Some(ended) = self.close.take() {
                return Ok(Some(Step::Ended(ended)));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            match self.once(left.min(WAIT_MAX)).await {
                Ok(batch) => self.take(batch),
                Err(error) => match error.downcast::<Refused>() {
                    Ok(refused) => return Ok(Some(Step::Ended(Ended::broken(refused)))),
                    Err(error) => {
                        return Ok(Some(Step::Ended(Ended::broken(format!("{error:#}")))));
                    }
                },
            }
        }
    }

    pub(super) async fn post(&self, line: String) -> Result<Value> {
        reply(self.post_raw(line).await?)
    }

    pub(super) async fn post_raw(&self, body: String) -> Result<(u16, String)> {
        post(
            &self.http,
            &format!("{}/v1/commands", self.base),
            &self.key,
            body,
        )
        .await
    }
}

pub(super) async fn post(
    http: &reqwest::Client,
    address: &str,
    key: &str,
    body: String,
) -> Result<(u16, String)> {
    let response = http
        .post(format!("{address}?key={key}"))
        .body(body)
        .timeout(SOON)
        .send()
        .await?;
    let status = response.status().as_u16();
    Ok((status, response.text().await?))
}

/// The one reply in the answer to a POST.
pub(super) fn reply((status, body): (u16, String)) -> Result<Value> {
    ensure!(status == 200, "a POST was answered with {status}: {body}");
    let json: Value = serde_json::from_str(body.trim_end())
        .with_context(|| format!("one reply, not {body:?}"))?;
    let frame = Frame::read(&json)?;
    ensure!(frame.kind == "reply", "a POST was answered with {frame:?}");
    Ok(frame.body)
}
