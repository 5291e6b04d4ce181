//! The query of an opening, a poll or a POST: read in one way for all of them.
//!
//! Keys that are not known here are passed over, so that a page may add its own (a cache breaker, a build number). Values
//! that are known but make no sense are refused by the name of their parameter: a client that asked for something it did
//! not get would be worse off.
//!
//! A `+` is a plus sign, not a space: no value of ours has spaces, while names and tokens may have plus signs that a
//! person at a shell does not escape.

use std::borrow::Cow;
use std::collections::HashSet;
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use switchboard_core::cursor::Cursor;
use switchboard_core::{ChannelName, ClientError, ErrorCode, Limits};
use switchboard_protocol::cursor;

/// The longest `heartbeat`: a day. More is a mistake in units.
const HEARTBEAT_MAX: Duration = Duration::from_hours(24);

/// A query, read. No `Debug`: it holds secrets.
#[derive(Default)]
pub(crate) struct Query {
    /// In the order given, without duplicates.
    pub(crate) channels: Vec<ChannelName>,
    pub(crate) rewind: u32,
    pub(crate) cursor: Option<Cursor>,
    pub(crate) token: Option<String>,
    pub(crate) heartbeat: Option<Duration>,
    pub(crate) key: Option<String>,
    pub(crate) wait: Option<Duration>,
}

impl Query {
    /// Reads a query string, without its question mark.
    ///
    /// # Errors
    /// `bad_request`; the message names the parameter.
    pub(crate) fn parse(text: Option<&str>, limits: &Limits) -> Result<Self, ClientError> {
        let mut query = Self::default();
        let mut named = HashSet::new();
        let mut given = 0u8;
        for pair in text.unwrap_or_default().split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Ok(name) = percent_decode_str(name).decode_utf8() else {
                continue;
            };
            let Some(parameter) = Parameter::named(&name) else {
                continue;
            };
            let bit = 1 << parameter as u8;
            if parameter != Parameter::Channel && given & bit != 0 {
                return Err(bad(&name, "is given twice"));
            }
            given |= bit;
            let value = percent_decode_str(value)
                .decode_utf8()
                .map_err(|_| bad(&name, "is no UTF-8"))?;
            match parameter {
                Parameter::Channel => {
                    let channel = ChannelName::parse(&value).map_err(|error| bad(&name, error))?;
                    if named.insert(channel.clone()) {
                        query.channels.push(channel);
                    }
                }
                Parameter::Rewind => query.rewind = number(&name, &value)?,
                Parameter::Cursor => query.cursor = read_cursor(&name, &value, limits)?,
                Parameter::Token => query.token = Some(value.into_owned()),
                Parameter::Heartbeat => query.heartbeat = Some(heartbeat(&name, &value)?),
                Parameter::Key => query.key = Some(value.into_owned()),
                Parameter::Wait => query.wait = Some(seconds(&name, &value)?),
            }
        }
        Ok(query)
    }
}

/// Reads a cursor; an empty one is none, as a client sends it that has nothing yet.
pub(crate) fn read_cursor(
    name: &str,
    value: &str,
    limits: &Limits,
) -> Result<Option<Cursor>, ClientError> {
    if value.is_empty() {
        return Ok(None);
    }
    cursor::decode(value, limits.cursor_bytes_max)
        .map(Some)
        .map_err(|error| bad(name, error))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Parameter {
    Channel,
    Rewind,
    Cursor,
    Token,
    Heartbeat,
    Key,
    Wait,
}

impl Parameter {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "channel" => Self::Channel,
            "rewind" => Self::Rewind,
            "cursor" => Self::Cursor,
            "token" => Self::Token,
            "heartbeat" => Self::Heartbeat,
            "key" => Self::Key,
            "wait" => Self::Wait,
            _ => return None,
        })
    }
}

fn number<T: FromStr>(name: &str, value: &str) -> Result<T, ClientError> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { value.parse().ok() } else { None };
    number.ok_or_else(|| bad(name, "must be a whole number"))
}

/// Seconds, with or without a fraction; no signs, exponents or words.
fn seconds(name: &str, value: &str) -> Result<Duration, ClientError> {
    let plain = value
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds = if plain { value.parse().ok() } else { None };
    let duration = seconds.and_then(|seconds: f64| Duration::try_from_secs_f64(seconds).ok());
    duration.ok_or_else(|| bad(name, "must be a number of seconds"))
}

