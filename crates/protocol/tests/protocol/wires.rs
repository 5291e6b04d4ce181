//! WebSocket and poll wires, read back by the hub's own decoders of frames and messages.

use crate::samples;
use bytes::Bytes;
use switchboard_core::{Close, CloseCode, Frame, Payload, Publication};
use switchboard_protocol::websocket::deflate::Inflater;
use switchboard_protocol::{Format, Wire, json, protobuf, wire};

/// One unmasked frame off the front: its first byte, its payload, the rest.
fn split(bytes: &[u8]) -> (u8, &[u8], &[u8]) {
    let (start, length) = match bytes[1] {
        126 => (4, usize::from(u16::from_be_bytes([bytes[2], bytes[3]]))),
        127 => (
            10,
            u64::from_be_bytes(bytes[2..10].try_into().unwrap()) as usize,
        ),
        short => (2, usize::from(short)),
    };
    let (payload, rest) = bytes[start..].split_at(length);
    (bytes[0], payload, rest)
}

fn payload(frame: &Frame, format: Format) -> Vec<u8> {
    let mut out = Vec::new();
    match format {
        Format::Json => json::encode(frame, &mut out),
        Format::Protobuf => protobuf::encode(frame, &mut out),
    }
    out
}

#[test]
fn every_frame_is_one_message_on_a_websocket() {
    for wire in Wire::ALL.into_iter().filter(|wire| wire.is_websocket()) {
        let opcode = if wire.format() == Format::Json {
            0x81
        } else {
            0x82
        };
        for frame in samples::frames() {
            let bytes = wire::encode(&frame, wire, usize::MAX);
            let (first, message, rest) = split(&bytes);
            assert_eq!(
                (first, message),
                (opcode, &payload(&frame, wire.format())[..])
            );
            match &frame {
                Frame::Close(close) => {
                    let (first, control, rest) = split(rest);
                    assert!(first == 0x88 && rest.is_empty());
                    assert_eq!(
                        control,
                        [&close.code.0.to_be_bytes()[..], close.reason.as_bytes()].concat()
                    );
                }
                _ => assert!(rest.is_empty(), "{frame:?}"),
            }
        }
    }
}

#[test]
fn compressed_frames_inflate_to_the_plain_payload() {
    let text = format!("\"{}\"", "to be or not to be, ".repeat(5000));
    let publication = Publication {
        payload: Payload::Json(text.into()),
        ..Publication::clone(&samples::note())
    };
    let frame = Frame::Message(publication.into());
    for wire in [Wire::WebSocketJsonDeflate, Wire::WebSocketProtobufDeflate] {
        let bytes = wire::encode(&frame, wire, 512);
        let (first, message, rest) = split(&bytes);
        assert_eq!(first & 0xF0, 0xC0, "RSV1 is set");
        assert!(rest.is_empty());
        let inflated = Inflater::new().inflate(message, 1 << 20).unwrap();
        assert_eq!(inflated, payload(&frame, wire.format()));
        assert!(bytes.len() * 10 < inflated.len());
        let plain = wire::encode(&frame, wire, 1 << 20);
        assert_eq!(
            Some(plain),
            wire.without_deflate()
                .map(|wire| wire::encode(&frame, wire, 0))
        );
    }
}

#[test]
fn what_does_not_shrink_is_sent_plain() {
    let frame = Frame::Heartbeat { time_ms: 5 };
    let bytes = wire::encode(&frame, Wire::WebSocketJsonDeflate, 0);
    assert_eq!(bytes, wire::encode(&frame, Wire::WebSocketJson, 0));
}

#[test]
fn poll_frames_are_the_objects_alone() {
    for frame in samples::frames() {
        assert_eq!(
            wire::encode(&frame, Wire::Poll, 0),
            payload(&frame, Format::Json)
        );
    }
}

#[test]
fn close_frames_stay_valid_whatever_the_close() {
    for (code, reason) in [
        (4200, "ä".repeat(200)),
        (1005, "none".into()),
        (0, String::new()),
    ] {
        let bytes: Bytes = wire::encode_close(
            &Close::new(CloseCode(code), reason.clone()),
            Wire::WebSocketJson,
        );
        let (_, message, rest) = split(&bytes);
        let object: serde_json::Value = serde_json::from_slice(message).unwrap();
        assert_eq!(
            (
                object["close"]["code"].as_u64(),
                object["close"]["reason"].as_str()
            ),
            (Some(code.into()), Some(&*reason))
        );
        let (_, control, _) = split(rest);
        let sent = u16::from_be_bytes([control[0], control[1]]);
        assert_eq!(sent, if code == 4200 { 4200 } else { 1011 });
        assert!(control.len() <= 125 && std::str::from_utf8(&control[2..]).is_ok());
    }
}

#[test]
fn wires_are_numbered_in_their_order() {
    for (index, wire) in Wire::ALL.into_iter().enumerate() {
        assert_eq!(wire.index(), index);
    }
}
