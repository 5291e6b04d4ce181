//! What a client asks for when it opens a session, and how the hub refuses.

use anyhow::{Result, bail};
use serde_json::Value;

/// Where the token travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carrier {
    Authorization,
    Query,
    Subprotocol,
    Cookie,
}

/// The parameters of an opening.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Channels to subscribe to at once.
    pub channels: Vec<String>,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// Further parameters of the query, written as they are to stand.
    parameters: Vec<String>,
    token: String,
    carrier: Carrier,
    subprotocols: Vec<String>,
}

impl Opening {
    /// An opening with a token in `Authorization`; an empty token is left out.
    pub fn new(token: impl Into<String>) -> Self {
        Self {
            channels: Vec::new(),
            headers: Vec::new(),
            parameters: Vec::new(),
            token: token.into(),
            carrier: Carrier::Authorization,
            subprotocols: Vec::new(),
        }
    }

    /// Subscribes to a channel at once.
    #[must_use]
    pub fn channel(mut self, channel: &str) -> Self {
        self.channels.push(channel.to_owned());
        self
    }

    /// Begins with the last so many publications.
    #[must_use]
    pub fn rewind(self, count: u32) -> Self {
        self.parameter("rewind", &count.to_string())
    }

    /// Resumes from a cursor.
    #[must_use]
    pub fn cursor(self, cursor: &str) -> Self {
        self.parameter("cursor", cursor)
    }

    /// Asks for heartbeats.
    #[must_use]
    pub fn heartbeat(self, seconds: u32) -> Self {
        self.parameter("heartbeat", &seconds.to_string())
    }

    /// Any parameter; the value needs no escaping.
    #[must_use]
    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        self.parameters.push(format!("{name}={value}"));
        self
    }

    /// A header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Offers a WebSocket subprotocol.
    #[must_use]
    pub fn subprotocol(mut self, name: &str) -> Self {
        self.subprotocols.push(name.to_owned());
        self
    }

    /// The token travels as `token=`.
    #[must_use]
    pub fn token_in_query(mut self) -> Self {
        self.carrier = Carrier::Query;
        self
    }

    /// The token travels as a subprotocol.
    #[must_use]
    pub fn token_in_subprotocol(mut self) -> Self {
        self.carrier = Carrier::Subprotocol;
        self
    }

    /// The token travels in the cookie.
    #[must_use]
    pub fn token_in_cookie(mut self) -> Self {
        self.carrier = Carrier::Cookie;
        self
    }

    pub(super) fn token_text(&self) -> &str {
        &self.token
    }

    /// The query, with its question mark; `more` is appended.
    pub(super) fn query(&self, more: &[String]) -> String {
        let mut parts: Vec<String> = self
            .channels
            .iter()
            .map(|channel| format!("channel={channel}"))
            .collect();
        parts.extend(self.parameters.iter().cloned());
        if self.carrier == Carrier::Query && !self.token.is_empty() {
            parts.push(format!("token={}", self.token));
        }
        parts.extend(more.iter().cloned());
        format!("?{}", parts.join("&"))
    }

    /// The same without what only the first request says.
    pub(super) fn continued(&self) -> Self {
        let mut continued = self.clone();
        continued.parameters.clear();
        continued
            .headers
            .retain(|(name, _)| name != "last-event-id");
        continued
    }

    /// All headers that the opening makes.
    pub(super) fn all_headers(&self) -> Vec<(String, String)> {
        let mut headers = self.headers.clone();
        let mut subprotocols = self.subprotocols.clone();
        if !self.token.is_empty() {
            match self.carrier {
                Carrier::Authorization => {
                    headers.push(("authorization".into(), format!("Bearer {}", self.token)));
                }
                Carrier::Subprotocol => {
                    subprotocols.push(format!("switchboard.token.{}", self.token));
                }
                Carrier::Cookie => {
                    headers.push((
                        "cookie".into(),
                        format!("theme=dark; {}={}", crate::config::COOKIE, self.token),
                    ));
                }
                Carrier::Query => {}
            }
        }
        if !subprotocols.is_empty() {
            headers.push(("sec-websocket-protocol".into(), subprotocols.join(", ")));
        }
        headers
    }
}

/// The hub's refusal of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// The HTTP status.
    pub status: u16,
    /// The stable code of the problem document.
    pub code: String,
    /// What it says.
    pub detail: String,
    /// `Retry-After` in seconds, where there is one.
    pub retry_after: Option<u64>,
    /// The media type of the body.
    pub content_type: String,
}

impl Refused {
    pub(crate) fn read(status: u16, headers: &http::HeaderMap, body: &[u8]) -> Self {
        let text = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        let problem: Value = serde_json::from_slice(body).unwrap_or_default();
        Self {
            status,
            code: problem["code"].as_str().unwrap_or_default().to_owned(),
            detail: problem["detail"].as_str().unwrap_or_default().to_owned(),
            retry_after: text("retry-after").parse().ok(),
            content_type: text("content-type").to_owned(),
        }
    }

    /// What an opening was refused with.
    ///
    /// # Errors
    /// It was not refused.
    pub fn of<T>(outcome: Result<T>) -> Result<Self> {
        match outcome {
            Ok(_) => bail!("it was to be refused, and was let in"),
            Err(error) => error.downcast(),
        }
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "refused with {} {}: {}",
            self.status, self.code, self.detail
        )
    }
}

impl std::error::Error for Refused {}
