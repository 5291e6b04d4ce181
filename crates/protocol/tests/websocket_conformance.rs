//! The decoder case by case, in the sections of the Autobahn suite. Every stream is fed whole, byte by byte and in
//! many chunkings; section numbers in the names are Autobahn's.

#![allow(clippy::unwrap_used, reason = "a test")]

mod websocket_frames;

use switchboard_protocol::websocket::decode::{Decoder, Limits};
use switchboard_protocol::websocket::deflate::Deflater;
use switchboard_protocol::websocket::error::DecodeError;
use switchboard_protocol::websocket::{Opcode, encode, is_close_code};
use websocket_frames::*;

const LIMITS: Limits = Limits { message_bytes_max: 1 << 20, fragments_max: 1024 };

#[track_caller]
fn check(frames: &[Vec<u8>], said: &[Said], error: Option<DecodeError>) {
    let verdict = decode_every_way(&frames.concat(), LIMITS, false);
    assert_eq!(verdict, (said.to_vec(), error));
}

#[track_caller]
fn refused(frames: &[Vec<u8>], error: DecodeError, code: u16) {
    check(frames, &[], Some(error));
    assert_eq!(error.close_code(), code);
}

/// The stream is refused at its last byte and not before.
#[track_caller]
fn refused_at_last_byte(stream: &[u8], error: DecodeError) {
    let mut listener = Listener::new(LIMITS, false);
    let (last, before) = stream.split_last().unwrap();
    for byte in before {
        listener.hear(&[*byte]);
    }
    assert_eq!(listener.error, None, "refused too early");
    listener.hear(&[*last]);
    assert_eq!(listener.error, Some(error));
}

fn text(content: &str) -> Said {
    Said::Text(content.to_owned())
}

#[test]
fn decoder_is_small_and_owns_nothing_while_idle() {
    assert!(size_of::<Decoder>() <= 96, "{} bytes", size_of::<Decoder>());
    let mut listener = Listener::new(LIMITS, false);
    assert_eq!(listener.decoder.buffered_bytes(), 0);
    // A header alone takes no heap, whatever length it announces.
    listener.hear(&[&header(FIN | BINARY, 1 << 20, 8)[..], &[0; 4]].concat());
    assert!(!listener.decoder.is_idle());
    assert_eq!(listener.decoder.buffered_bytes(), 0);
    listener.hear(&[7; 10]);
    assert!((10..=64).contains(&listener.decoder.buffered_bytes()));
    listener.hear(&vec![7; (1 << 20) - 10]);
    assert_eq!(listener.said.len(), 1);
    assert_eq!(listener.decoder.buffered_bytes(), 0);
    assert!(listener.decoder.is_idle());
}

#[test]
fn buffer_never_outgrows_the_frame() {
    let stream = frame(FIN | BINARY, &vec![1; 100_000]);
    let mut listener = Listener::new(LIMITS, false);
    for chunk in stream.chunks(1000) {
        listener.hear(chunk);
        assert!(listener.decoder.buffered_bytes() <= 100_000);
    }
    assert_eq!(listener.said.len(), 1);
}

#[test]
fn s1_framing_of_every_length_form() {
    for bytes in [0, 1, 125, 126, 127, 128, 65_535, 65_536] {
        check(
            &[frame(FIN | TEXT, &vec![b'*'; bytes])],
            &[Said::Text("*".repeat(bytes))],
            None,
        );
        check(
            &[frame(FIN | BINARY, &vec![0xfe; bytes])],
            &[Said::Binary(vec![0xfe; bytes])],
            None,
        );
    }
}

#[test]
fn s1_length_in_a_longer_form_is_refused() {
    for (bytes, extended) in [(0, 2), (125, 2), (0, 8), (125, 8), (126, 8), (65_535, 8)] {
        refused(
            &[frame_in_form(FIN | BINARY, &vec![0; bytes], extended)],
            DecodeError::LengthNotMinimal,
            1002,
        );
    }
}

#[test]
fn s1_length_beyond_63_bits_is_refused() {
    refused(&[header(FIN | BINARY, 1 << 63, 8)], DecodeError::LengthOutOfRange, 1002);
    refused(&[header(FIN | BINARY, u64::MAX, 8)], DecodeError::LengthOutOfRange, 1002);
    refused(&[header(FIN | BINARY, (1 << 63) - 1, 8)], DecodeError::MessageTooBig, 1009);
}

#[test]
fn unmasked_frame_is_refused_at_its_second_byte() {
    refused(&[b"\x81\x05Hello".to_vec()], DecodeError::NotMasked, 1002);
    refused_at_last_byte(b"\x81\x05", DecodeError::NotMasked);
    refused_at_last_byte(b"\x89\x00", DecodeError::NotMasked);
    refused_at_last_byte(b"\x82\x7f", DecodeError::NotMasked);
}

