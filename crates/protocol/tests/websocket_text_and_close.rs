//! The decoder case by case: UTF-8 and closing. Every stream is fed whole, byte by
//! byte and in many chunkings; section numbers in the names are those of the Autobahn suite.

#![allow(clippy::unwrap_used, reason = "a test")]

mod websocket_frames;

use switchboard_protocol::websocket::error::DecodeError;
use switchboard_protocol::websocket::is_close_code;
use websocket_frames::*;

#[test]
fn s6_valid_text_passes_however_it_is_fragmented() {
    let content = "Hello-µ@ßöäüàá-UTF-8!! κόσμε \u{0}\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{fffd}\u{ffff}\u{10000}\u{10ffff}";
    let bytes = content.as_bytes();
    check(&[frame(FIN | TEXT, bytes)], &[text(content)], None);
    let mut one_byte_each: Vec<_> = bytes
        .iter()
        .map(|byte| frame(CONTINUATION, &[*byte]))
        .collect();
    one_byte_each[0] = frame(TEXT, &bytes[..1]);
    one_byte_each.push(frame(FIN, b""));
    check(&one_byte_each, &[text(content)], None);
    for cut in 0..=bytes.len() {
        check(
            &[
                frame(TEXT, &bytes[..cut]),
                frame(FIN | PING, b"\xff"),
                frame(FIN, &bytes[cut..]),
            ],
            &[Said::Ping(vec![0xff]), text(content)],
            None,
        );
    }
}

#[test]
fn s6_invalid_text_is_refused() {
    let invalid: &[&[u8]] = &[
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
        b"\xf8\x88\x80\x80\x80",
        b"\xfc\x84\x80\x80\x80\x80",
        b"\xf4\x90\x80\x80",
        b"\x80",
        b"\xbf",
        b"\x80\xbf",
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\xaf",
        b"\xc1\xbf",
        b"\xe0\x9f\xbf",
        b"\xf0\x8f\xbf\xbf",
        b"\xed\xbf\xbf",
        b"\xed\xa0\x80\xed\xb0\x80",
        b"\xfe",
        b"\xff",
        b"\xc2",
        b"\xe2\x82",
        b"\xf0\x9f\x98",
        b"\xc0 ",
        b"\xf5",
    ];
    for bytes in invalid {
        refused(&[frame(FIN | TEXT, bytes)], DecodeError::Utf8, 1007);
        for cut in 0..=bytes.len() {
            refused(
                &[frame(TEXT, &bytes[..cut]), frame(FIN, &bytes[cut..])],
                DecodeError::Utf8,
                1007,
            );
        }
        check(
            &[frame(FIN | BINARY, bytes)],
            &[Said::Binary(bytes.to_vec())],
            None,
        );
    }
}

#[test]
fn s6_invalid_text_is_refused_at_the_first_hopeless_byte() {
    // Each is hopeless at its last byte, and the message is far from its end.
    for hopeless in [
        &b"ok\xc0"[..],
        b"ok\xed\xa0",
        b"ok\xf4\x90",
        b"ok\xe0\x80",
        b"ok\xf0\x8f",
        b"ok\xff",
        b"ok\xce\xba\x80",
        b"ok\xe2\x82\x20",
        b"ok\xf0\x9f\x98\x41",
    ] {
        let long = [hopeless, &[b'x'; 100]].concat();
        let one_frame = frame(FIN | TEXT, &long);
        refused_at_last_byte(&one_frame[..6 + hopeless.len()], DecodeError::Utf8);
        for cut in 0..hopeless.len() {
            let (head, tail) = long.split_at(cut);
            let fragments = [frame(TEXT, head), frame(CONTINUATION, tail)].concat();
            refused_at_last_byte(&fragments[..12 + hopeless.len()], DecodeError::Utf8);
        }
    }
}

#[test]
fn s7_close_ends_the_stream() {
    let after = [frame(FIN | TEXT, b"late"), vec![0xff; 40]].concat();
    check(
        &[
            frame(FIN | TEXT, b"hi"),
            close_frame(1000, b"bye"),
            after.clone(),
        ],
        &[text("hi"), Said::Close(Some(1000), "bye".into())],
        None,
    );
    check(
        &[frame(FIN | CLOSE, b""), after],
        &[Said::Close(None, String::new())],
        None,
    );
    check(
        &[frame(TEXT, b"unfinished"), frame(FIN | CLOSE, b"")],
        &[Said::Close(None, String::new())],
        None,
    );
    let longest = "é".repeat(61);
    check(
        &[close_frame(4999, longest.as_bytes())],
        &[Said::Close(Some(4999), longest)],
        None,
    );
}

#[test]
fn s7_bad_close_payloads_are_refused() {
    refused(
        &[frame(FIN | CLOSE, b"\x03")],
        DecodeError::CloseTruncated,
        1002,
    );
    refused(
        &[close_frame(1000, b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80")],
        DecodeError::Utf8,
        1007,
    );
    refused(
        &[close_frame(1000, b"cut \xe2\x82")],
        DecodeError::Utf8,
        1007,
    );
    refused(
        &[close_frame(1000, &[b'*'; 124])],
        DecodeError::ControlTooLong,
        1002,
    );
}

#[test]
fn s7_close_codes_are_those_of_the_registry() {
    for code in [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000,
        4999,
    ] {
        assert!(is_close_code(code));
        check(
            &[close_frame(code, b"")],
            &[Said::Close(Some(code), String::new())],
            None,
        );
    }
    for code in [
        0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535,
    ] {
        assert!(!is_close_code(code));
        refused(&[close_frame(code, b"")], DecodeError::CloseCode, 1002);
    }
}
