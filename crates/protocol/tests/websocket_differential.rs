//! Random client streams, good and bad, must mean the same to this decoder and to tungstenite; and tungstenite's client
//! must understand every frame encoded here.

#![allow(clippy::unwrap_used, reason = "a test")]

mod websocket_frames;

use std::io::{self, Read, Write};

use proptest::collection::vec;
use proptest::prelude::*;
use switchboard_protocol::websocket::decode::Limits;
use switchboard_protocol::websocket::deflate::{Deflater, Inflater};
use switchboard_protocol::websocket::{Opcode, encode};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket, error::ProtocolError};
use websocket_frames::*;

/// Low enough that random messages meet it, high enough for any control frame.
const MESSAGE_BYTES_MAX: usize = 400;

const LIMITS: Limits = Limits {
    message_bytes_max: MESSAGE_BYTES_MAX as u32,
    fragments_max: 1024,
};

/// Bytes to read, and a sink for what is written.
struct Wire<'a>(&'a [u8]);

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What tungstenite makes of a stream, and whether it refused it.
fn tungstenite(stream: &[u8], role: Role) -> (Vec<Said>, bool) {
    let config = WebSocketConfig::default()
        .max_message_size(Some(if role == Role::Server {
            MESSAGE_BYTES_MAX
        } else {
            1 << 24
        }))
        .max_frame_size(Some(if role == Role::Server {
            MESSAGE_BYTES_MAX
        } else {
            1 << 24
        }));
    let mut socket = WebSocket::from_raw_socket(Wire(stream), role, Some(config));
    let mut said = Vec::new();
    loop {
        match socket.read() {
            Ok(Message::Text(content)) => said.push(Said::Text(content.to_string())),
            Ok(Message::Binary(content)) => said.push(Said::Binary(content.to_vec())),
            Ok(Message::Ping(payload)) => said.push(Said::Ping(payload.to_vec())),
            Ok(Message::Pong(payload)) => said.push(Said::Pong(payload.to_vec())),
            Ok(Message::Close(None)) => {
                said.push(Said::Close(None, String::new()));
                return (said, false);
            }
            // A code that must not be sent: tungstenite reports its own answer in place of the frame.
            Ok(Message::Close(Some(close)))
                if close.code == CloseCode::Protocol
                    && close.reason.as_str() == "Protocol violation" =>
            {
                return (said, true);
            }
            Ok(Message::Close(Some(close))) => {
                said.push(Said::Close(
                    Some(close.code.into()),
                    close.reason.to_string(),
                ));
                return (said, false);
            }
            Ok(Message::Frame(_)) => unreachable!("raw frames are never read"),
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => {
                return (said, false);
            }
            Err(Error::Protocol(_) | Error::Utf8(_) | Error::Capacity(_)) => return (said, true),
            Err(other) => panic!("unexpected: {other}"),
        }
    }
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => ".{0,40}".prop_map(String::into_bytes),
        // Pieces of characters, which join up only by luck or across fragments.
        2 => vec(prop_oneof![Just(0xe2), Just(0x82), Just(0xac), Just(0xf0), Just(0x9f), Just(b'a')], 0..6),
        2 => vec(any::<u8>(), 0..140),
        1 => vec(any::<u8>(), 120..450),
    ]
}

/// One frame, mostly of a kind that may stand where it is, sometimes of any.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let plain = (
        prop_oneof![
            4 => Just(FIN | TEXT), 3 => Just(FIN | BINARY), 3 => Just(TEXT), 2 => Just(BINARY),
            4 => Just(CONTINUATION), 5 => Just(FIN), 1 => any::<u8>(),
        ],
        content(),
    )
        .prop_map(|(first, payload)| frame(first, &payload));
    let control = (
        prop_oneof![Just(FIN | PING), Just(FIN | PONG)],
        vec(any::<u8>(), 0..127),
    )
        .prop_map(|(first, payload)| frame(first, &payload));
    let close = (
        // 1014 is registered since, but tungstenite does not know it.
        prop_oneof![990_u16..1014, 1015_u16..1020, 2995_u16..3005, any::<u16>()]
            .prop_filter("known to both", |code| *code != 1014),
        content(),
    )
        .prop_map(|(code, reason)| close_frame(code, &reason[..reason.len().min(120)]));
    let short_close = vec(any::<u8>(), 0..2).prop_map(|payload| frame(FIN | CLOSE, &payload));
    let unmasked =
        content().prop_map(|payload| encode::encode(Opcode::Text, &payload, false).to_vec());
    prop_oneof![24 => plain, 8 => control, 2 => close, 1 => short_close, 1 => unmasked]
}