#[test]
fn s2_pings_and_pongs_carry_their_payload() {
    check(
        &[
            frame(FIN | PING, b""),
            frame(FIN | PING, b"Hello"),
            frame(FIN | PING, &[0, 0xff, 0xfe]),
            frame(FIN | PING, &[0xfe; 125]),
            frame(FIN | PONG, b""),
            frame(FIN | PONG, b"unsolicited"),
        ],
        &[
            Said::Ping(vec![]),
            Said::Ping(b"Hello".to_vec()),
            Said::Ping(vec![0, 0xff, 0xfe]),
            Said::Ping(vec![0xfe; 125]),
            Said::Pong(vec![]),
            Said::Pong(b"unsolicited".to_vec()),
        ],
        None,
    );
}

#[test]
fn s2_long_control_frame_is_refused_from_its_header() {
    for opcode in [PING, PONG, CLOSE] {
        refused(&[frame(FIN | opcode, &[0xfe; 126])], DecodeError::ControlTooLong, 1002);
        refused_at_last_byte(&[FIN | opcode, 0x80 | 126], DecodeError::ControlTooLong);
        refused_at_last_byte(&[FIN | opcode, 0x80 | 127], DecodeError::ControlTooLong);
    }
}

#[test]
fn s3_reserved_bits_are_refused_after_what_came_before() {
    for bits in 1..=7 {
        for opcode in [TEXT, BINARY, PING, PONG, CLOSE] {
            check(
                &[frame(FIN | TEXT, b"good"), frame(FIN | bits << 4 | opcode, b""), frame(FIN | PING, b"")],
                &[text("good")],
                Some(DecodeError::ReservedBit),
            );
        }
    }
    refused_at_last_byte(&[0xc1], DecodeError::ReservedBit);
    assert_eq!(DecodeError::ReservedBit.close_code(), 1002);
}

#[test]
fn s4_reserved_opcodes_are_refused() {
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        for fin in [0, FIN] {
            check(
                &[frame(FIN | TEXT, b"good"), frame(fin | opcode, b"bad"), frame(FIN | PING, b"")],
                &[text("good")],
                Some(DecodeError::ReservedOpcode),
            );
        }
    }
    assert_eq!(DecodeError::ReservedOpcode.close_code(), 1002);
}

#[test]
fn s5_fragments_are_joined_with_control_frames_between() {
    check(
        &[frame(TEXT, b"fragment1"), frame(FIN, b"fragment2")],
        &[text("fragment1fragment2")],
        None,
    );
    check(
        &[
            frame(TEXT, b"one "),
            frame(FIN | PING, b"ping"),
            frame(CONTINUATION, b"two "),
            frame(FIN | PONG, b"pong"),
            frame(FIN | PING, b""),
            frame(FIN, b"three"),
            frame(FIN | BINARY, b"next"),
        ],
        &[
            Said::Ping(b"ping".to_vec()),
            Said::Pong(b"pong".to_vec()),
            Said::Ping(vec![]),
            text("one two three"),
            Said::Binary(b"next".to_vec()),
        ],
        None,
    );
    check(
        &[frame(BINARY, b""), frame(CONTINUATION, b""), frame(FIN, b"")],
        &[Said::Binary(vec![])],
        None,
    );
    check(
        &[frame(BINARY, b""), frame(FIN | PING, b"p"), frame(FIN, b"end")],
        &[Said::Ping(b"p".to_vec()), Said::Binary(b"end".to_vec())],
        None,
    );
}

#[test]
fn s5_fragmented_control_frames_are_refused() {
    for opcode in [PING, PONG, CLOSE] {
        refused(&[frame(opcode, b"fr"), frame(FIN, b"ag")], DecodeError::FragmentedControl, 1002);
    }
}

#[test]
fn s5_fragments_out_of_place_are_refused() {
    refused(&[frame(FIN, b"x"), frame(FIN | TEXT, b"y")], DecodeError::UnexpectedContinuation, 1002);
    refused(&[frame(CONTINUATION, b"x")], DecodeError::UnexpectedContinuation, 1002);
    check(
        &[frame(TEXT, b"a"), frame(FIN, b"b"), frame(FIN, b"c")],
        &[text("ab")],
        Some(DecodeError::UnexpectedContinuation),
    );
    for first in [TEXT, BINARY, FIN | TEXT, FIN | BINARY] {
        refused(&[frame(TEXT, b"a"), frame(first, b"b")], DecodeError::ExpectedContinuation, 1002);
    }
}

