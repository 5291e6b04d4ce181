//! The decoder case by case: frames, control frames, fragments. Every stream is fed whole, byte by
//! byte and in many chunkings; section numbers in the names are those of the Autobahn suite.

#![allow(clippy::unwrap_used, reason = "a test")]

mod websocket_frames;

use switchboard_protocol::websocket::decode::Decoder;
use switchboard_protocol::websocket::error::DecodeError;
use websocket_frames::*;

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
fn fragments_cost_no_more_copies_than_their_bytes() {
    let mut listener = Listener::new(LIMITS, false);
    let (mut capacity, mut grown) = (0, 0);
    listener.hear(&frame(BINARY, &[1; 64]));
    for _ in 0..1000 {
        listener.hear(&frame(CONTINUATION, &[1; 64]));
        let now = listener.decoder.buffered_bytes();
        grown += usize::from(now != capacity);
        capacity = now;
    }
    assert!(grown < 20, "the buffer was moved {grown} times");
    assert!(capacity <= 2 * 1001 * 64, "{capacity} bytes");
    listener.hear(&frame(FIN, &[1; 64]));
    assert_eq!(listener.said, [Said::Binary(vec![1; 1002 * 64])]);
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
    refused(
        &[header(FIN | BINARY, 1 << 63, 8)],
        DecodeError::LengthOutOfRange,
        1002,
    );
    refused(
        &[header(FIN | BINARY, u64::MAX, 8)],
        DecodeError::LengthOutOfRange,
        1002,
    );
    refused(
        &[header(FIN | BINARY, (1 << 63) - 1, 8)],
        DecodeError::MessageTooBig,
        1009,
    );
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
        refused(
            &[frame(FIN | opcode, &[0xfe; 126])],
            DecodeError::ControlTooLong,
            1002,
        );
        refused_at_last_byte(&[FIN | opcode, 0xfe], DecodeError::ControlTooLong);
        refused_at_last_byte(&[FIN | opcode, 0xff], DecodeError::ControlTooLong);
    }
}

#[test]
fn s3_reserved_bits_are_refused_after_what_came_before() {
    for bits in 1..=7 {
        for opcode in [TEXT, BINARY, PING, PONG, CLOSE] {
            check(
                &[
                    frame(FIN | TEXT, b"good"),
                    frame(FIN | bits << 4 | opcode, b""),
                    frame(FIN | PING, b""),
                ],
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
                &[
                    frame(FIN | TEXT, b"good"),
                    frame(fin | opcode, b"bad"),
                    frame(FIN | PING, b""),
                ],
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
        &[
            frame(BINARY, b""),
            frame(CONTINUATION, b""),
            frame(FIN, b""),
        ],
        &[Said::Binary(vec![])],
        None,
    );
    check(
        &[
            frame(BINARY, b""),
            frame(FIN | PING, b"p"),
            frame(FIN, b"end"),
        ],
        &[Said::Ping(b"p".to_vec()), Said::Binary(b"end".to_vec())],
        None,
    );
}

#[test]
fn s5_fragmented_control_frames_are_refused() {
    for opcode in [PING, PONG, CLOSE] {
        refused(
            &[frame(opcode, b"fr"), frame(FIN, b"ag")],
            DecodeError::FragmentedControl,
            1002,
        );
    }
}

#[test]
fn s5_fragments_out_of_place_are_refused() {
    refused(
        &[frame(FIN, b"x"), frame(FIN | TEXT, b"y")],
        DecodeError::UnexpectedContinuation,
        1002,
    );
    refused(
        &[frame(CONTINUATION, b"x")],
        DecodeError::UnexpectedContinuation,
        1002,
    );
    check(
        &[frame(TEXT, b"a"), frame(FIN, b"b"), frame(FIN, b"c")],
        &[text("ab")],
        Some(DecodeError::UnexpectedContinuation),
    );
    for first in [TEXT, BINARY, FIN | TEXT, FIN | BINARY] {
        refused(
            &[frame(TEXT, b"a"), frame(first, b"b")],
            DecodeError::ExpectedContinuation,
            1002,
        );
    }
}
