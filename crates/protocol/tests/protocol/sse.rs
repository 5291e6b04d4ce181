//! Event streams against `clients/fixtures/sse.txt`, and read back by the rules of the standard.

use crate::samples;
use switchboard_core::{Close, CloseCode, Frame};
use switchboard_protocol::{Wire, cursor, json, wire};

fn stream(wire: Wire) -> Vec<u8> {
    samples::frames()
        .iter()
        .flat_map(|frame| wire::encode(frame, wire, 0))
        .collect()
}

/// What a browser makes of a stream: the type, the data and the last id of each event.
fn read(stream: &str) -> Vec<(String, String, String)> {
    let (mut events, mut id) = (Vec::new(), String::new());
    let (mut kind, mut data) = ("message".to_owned(), None);
    for line in stream.split_terminator('\n') {
        match line.split_once(": ") {
            Some(("id", value)) => value.clone_into(&mut id),
            Some(("event", value)) => value.clone_into(&mut kind),
            Some(("data", value)) => assert_eq!(
                data.replace(value.to_owned()),
                None,
                "one data line an event"
            ),
            None if line.is_empty() => {
                let kind = std::mem::replace(&mut kind, "message".to_owned());
                events.extend(data.take().map(|data| (kind, data, id.clone())));
            }
            _ => panic!("unexpected line {line:?}"),
        }
    }
    events
}

/// Takes the chunks of a body apart; the second value tells whether the last chunk has come.
fn unchunk(mut body: &[u8]) -> (Vec<u8>, bool) {
    let mut content = Vec::new();
    while !body.is_empty() {
        let end = body.windows(2).position(|pair| pair == b"\r\n").unwrap();
        let length = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        let (chunk, rest) = body[end + 2..].split_at(length);
        content.extend_from_slice(chunk);
        body = rest.strip_prefix(b"\r\n").expect("a chunk ends with CRLF");
        if length == 0 {
            assert!(body.is_empty(), "nothing follows the last chunk");
            return (content, true);
        }
    }
    (content, false)
}

#[test]
fn stream_of_the_fixtures_is_written_byte_for_byte() {
    let path = format!(
        "{}/../../clients/fixtures/sse.txt",
        env!("CARGO_MANIFEST_DIR")
    );
    let expected = std::fs::read_to_string(path).unwrap();
    assert_eq!(String::from_utf8(stream(Wire::SseRaw)).unwrap(), expected);
    let events = read(&expected);
    assert_eq!(events.len(), samples::frames().len());
    for ((kind, data, id), frame) in events.into_iter().zip(samples::frames()) {
        let mut object = Vec::new();
        assert_eq!(kind, json::encode_inner(&frame, &mut object));
        assert_eq!(data.as_bytes(), object);
        if let Frame::Message(publication) = frame
            && publication.offset > 0
        {
            let cursor = cursor::decode(&id, 8 * 1024).unwrap();
            assert_eq!(
                cursor.positions,
                [(publication.channel.clone(), publication.position())]
            );
        }
    }
}

#[test]
fn chunked_streams_hold_the_same_and_end_with_a_close() {
    for (chunked, raw) in [
        (Wire::SseChunked, Wire::SseRaw),
        (Wire::SseChunkedBare, Wire::SseRawBare),
    ] {
        for frame in samples::frames() {
            let (content, ended) = unchunk(&wire::encode(&frame, chunked, 0));
            assert_eq!(content, wire::encode(&frame, raw, 0));
            assert_eq!(ended, matches!(frame, Frame::Close(_)), "{frame:?}");
        }
    }
}

#[test]
fn bare_streams_carry_no_id() {
    let text = String::from_utf8(stream(Wire::SseRawBare)).unwrap();
    assert!(!text.contains("id: "));
    assert_eq!(read(&text).len(), samples::frames().len());
}

#[test]
fn chunks_are_these_bytes() {
    let heartbeat = wire::encode(&Frame::Heartbeat { time_ms: 5 }, Wire::SseChunked, 0);
    assert_eq!(
        heartbeat,
        &b"23\r\nevent: heartbeat\ndata: {\"time\":5}\n\n\r\n"[..]
    );
    let close = wire::encode_close(&Close::new(CloseCode::DONE, "bye"), Wire::SseChunked);
    let event = "event: close\ndata: {\"code\":1000,\"reason\":\"bye\",\"reconnect\":false}\n\n";
    assert_eq!(close, format!("{:X}\r\n{event}\r\n0\r\n\r\n", event.len()));
    let message = wire::encode(&Frame::Message(samples::note()), Wire::SseChunked, 0);
    assert!(
        message.starts_with(
            b"D9\r\nid: AQABAAAAAP____8BBmNoYXQ6MQQ\ndata: {\"channel\":\"chat:1\",\"offset\":4,"
        ),
        "{}",
        String::from_utf8_lossy(&message)
    );
}