#[test]
fn s6_valid_text_passes_however_it_is_fragmented() {
    let content = "Hello-µ@ßöäüàá-UTF-8!! κόσμε \u{0}\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{fffd}\u{ffff}\u{10000}\u{10ffff}";
    let bytes = content.as_bytes();
    check(&[frame(FIN | TEXT, bytes)], &[text(content)], None);
    let mut one_byte_each: Vec<_> = bytes.iter().map(|byte| frame(CONTINUATION, &[*byte])).collect();
    one_byte_each[0] = frame(TEXT, &bytes[..1]);
    one_byte_each.push(frame(FIN, b""));
    check(&one_byte_each, &[text(content)], None);
    for cut in 0..=bytes.len() {
        check(
            &[frame(TEXT, &bytes[..cut]), frame(FIN | PING, b"\xff"), frame(FIN, &bytes[cut..])],
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
        check(&[frame(FIN | BINARY, bytes)], &[Said::Binary(bytes.to_vec())], None);
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
        &[frame(FIN | TEXT, b"hi"), close_frame(1000, b"bye"), after.clone()],
        &[text("hi"), Said::Close(Some(1000), "bye".into())],
        None,
    );
    check(&[frame(FIN | CLOSE, b""), after], &[Said::Close(None, String::new())], None);
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
    refused(&[frame(FIN | CLOSE, b"\x03")], DecodeError::CloseTruncated, 1002);
    refused(&[close_frame(1000, b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80")], DecodeError::Utf8, 1007);
    refused(&[close_frame(1000, b"cut \xe2\x82")], DecodeError::Utf8, 1007);
    refused(&[close_frame(1000, &[b'*'; 124])], DecodeError::ControlTooLong, 1002);
}

#[test]
fn s7_close_codes_are_those_of_the_registry() {
    for code in [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999,
    ] {
        assert!(is_close_code(code));
        check(&[close_frame(code, b"")], &[Said::Close(Some(code), String::new())], None);
    }
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        assert!(!is_close_code(code));
        refused(&[close_frame(code, b"")], DecodeError::CloseCode, 1002);
    }
}

#[test]
fn s9_message_of_the_limit_passes_in_frames_of_any_size() {
    let content = vec![0x5a; 1 << 20];
    let verdict = |stream: &[u8]| decode_chunked(stream, std::iter::repeat(4096), LIMITS, false);
    assert_eq!(verdict(&frame(FIN | BINARY, &content)), (vec![Said::Binary(content.clone())], None));
    for size in [1024, 4096, 65_536, 300_000] {
        let mut stream = frame(BINARY, b"");
        for part in content.chunks(size) {
            stream.extend(frame(CONTINUATION, part));
        }
        stream.extend(frame(FIN, b""));
        let allowed = Limits { fragments_max: 1026, ..LIMITS };
        let verdict = decode_chunked(&stream, std::iter::repeat(4096), allowed, false);
        assert_eq!(verdict, (vec![Said::Binary(content.clone())], None), "frames of {size}");
    }
}

#[test]
fn s9_longer_message_is_refused_from_its_header() {
    let limits = Limits { message_bytes_max: 300, ..LIMITS };
    let refuse = |stream: &[u8]| {
        let (said, error) = decode_every_way(stream, limits, false);
        assert_eq!((said, error), (vec![], Some(DecodeError::MessageTooBig)));
    };
    refuse(&header(FIN | TEXT, 301, 2));
    refuse(&header(FIN | BINARY, 1 << 40, 8));
    refuse(&[frame(TEXT, &[b'a'; 200]), header(CONTINUATION, 101, 0)].concat());
    refuse(&[frame(TEXT, &[b'a'; 300]), header(FIN, 1, 0)].concat());
    assert_eq!(DecodeError::MessageTooBig.close_code(), 1009);

    let fits = [frame(TEXT, &[b'a'; 200]), frame(FIN | PING, &[1; 125]), frame(FIN, &[b'a'; 100])];
    let (said, error) = decode_every_way(&fits.concat(), limits, false);
    assert_eq!((said.len(), error), (2, None));
}

#[test]
fn s9_fragments_are_bounded_even_when_empty() {
    let limits = Limits { fragments_max: 4, ..LIMITS };
    let empty = frame(CONTINUATION, b"");
    let four = [frame(BINARY, b""), empty.clone(), empty.clone(), frame(FIN, b"")].concat();
    // The count starts anew with each message.
    assert_eq!(
        decode_every_way(&four.repeat(3), limits, false),
        (vec![Said::Binary(vec![]); 3], None)
    );
    let five = [frame(BINARY, b""), empty.repeat(3), vec![FIN]].concat();
    let verdict = decode_every_way(&five, limits, false);
    assert_eq!(verdict, (vec![], Some(DecodeError::TooManyFragments)));
    assert_eq!(DecodeError::TooManyFragments.close_code(), 1008);
    assert_eq!(Limits::default().fragments_max, 1024);
}

#[track_caller]
fn check_deflate(frames: &[Vec<u8>], said: &[Said], error: Option<DecodeError>) {
    let verdict = decode_every_way(&frames.concat(), LIMITS, true);
    assert_eq!(verdict, (said.to_vec(), error));
}

#[test]
fn s12_compressed_messages_inflate_whole_and_fragmented() {
    let content = "{\"publish\":{\"channel\":\"chat:1\",\"data\":\"grüße grüße grüße\"}}".repeat(40);
    for level in [1, 6, 9] {
        let compressed = Deflater::new(level).compress(content.as_bytes());
        assert!(compressed.len() < content.len() / 4);
        let (head, tail) = compressed.split_at(compressed.len() / 3);
        check_deflate(
            &[
                frame(FIN | RSV1 | TEXT, &compressed),
                frame(FIN | TEXT, b"plain between"),
                frame(RSV1 | BINARY, head),
                frame(FIN | PING, b"p"),
                frame(CONTINUATION, b""),
                frame(FIN, tail),
                frame(FIN | RSV1 | TEXT, &[0]),
            ],
            &[
                Said::Text(content.clone()),
                text("plain between"),
                Said::Ping(b"p".to_vec()),
                Said::Binary(content.clone().into_bytes()),
                text(""),
            ],
            None,
        );
    }
}

#[test]
fn s12_examples_of_the_rfc() {
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    check_deflate(&[frame(FIN | RSV1 | TEXT, &hello)], &[text("Hello")], None);
    check_deflate(
        &[frame(RSV1 | TEXT, &hello[..3]), frame(FIN, &hello[3..])],
        &[text("Hello")],
        None,
    );
}

#[test]
fn s12_reserved_bit_elsewhere_than_on_a_first_data_frame_is_refused() {
    for opcode in [PING, PONG, CLOSE] {
        check_deflate(&[frame(FIN | RSV1 | opcode, b"")], &[], Some(DecodeError::ReservedBit));
    }
    check_deflate(
        &[frame(RSV1 | TEXT, &[0xf2, 0x48]), frame(FIN | RSV1, &[0xcd])],
        &[],
        Some(DecodeError::ReservedBit),
    );
    check_deflate(&[frame(FIN | 0x60 | TEXT, b"")], &[], Some(DecodeError::ReservedBit));
    check_deflate(&[frame(FIN | 0x20 | TEXT, b"")], &[], Some(DecodeError::ReservedBit));
}

#[test]
fn s12_corrupt_and_hostile_compression_is_refused() {
    check_deflate(&[frame(FIN | RSV1 | TEXT, &[0xff; 9])], &[], Some(DecodeError::Deflate));
    assert_eq!(DecodeError::Deflate.close_code(), 1007);

    let not_text = Deflater::new(6).compress(&[0xc0; 50]);
    check_deflate(&[frame(FIN | RSV1 | TEXT, &not_text)], &[], Some(DecodeError::Utf8));

    let bomb = Deflater::new(9).compress(&vec![b'a'; (1 << 20) + 1]);
    assert!(bomb.len() < 2000);
    check_deflate(&[frame(FIN | RSV1 | TEXT, &bomb)], &[], Some(DecodeError::MessageTooBig));
    let fits = Deflater::new(9).compress(&vec![b'a'; 1 << 20]);
    check_deflate(&[frame(FIN | RSV1 | TEXT, &fits)], &[Said::Text("a".repeat(1 << 20))], None);
}

#[test]
fn s12_incompressible_message_of_the_limit_passes() {
    let mut state = 1_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(1 << 16)
    .collect();
    let limits = Limits { message_bytes_max: 1 << 16, ..LIMITS };
    let compressed = Deflater::new(6).compress(&noise);
    assert!(compressed.len() > noise.len());
    let verdict = decode_every_way(&frame(FIN | RSV1 | BINARY, &compressed), limits, true);
    assert_eq!(verdict, (vec![Said::Binary(noise)], None));
}

#[test]
fn s12_frame_of_the_deflater_is_what_a_client_inflates() {
    let content = "position ".repeat(100);
    let encoded = Deflater::new(6).frame(Opcode::Text, content.as_bytes()).unwrap();
    let (header, used) = encode::frame_header(Opcode::Text, true, encoded.len() - 4);
    // The same payload, masked as a client would, means the same.
    let payload = if encoded[1] == 126 { &encoded[4..] } else { &encoded[2..] };
    assert_eq!(encoded[0], header[0]);
    assert!(used >= 2);
    check_deflate(&[frame(FIN | RSV1 | TEXT, payload)], &[Said::Text(content)], None);
}
