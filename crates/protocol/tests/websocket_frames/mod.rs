//! A client's frames, well-formed or not, and what the decoder makes of them in any chunking.

#![allow(dead_code, reason = "each test program uses a part")]

use switchboard_protocol::websocket::decode::{Decoder, Event, Limits};
use switchboard_protocol::websocket::deflate::Inflater;
use switchboard_protocol::websocket::error::DecodeError;

/// An event without borrows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

/// All events of a stream, and the error that ended it.
pub(crate) type Verdict = (Vec<Said>, Option<DecodeError>);

pub(crate) const FIN: u8 = 0x80;
pub(crate) const RSV1: u8 = 0x40;
pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// A masked frame of any first byte, its length in the shortest form.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let form = match payload.len() {
        0..=125 => 0,
        126..=65_535 => 2,
        _ => 8,
    };
    frame_in_form(first, payload, form)
}

/// A masked frame whose length takes 0, 2 or 8 extended bytes.
pub(crate) fn frame_in_form(first: u8, payload: &[u8], extended_bytes: usize) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = header(first, payload.len() as u64, extended_bytes);
    frame.extend_from_slice(&MASK);
    frame.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    frame
}

/// A header up to the mask.
pub(crate) fn header(first: u8, length: u64, extended_bytes: usize) -> Vec<u8> {
    let mut header = vec![first];
    match extended_bytes {
        0 => header.push(0x80 | u8::try_from(length).unwrap()),
        2 => {
            header.push(0xfe);
            header.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        }
        _ => {
            header.push(0xff);
            header.extend_from_slice(&length.to_be_bytes());
        }
    }
    header
}

pub(crate) fn close_frame(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(FIN | CLOSE, &[&code.to_be_bytes(), reason].concat())
}

/// A decoder with what it has said.
pub(crate) struct Listener {
    pub(crate) decoder: Decoder,
    inflater: Inflater,
    pub(crate) said: Vec<Said>,
    pub(crate) error: Option<DecodeError>,
}

impl Listener {
    pub(crate) fn new(limits: Limits, deflate: bool) -> Self {
        Self {
            decoder: Decoder::new(limits, deflate),
            inflater: Inflater::new(),
            said: Vec::new(),
            error: None,
        }
    }

    pub(crate) fn hear(&mut self, chunk: &[u8]) {
        let mut scratch = chunk.to_vec();
        let mut input = &mut scratch[..];
        loop {
            match self.decoder.next(&mut input, &mut self.inflater) {
                Ok(Some(event)) => {
                    assert!(self.error.is_none(), "an event after the error: {event:?}");
                    assert!(
                        !matches!(self.said.last(), Some(Said::Close(..))),
                        "an event after the close: {event:?}"
                    );
                    self.said.push(own(event));
                }
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(self.error.replace(error), None, "a second error");
                    assert!(self.decoder.is_finished());
                }
            }
        }
        assert!(input.is_empty(), "input is left over");
        if self.decoder.is_idle() || self.decoder.is_finished() {
            assert_eq!(
                self.decoder.buffered_bytes(),
                0,
                "an idle decoder holds a buffer"
            );
        }
    }

    pub(crate) fn verdict(self) -> Verdict {
        (self.said, self.error)
    }
}

fn own(event: Event<'_>) -> Said {
    match event {
        Event::Message { text: true, data } => {
            Said::Text(String::from_utf8(data.into_owned()).expect("text is UTF-8"))
        }
        Event::Message { text: false, data } => Said::Binary(data.into_owned()),
        Event::Ping(payload) => Said::Ping(payload.into_owned()),
        Event::Pong(payload) => Said::Pong(payload.into_owned()),
        Event::Close { code, reason } => Said::Close(code, reason.into_owned()),
    }
}

/// Decodes a stream in chunks of the given sizes, over and over until it ends.
pub(crate) fn decode_chunked(
    stream: &[u8],
    sizes: impl IntoIterator<Item = usize>,
    limits: Limits,
    deflate: bool,
) -> Verdict {
    let mut listener = Listener::new(limits, deflate);
    let mut rest = stream;
    for size in sizes {
        let (chunk, after) = rest.split_at(size.min(rest.len()));
        listener.hear(chunk);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    listener.hear(rest);
    listener.verdict()
}

/// Decodes a stream whole, byte by byte, in fixed and in pseudo-random chunks, and demands one verdict of all.
pub(crate) fn decode_every_way(stream: &[u8], limits: Limits, deflate: bool) -> Verdict {
    let whole = decode_chunked(stream, [stream.len()], limits, deflate);
    for size in [1, 2, 3, 5, 7, 13, 64, 997] {
        let chunked = decode_chunked(stream, std::iter::repeat(size), limits, deflate);
        assert_eq!(chunked, whole, "in chunks of {size}");
    }
    for seed in 1..=24_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let sizes = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            1 + (state % [3, 9, 40, 5000][(state >> 32) as usize % 4]) as usize
        });
        let chunked = decode_chunked(stream, sizes, limits, deflate);
        assert_eq!(chunked, whole, "in chunks of seed {seed}");
    }
    whole
}

/// The limits of most cases.
pub(crate) const LIMITS: Limits = Limits {
    message_bytes_max: 1 << 20,
    fragments_max: 1024,
};

#[track_caller]
pub(crate) fn check(frames: &[Vec<u8>], said: &[Said], error: Option<DecodeError>) {
    let verdict = decode_every_way(&frames.concat(), LIMITS, false);
    assert_eq!(verdict, (said.to_vec(), error));
}

#[track_caller]
pub(crate) fn refused(frames: &[Vec<u8>], error: DecodeError, code: u16) {
    check(frames, &[], Some(error));
    assert_eq!(error.close_code(), code);
}

/// The stream is refused at its last byte and not before.
#[track_caller]
pub(crate) fn refused_at_last_byte(stream: &[u8], error: DecodeError) {
    let mut listener = Listener::new(LIMITS, false);
    let (last, before) = stream.split_last().unwrap();
    for byte in before {
        listener.hear(&[*byte]);
    }
    assert_eq!(listener.error, None, "refused too early");
    listener.hear(&[*last]);
    assert_eq!(listener.error, Some(error));
}

pub(crate) fn text(content: &str) -> Said {
    Said::Text(content.to_owned())
}