fn heartbeat(name: &str, value: &str) -> Result<Duration, ClientError> {
    let every = seconds(name, value)?;
    if every < Duration::from_secs(1) || every > HEARTBEAT_MAX {
        return Err(bad(name, "must be 1 to 86400 seconds"));
    }
    Ok(every)
}

fn bad(name: &str, what: impl std::fmt::Display) -> ClientError {
    ClientError::new(
        ErrorCode::BadRequest,
        Cow::Owned(format!("parameter `{name}` {}", Sentence(what))),
    )
}

/// Joins a message that is a sentence of its own by a colon, and one that goes on by nothing.
struct Sentence<T>(T);

impl<T: std::fmt::Display> std::fmt::Display for Sentence<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.0.to_string();
        let goes_on = text.starts_with("is ") || text.starts_with("must ");
        f.write_str(if goes_on { "" } else { "is malformed: " })?;
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use switchboard_core::{Epoch, Position};

    use super::*;

    fn parse(text: Option<&str>) -> Result<Query, ClientError> {
        Query::parse(text, &Limits::default())
    }

    #[test]
    fn channels_keep_their_order_and_lose_their_duplicates() {
        let query = parse(Some(
            "channel=b:1&channel=a%3A2&channel=b:1&other=x&channel=a+b",
        ))
        .ok()
        .unwrap();
        let names: Vec<_> = query.channels.iter().map(ChannelName::as_str).collect();
        assert_eq!(names, ["b:1", "a:2", "a+b"]);
    }

    #[test]
    fn every_parameter_is_read() {
        let channel = ChannelName::parse("chat:1").unwrap();
        let at = Position {
            epoch: Epoch(7),
            offset: 3,
        };
        let cursor = Cursor {
            sequence: 9,
            positions: vec![(channel, at)],
        };
        let text = format!(
            "rewind=5&cursor={}&token=a.b+c&heartbeat=2.5&key=k&wait=0.25&&x",
            cursor::encode(&cursor)
        );
        let query = parse(Some(&text)).ok().unwrap();
        assert_eq!(query.rewind, 5);
        assert_eq!(query.cursor, Some(cursor));
        assert_eq!(query.token.as_deref(), Some("a.b+c"));
        assert_eq!(query.heartbeat, Some(Duration::from_millis(2500)));
        assert_eq!(query.key.as_deref(), Some("k"));
        assert_eq!(query.wait, Some(Duration::from_millis(250)));
        let none = parse(None).ok().unwrap();
        assert!(
            none.channels.is_empty()
                && none.cursor.is_none()
                && none.token.is_none()
                && none.wait.is_none()
        );
        assert!(parse(Some("cursor=")).ok().unwrap().cursor.is_none());
    }

    #[test]
    fn garbage_is_refused_by_name() {
        let check = |text: &str, message: &str| {
            let error = parse(Some(text))
                .err()
                .unwrap_or_else(|| panic!("{text} was taken"));
            assert_eq!(
                (error.code, &*error.message),
                (ErrorCode::BadRequest, message),
                "{text}"
            );
        };
        check("rewind=-1", "parameter `rewind` must be a whole number");
        check("rewind=", "parameter `rewind` must be a whole number");
        check(
            "rewind=99999999999",
            "parameter `rewind` must be a whole number",
        );
        check("wait=inf", "parameter `wait` must be a number of seconds");
        check("wait=1e3", "parameter `wait` must be a number of seconds");
        check("wait=-1", "parameter `wait` must be a number of seconds");
        check("wait=.", "parameter `wait` must be a number of seconds");
        check(
            "heartbeat=0.5",
            "parameter `heartbeat` must be 1 to 86400 seconds",
        );
        check(
            "heartbeat=100000",
            "parameter `heartbeat` must be 1 to 86400 seconds",
        );
        check(
            "heartbeat=",
            "parameter `heartbeat` must be a number of seconds",
        );
        check(
            "cursor=!",
            "parameter `cursor` is malformed: cursor is malformed",
        );
        check(
            "channel=",
            "parameter `channel` is malformed: channel name is empty or has an empty segment",
        );
        check("channel=%ff", "parameter `channel` is no UTF-8");
        check("token=a&token=b", "parameter `token` is given twice");
    }
}
