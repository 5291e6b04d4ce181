//! Frames as a terminal shows them, and the end of a subscription.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::terminal::{line, note, plain};

/// A frame: its kind, and what is under it.
pub(super) struct Frame {
    kind: String,
    body: Box<RawValue>,
}

/// Why a subscription ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// As many messages came as were asked for.
    Enough,
    /// The hub closed the session.
    Closed {
        /// The close code.
        code: u16,
        /// Its reason.
        reason: String,
    },
    /// The hub went away without a word.
    Lost,
}

#[derive(Deserialize)]
struct Close {
    code: u16,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
struct Body<'a> {
    channel: Option<String>,
    offset: Option<u64>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    from: Option<From>,
    member: Option<From>,
    reason: Option<String>,
    session: Option<String>,
    user: Option<String>,
    node: Option<String>,
    reconnect_after: Option<u64>,
}

#[derive(Deserialize)]
struct From {
    user: Option<String>,
    session: String,
}

impl From {
    fn name(&self) -> &str {
        self.user.as_deref().unwrap_or(&self.session)
    }
}

impl Frame {
    /// A frame of this kind.
    pub(super) fn new(kind: &str, body: &str) -> Result<Self> {
        let body = RawValue::from_string(body.to_owned())
            .with_context(|| format!("a `{kind}` frame that is no JSON"))?;
        Ok(Self {
            kind: kind.to_owned(),
            body,
        })
    }

    /// Reads `{"kind": {...}}`.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let frame: std::collections::BTreeMap<String, Box<RawValue>> =
            serde_json::from_str(text).with_context(|| format!("no frame: {text}"))?;
        let mut entries = frame.into_iter();
        match (entries.next(), entries.next()) {
            (Some((kind, body)), None) => Ok(Self { kind, body }),
            _ => bail!("a frame has one key: {text}"),
        }
    }
}

/// Prints frames, and knows when it is enough.
pub(super) struct Printer {
    json: bool,
    left: Option<u64>,
}

impl Printer {
    /// Prints JSON lines or text; `count` messages, or all that come.
    pub(super) fn new(json: bool, count: Option<u64>) -> Self {
        Self { json, left: count }
    }

    /// Prints one frame; tells whether it was the last.
    pub(super) fn print(&mut self, frame: &Frame) -> Result<Option<End>> {
        let Frame { kind, body } = frame;
        if self.json {
            line(format_args!("{{\"{kind}\":{body}}}"))?;
        } else {
            show(kind, body.get())?;
        }
        if kind == "message"
            && let Some(left) = &mut self.left
        {
            *left = left.saturating_sub(1);
            if *left == 0 {
                return Ok(Some(End::Enough));
            }
        }
        if kind == "close" {
            let Close { code, reason } =
                serde_json::from_str(body.get()).context("a close frame")?;
            return Ok(Some(End::Closed { code, reason }));
        }
        Ok(None)
    }
}

/// Shows a frame to a person.
fn show(kind: &str, text: &str) -> Result<()> {
    let body: Body<'_> = serde_json::from_str(text).with_context(|| format!("a `{kind}` frame"))?;
    let channel = body.channel.as_deref().unwrap_or("(to this session)");
    match kind {
        "message" => {
            let offset = body
                .offset
                .map_or(String::new(), |offset| format!(" #{offset}"));
            let from = body
                .from
                .as_ref()
                .map_or(String::new(), |from| format!(" {}", from.name()));
            let data = body.data.map_or("", RawValue::get);
            let text = format!("{channel}{offset}{from} {data}");
            line(format_args!("{}", plain(&text)))?;
        }
        "join" | "leave" => {
            let member = body.member.as_ref().map_or("?", From::name);
            note(format_args!("-- {channel}: {member} {kind}s"));
        }
        "gap" => note(format_args!(
            "-- {channel}: gap ({}): something may be missing",
            body.reason.unwrap_or_default()
        )),
        "open" => note(format_args!(
            "-- session {} of {} on node {}",
            body.session.unwrap_or_default(),
            body.user.unwrap_or_else(|| "nobody".to_owned()),
            body.node.unwrap_or_default()
        )),
        "draining" => note(format_args!(
            "-- the node is leaving: closed within {} ms",
            body.reconnect_after.unwrap_or(0)
        )),
        "heartbeat" => {}
        _ => note(format_args!("-- {kind} {text}")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frames_that_all_clients_read_are_read() {
        let fixtures = include_str!("../../../../clients/fixtures/frames.jsonl");
        let mut printer = Printer::new(false, None);
        let mut kinds = 0;
        for text in fixtures.lines() {
            let frame = Frame::parse(text).unwrap();
            assert!(
                frame.kind == "reply" || printer.print(&frame).is_ok(),
                "{text}"
            );
            kinds += 1;
        }
        assert!(kinds > 20);
    }

    #[test]
    fn a_count_and_a_close_end_a_subscription() {
        let mut printer = Printer::new(true, Some(2));
        let message = Frame::parse(r#"{"message":{"channel":"a","data":1,"time":1}}"#).unwrap();
        assert_eq!(printer.print(&message).unwrap(), None);
        assert_eq!(printer.print(&message).unwrap(), Some(End::Enough));
        let close = Frame::new(
            "close",
            r#"{"code":1001,"reason":"the node drains","reconnect":true}"#,
        )
        .unwrap();
        let end = End::Closed {
            code: 1001,
            reason: "the node drains".to_owned(),
        };
        assert_eq!(printer.print(&close).unwrap(), Some(end));
        assert!(Frame::parse("[]").is_err() && Frame::parse("{}").is_err());
    }
}
