//! The decoder case by case: limits and compression. Every stream is fed whole, byte by
//! byte and in many chunkings; section numbers in the names are those of the Autobahn suite.

#![allow(clippy::unwrap_used, reason = "a test")]

mod websocket_frames;

use switchboard_protocol::websocket::decode::Limits;
use switchboard_protocol::websocket::deflate::Deflater;
use switchboard_protocol::websocket::error::DecodeError;
use switchboard_protocol::websocket::{Opcode, encode};
use websocket_frames::*;

#[test]
fn s9_message_of_the_limit_passes_in_frames_of_any_size() {
    let content = vec![0x5a; 1 << 20];
    let verdict = |stream: &[u8]| decode_chunked(stream, std::iter::repeat(4096), LIMITS, false);
    assert_eq!(
        verdict(&frame(FIN | BINARY, &content)),
        (vec![Said::Binary(content.clone())], None)
    );
    for size in [1024, 4096, 65_536, 300_000] {
        let mut stream = frame(BINARY, b"");
        for part in content.chunks(size) {
            stream.extend(frame(CONTINUATION, part));
        }
        stream.extend(frame(FIN, b""));
        let allowed = Limits {
            fragments_max: 1026,
            ..LIMITS
        };
        let verdict = decode_chunked(&stream, std::iter::repeat(4096), allowed, false);
        assert_eq!(
            verdict,
            (vec![Said::Binary(content.clone())], None),
            "frames of {size}"
        );
    }
}

#[test]
fn s9_longer_message_is_refused_from_its_header() {
    let limits = Limits {
        message_bytes_max: 300,
        ..LIMITS
    };
    let refuse = |stream: &[u8]| {
        let (said, error) = decode_every_way(stream, limits, false);
        assert_eq!((said, error), (vec![], Some(DecodeError::MessageTooBig)));
    };
    refuse(&header(FIN | TEXT, 301, 2));
    refuse(&header(FIN | BINARY, 1 << 40, 8));
    refuse(&[frame(TEXT, &[b'a'; 200]), header(CONTINUATION, 101, 0)].concat());
    refuse(&[frame(TEXT, &[b'a'; 300]), header(FIN, 1, 0)].concat());
    assert_eq!(DecodeError::MessageTooBig.close_code(), 1009);

    let fits = [
        frame(TEXT, &[b'a'; 200]),
        frame(FIN | PING, &[1; 125]),
        frame(FIN, &[b'a'; 100]),
    ];
    let (said, error) = decode_every_way(&fits.concat(), limits, false);
    assert_eq!((said.len(), error), (2, None));
}

#[test]
fn s9_fragments_are_bounded_even_when_empty() {
    let limits = Limits {
        fragments_max: 4,
        ..LIMITS
    };
    let empty = frame(CONTINUATION, b"");
    let four = [
        frame(BINARY, b""),
        empty.clone(),
        empty.clone(),
        frame(FIN, b""),
    ]
    .concat();
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
    let content =
        "{\"publish\":{\"channel\":\"chat:1\",\"data\":\"grüße grüße grüße\"}}".repeat(40);
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
        check_deflate(
            &[frame(FIN | RSV1 | opcode, b"")],
            &[],
            Some(DecodeError::ReservedBit),
        );
    }
    check_deflate(
        &[
            frame(RSV1 | TEXT, &[0xf2, 0x48]),
            frame(FIN | RSV1, &[0xcd]),
        ],
        &[],
        Some(DecodeError::ReservedBit),
    );
    check_deflate(
        &[frame(FIN | 0x60 | TEXT, b"")],
        &[],
        Some(DecodeError::ReservedBit),
    );
    check_deflate(
        &[frame(FIN | 0x20 | TEXT, b"")],
        &[],
        Some(DecodeError::ReservedBit),
    );
}

#[test]
fn s12_corrupt_and_hostile_compression_is_refused() {
    check_deflate(
        &[frame(FIN | RSV1 | TEXT, &[0xff; 9])],
        &[],
        Some(DecodeError::Deflate),
    );
    assert_eq!(DecodeError::Deflate.close_code(), 1007);

    let not_text = Deflater::new(6).compress(&[0xc0; 50]);
    check_deflate(
        &[frame(FIN | RSV1 | TEXT, &not_text)],
        &[],
        Some(DecodeError::Utf8),
    );

    let bomb = Deflater::new(9).compress(&vec![b'a'; (1 << 20) + 1]);
    assert!(bomb.len() < 2000);
    check_deflate(
        &[frame(FIN | RSV1 | TEXT, &bomb)],
        &[],
        Some(DecodeError::MessageTooBig),
    );
    let fits = Deflater::new(9).compress(&vec![b'a'; 1 << 20]);
    check_deflate(
        &[frame(FIN | RSV1 | TEXT, &fits)],
        &[Said::Text("a".repeat(1 << 20))],
        None,
    );
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
    let limits = Limits {
        message_bytes_max: 1 << 16,
        ..LIMITS
    };
    let compressed = Deflater::new(6).compress(&noise);
    assert!(compressed.len() > noise.len());
    let verdict = decode_every_way(&frame(FIN | RSV1 | BINARY, &compressed), limits, true);
    assert_eq!(verdict, (vec![Said::Binary(noise)], None));
}

#[test]
fn s12_frame_of_the_deflater_is_what_a_client_inflates() {
    let content = "position ".repeat(100);
    let encoded = Deflater::new(6)
        .frame(Opcode::Text, content.as_bytes())
        .unwrap();
    let (header, used) = encode::frame_header(Opcode::Text, true, encoded.len() - 4);
    // The same payload, masked as a client would, means the same.
    let payload = if encoded[1] == 126 {
        &encoded[4..]
    } else {
        &encoded[2..]
    };
    assert_eq!(encoded[0], header[0]);
    assert!(used >= 2);
    check_deflate(
        &[frame(FIN | RSV1 | TEXT, payload)],
        &[Said::Text(content)],
        None,
    );
}
