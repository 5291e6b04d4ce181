//! Over Server-Sent Events.

use anyhow::{Context, Result};
use futures_util::StreamExt;

use super::{Target, refusal};
use crate::cli::frames::{End, Frame, Printer};

/// Follows the target's channels until the end.
pub(super) async fn follow(target: &Target, printer: &mut Printer) -> Result<End> {
    let url = reqwest::Url::parse_with_params(&format!("{}/v1/sse", target.url), target.query())?;
    let request = target
        .http()?
        .get(url)
        .bearer_auth(&target.token)
        .header("accept", "text/event-stream");
    let response = request
        .send()
        .await
        .with_context(|| format!("no hub at {}", target.url))?;
    if !response.status().is_success() {
        return Err(refusal(response).await);
    }
    let mut events = Events::default();
    let mut body = response.bytes_stream();
    while let Some(Ok(bytes)) = body.next().await {
        for (kind, data) in events.take(&bytes) {
            if let Some(end) = printer.print(&Frame::new(&kind, &data)?)? {
                return Ok(end);
            }
        }
    }
    Ok(End::Lost)
}

/// Reads an event stream (WHATWG HTML, section 9.2.6), as far as a hub makes use of it.
#[derive(Default)]
struct Events {
    line: Vec<u8>,
    kind: String,
    data: String,
}

impl Events {
    /// The events, kind and data, that these bytes complete.
    fn take(&mut self, bytes: &[u8]) -> Vec<(String, String)> {
        let mut events = Vec::new();
        for byte in bytes {
            if *byte != b'\n' {
                self.line.push(*byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = String::from_utf8_lossy(&line);
            let line = line.strip_suffix('\r').unwrap_or(&line);
            if line.is_empty() {
                let (kind, data) = (
                    std::mem::take(&mut self.kind),
                    std::mem::take(&mut self.data),
                );
                // Without data it only moves the cursor.
                if !data.is_empty() {
                    events.push((
                        if kind.is_empty() {
                            "message".to_owned()
                        } else {
                            kind
                        },
                        data,
                    ));
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut self.kind),
                "data" => {
                    if !self.data.is_empty() {
                        self.data.push('\n');
                    }
                    self.data.push_str(value);
                }
                // Comments, `id`, `retry`.
                _ => {}
            }
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_they_are_cut() {
        let stream = ": hi\nretry: 10\n\nevent: open\ndata: {\"a\":\ndata: 1}\n\nid: x\n\nid: y\r\ndata: \u{fc}\r\n\r\ndata: tail";
        let expected = [
            ("open".to_owned(), "{\"a\":\n1}".to_owned()),
            ("message".to_owned(), "\u{fc}".to_owned()),
        ];
        for cut in 0..stream.len() {
            let mut events = Events::default();
            let mut read = events.take(&stream.as_bytes()[..cut]);
            read.extend(events.take(&stream.as_bytes()[cut..]));
            assert_eq!(read, expected, "cut at {cut}");
        }
    }
}