/// A message in fragments with control frames between: valid but for what `content` may break.
fn fragmented() -> impl Strategy<Value = Vec<u8>> {
    let cuts = vec(
        (
            any::<prop::sample::Index>(),
            prop::option::of(vec(any::<u8>(), 0..126)),
        ),
        0..6,
    );
    (prop_oneof![Just(TEXT), Just(BINARY)], content(), cuts).prop_map(|(opcode, payload, cuts)| {
        let mut cuts: Vec<_> = cuts
            .into_iter()
            .map(|(index, ping)| (index.index(payload.len() + 1), ping))
            .collect();
        cuts.sort();
        let (mut stream, mut start, mut first) = (Vec::new(), 0, opcode);
        for (end, ping) in cuts {
            stream.extend(frame(first, &payload[start..end]));
            stream.extend(ping.map_or_else(Vec::new, |ping| frame(FIN | PING, &ping)));
            (start, first) = (end, CONTINUATION);
        }
        stream.extend(frame(FIN | first, &payload[start..]));
        stream
    })
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![3 => any_frame(), 2 => fragmented()], 1..12).prop_map(|frames| frames.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn same_messages_and_verdict_as_tungstenite(stream in stream(), sizes in vec(1_usize..200, 1..20)) {
        let (said, error) = decode_chunked(&stream, sizes.into_iter().cycle(), LIMITS, false);
        let theirs = tungstenite(&stream, Role::Server);
        prop_assert_eq!((said, error.is_some()), theirs, "ours was {:?}", error);
    }

    #[test]
    fn chunking_never_changes_the_verdict(
        stream in prop_oneof![3 => stream(), 1 => vec(any::<u8>(), 0..300)],
        sizes in vec(1_usize..60, 1..30),
        deflate in any::<bool>(),
    ) {
        let whole = decode_chunked(&stream, [stream.len()], LIMITS, deflate);
        let bytewise = decode_chunked(&stream, std::iter::repeat(1), LIMITS, deflate);
        let chunked = decode_chunked(&stream, sizes.into_iter().cycle(), LIMITS, deflate);
        prop_assert_eq!(&bytewise, &whole);
        prop_assert_eq!(&chunked, &whole);
    }

    #[test]
    fn compressed_messages_come_out_as_they_went_in(
        messages in vec((any::<bool>(), ".{0,80}", vec(any::<prop::sample::Index>(), 0..4)), 1..6),
        level in 1_u32..=9,
        sizes in vec(1_usize..60, 1..30),
    ) {
        let mut deflater = Deflater::new(level);
        let (mut stream, mut expected) = (Vec::new(), Vec::new());
        for (compress, content, cuts) in messages {
            let (rsv1, payload) = if compress {
                (RSV1, deflater.compress(content.as_bytes()))
            } else {
                (0, content.clone().into_bytes())
            };
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
            cuts.sort_unstable();
            let (mut start, mut first) = (0, rsv1 | TEXT);
            for end in cuts {
                stream.extend(frame(first, &payload[start..end]));
                (start, first) = (end, CONTINUATION);
            }
            stream.extend(frame(FIN | first, &payload[start..]));
            expected.push(Said::Text(content));
        }
        prop_assert_eq!(decode_chunked(&stream, sizes.into_iter().cycle(), LIMITS, true), (expected, None));
    }

    #[test]
    fn inflating_anything_ends_within_the_limit(
        bytes in vec(any::<u8>(), 0..200),
        bytes_max in 0_usize..2000,
    ) {
        if let Ok(output) = Inflater::new().inflate(&bytes, bytes_max) {
            prop_assert!(output.len() <= bytes_max);
        }
    }

    #[test]
    fn tungstenite_client_reads_what_is_encoded(
        text in ".{0,300}",
        binary in vec(any::<u8>(), 0..300),
        control in vec(any::<u8>(), 0..=125),
        code in prop_oneof![1000_u16..=1003, 1007_u16..=1013, 3000_u16..=4999],
        reason in ".{0,200}",
    ) {
        let mut wire = Vec::new();
        encode::encode_into(Opcode::Text, text.as_bytes(), false, &mut wire);
        wire.extend_from_slice(&encode::encode(Opcode::Binary, &binary, false));
        wire.extend_from_slice(&encode::ping(&control));
        wire.extend_from_slice(&encode::pong(&control));
        wire.extend_from_slice(&encode::encode_close(code, &reason));
        let (said, refused) = tungstenite(&wire, Role::Client);
        prop_assert!(!refused);
        prop_assert_eq!(said.len(), 5);
        prop_assert_eq!(&said[..4], &[
            Said::Text(text), Said::Binary(binary), Said::Ping(control.clone()), Said::Pong(control),
        ][..]);
        let Said::Close(Some(got), got_reason) = &said[4] else { panic!("no close: {said:?}") };
        prop_assert_eq!(*got, code);
        prop_assert!(reason.starts_with(got_reason.as_str()));
        prop_assert!(got_reason.len() == reason.len() || got_reason.len() > 119);
    }
}

#[test]
fn tungstenite_client_reads_frames_of_every_length_form() {
    for bytes in [0, 1, 125, 126, 65_535, 65_536, 1_000_000] {
        let content = vec![0xa5; bytes];
        let wire = encode::encode(Opcode::Binary, &content, false);
        assert_eq!(
            tungstenite(&wire, Role::Client),
            (vec![Said::Binary(content)], false)
        );
    }
    let closed = (vec![Said::Close(None, String::new())], false);
    assert_eq!(
        tungstenite(&encode::close_reply(None), Role::Client),
        closed
    );
}
