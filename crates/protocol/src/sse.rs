//! Event streams (WHATWG HTML, section 9.2): events, ids and comments, bare or as chunks of HTTP/1.1.
//!
//! With `chunked` what is written is a whole chunk (RFC 9112, section 7.1). Chunks mean nothing to the stream, so an
//! event may span several: [`id_line`] is a chunk of its own before the chunk of the event it belongs to.

use std::time::Duration;

use switchboard_core::cursor::Cursor;

use crate::cursor;

/// Ends a chunked body.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Writes an event: `message` as the default type, so that a plain `onmessage` gets it, any other kind by its name.
///
/// `object` must not hold line breaks; no frame in JSON does.
pub fn event(kind: &str, id: Option<&str>, object: &[u8], chunked: bool, out: &mut Vec<u8>) {
    debug_assert!(
        !object.iter().any(|b| matches!(b, b'\r' | b'\n')),
        "a line break would end the data field"
    );
    let named = kind != "message";
    let id_bytes = id.map_or(0, |id| ID.len() + id.len() + 1);
    let kind_bytes = if named {
        EVENT.len() + kind.len() + 1
    } else {
        0
    };
    framed(
        id_bytes + kind_bytes + DATA.len() + object.len() + 2,
        chunked,
        out,
        |out| {
            if let Some(id) = id {
                line(ID, id.as_bytes(), out);
            }
            if named {
                line(EVENT, kind.as_bytes(), out);
            }
            line(DATA, object, out);
            out.push(b'\n');
        },
    );
}

/// Writes `id: <cursor>` alone, without ending the event: what follows it must be an event without an id.
///
/// `id` is a cursor's text.
pub fn id_line(id: &str, chunked: bool, out: &mut Vec<u8>) {
    framed(ID.len() + id.len() + 1, chunked, out, |out| {
        line(ID, id.as_bytes(), out);
    });
}

/// Writes an event that has nothing but an id. A browser remembers the id and calls no listener, so this moves the
/// cursor of a session that gets no messages.
pub fn id_event(at: &Cursor, chunked: bool, out: &mut Vec<u8>) {
    let id = cursor::encode(at);
    framed(ID.len() + id.len() + 2, chunked, out, |out| {
        line(ID, id.as_bytes(), out);
        out.push(b'\n');
    });
}

/// Writes a comment, which opens a stream at once and keeps it alive.
pub fn comment(chunked: bool, out: &mut Vec<u8>) {
    framed(3, chunked, out, |out| out.extend_from_slice(b":\n\n"));
}

/// Writes how long a client waits before it reconnects. It takes effect at once; no event is made of it.
pub fn retry(after: Duration, chunked: bool, out: &mut Vec<u8>) {
    let ms = after.as_millis().to_string();
    framed(RETRY.len() + ms.len() + 1, chunked, out, |out| {
        line(RETRY, ms.as_bytes(), out);
    });
}

const ID: &[u8] = b"id: ";
const EVENT: &[u8] = b"event: ";
const DATA: &[u8] = b"data: ";
const RETRY: &[u8] = b"retry: ";

fn line(field: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(field);
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// Writes `content_bytes` of content, and the frame of a chunk around it where one is wanted.
fn framed(
    content_bytes: usize,
    chunked: bool,
    out: &mut Vec<u8>,
    content: impl FnOnce(&mut Vec<u8>),
) {
    if !chunked {
        return content(out);
    }
    hex(content_bytes, out);
    out.extend_from_slice(b"\r\n");
    let start = out.len();
    content(out);
    debug_assert_eq!(
        out.len() - start,
        content_bytes,
        "a chunk is as long as it says"
    );
    out.extend_from_slice(b"\r\n");
}

fn hex(number: usize, out: &mut Vec<u8>) {
    let digits = (usize::BITS - number.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        out.push(b"0123456789ABCDEF"[(number >> (digit * 4)) & 0xF]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn message_is_the_default_type_and_others_are_named() {
        let data = br#"{"a":1}"#;
        assert_eq!(
            written(|out| event("message", Some("AQA"), data, false, out)),
            "id: AQA\ndata: {\"a\":1}\n\n"
        );
        assert_eq!(
            written(|out| event("gap", None, data, false, out)),
            "event: gap\ndata: {\"a\":1}\n\n"
        );
    }

    #[test]
    fn chunks_say_their_length_in_hex() {
        let data = br#"{"a":1}"#;
        assert_eq!(
            written(|out| event("message", Some("AQA"), data, true, out)),
            "17\r\nid: AQA\ndata: {\"a\":1}\n\n\r\n"
        );
        assert_eq!(written(|out| comment(true, out)), "3\r\n:\n\n\r\n");
        assert_eq!(
            written(|out| retry(Duration::from_millis(1500), true, out)),
            "C\r\nretry: 1500\n\r\n"
        );
        for number in [0, 1, 15, 16, 255, 256, 65_535, 1 << 20] {
            assert_eq!(written(|out| hex(number, out)), format!("{number:X}"));
        }
    }

    #[test]
    fn cursors_go_alone_or_before_an_event() {
        let at = Cursor::default();
        let text = cursor::encode(&at);
        assert_eq!(
            written(|out| id_event(&at, false, out)),
            format!("id: {text}\n\n")
        );
        assert_eq!(
            written(|out| id_line(&text, false, out)),
            format!("id: {text}\n")
        );
        assert_eq!(
            written(|out| id_line(&text, true, out)),
            format!("{:X}\r\nid: {text}\n\r\n", text.len() + 5)
        );
        assert_eq!(
            written(|out| id_event(&at, true, out)),
            format!("{:X}\r\nid: {text}\n\n\r\n", text.len() + 6)
        );
    }
}
