//! The wires: a format and a framing each, and the bytes of a frame on them.

use std::cell::RefCell;

use bytes::Bytes;
use switchboard_core::cursor::Cursor;
use switchboard_core::{Close, CloseCode, Frame};

use crate::websocket::{self, Opcode, deflate::Deflater};
use crate::{cursor, json, protobuf, sse};

/// How hard frames are compressed, zlib's scale of 1 to 9. Each is compressed once for all its subscribers, so zlib's
/// own default pays; above it frames of some kilobytes gain next to nothing.
const DEFLATE_LEVEL: u32 = 6;

thread_local! {
    // A compressor is some 300 KiB and keeps nothing between frames: one a thread serves all connections.
    static DEFLATER: RefCell<Deflater> = RefCell::new(Deflater::new(DEFLATE_LEVEL));
}

/// The form of commands and frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Text that a person can type.
    Json,
    /// `switchboard.client.v1`.
    Protobuf,
}

/// What the bytes of a frame look like on an attachment. Everybody on the same wire is sent the same bytes.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wire {
    /// A text frame a JSON object.
    WebSocketJson,
    /// A binary frame a message.
    WebSocketProtobuf,
    /// JSON for clients that took up permessage-deflate.
    WebSocketJsonDeflate,
    /// Protobuf for clients that took up permessage-deflate.
    WebSocketProtobufDeflate,
    /// An event a chunk of HTTP/1.1, for sockets that the hub writes itself. A message or a gap carries `id:`, the cursor
    /// of its one channel: for sessions that have only that channel.
    SseChunked,
    /// The same without `id:`: for sessions with several channels, which are written [`sse::id_line`] before, and for
    /// channels that cannot be resumed.
    SseChunkedBare,
    /// An event, for bodies that an HTTP library frames. A message carries `id:` as in [`Wire::SseChunked`].
    SseRaw,
    /// The same without `id:`.
    SseRawBare,
    /// The JSON object alone, an element of a poll's `frames`.
    Poll,
}

impl Wire {
    /// How many wires there are.
    pub const COUNT: usize = 9;

    /// All of them, each at its [`index`](Self::index).
    pub const ALL: [Self; Self::COUNT] = [
        Self::WebSocketJson,
        Self::WebSocketProtobuf,
        Self::WebSocketJsonDeflate,
        Self::WebSocketProtobufDeflate,
        Self::SseChunked,
        Self::SseChunkedBare,
        Self::SseRaw,
        Self::SseRawBare,
        Self::Poll,
    ];

    /// Its number, from 0 to below [`COUNT`](Self::COUNT).
    pub fn index(self) -> usize {
        self as usize
    }

    /// Whether it is an event stream.
    pub fn is_sse(self) -> bool {
        matches!(
            self,
            Self::SseChunked | Self::SseChunkedBare | Self::SseRaw | Self::SseRawBare
        )
    }

    /// Whether events are chunks of HTTP/1.1.
    pub fn is_chunked(self) -> bool {
        matches!(self, Self::SseChunked | Self::SseChunkedBare)
    }

    /// Whether it is a WebSocket.
    pub fn is_websocket(self) -> bool {
        self.opcode().is_some()
    }

    /// The form of its commands and frames.
    pub fn format(self) -> Format {
        match self {
            Self::WebSocketProtobuf | Self::WebSocketProtobufDeflate => Format::Protobuf,
            _ => Format::Json,
        }
    }

    /// The wire that a deflating one falls back to for frames that are not worth it; nothing for all others.
    pub fn without_deflate(self) -> Option<Self> {
        match self {
            Self::WebSocketJsonDeflate => Some(Self::WebSocketJson),
            Self::WebSocketProtobufDeflate => Some(Self::WebSocketProtobuf),
            _ => None,
        }
    }

    fn opcode(self) -> Option<Opcode> {
        match self {
            Self::WebSocketJson | Self::WebSocketJsonDeflate => Some(Opcode::Text),
            Self::WebSocketProtobuf | Self::WebSocketProtobufDeflate => Some(Opcode::Binary),
            _ => None,
        }
    }
}

/// Encodes a frame: the complete bytes to write on that wire.
///
/// On the deflating wires a payload is compressed from `deflate_bytes_min` bytes up, where that makes it shorter. A
/// close is encoded as by [`encode_close`].
pub fn encode(frame: &Frame, wire: Wire, deflate_bytes_min: usize) -> Bytes {
    if let Frame::Close(close) = frame {
        return encode_close(close, wire);
    }
    match (wire.without_deflate(), wire.opcode()) {
        (Some(plain), _) => deflate(
            encode(frame, plain, deflate_bytes_min),
            wire,
            deflate_bytes_min,
        ),
        (None, Some(opcode)) => {
            websocket::encode::encode(opcode, &payload(frame, wire.format()), false)
        }
        (None, None) if wire.is_sse() => event(frame, wire),
        (None, None) => Bytes::from(payload(frame, wire.format())),
    }
}

/// Encodes the end of a session: the `close` frame, then what ends the wire itself, which is the WebSocket's own close
/// frame, or the last chunk of a chunked event stream.
pub fn encode_close(close: &Close, wire: Wire) -> Bytes {
    let frame = Frame::Close(close.clone());
    let Some(opcode) = wire.opcode() else {
        if !wire.is_sse() {
            return Bytes::from(payload(&frame, wire.format()));
        }
        let last = if wire.is_chunked() {
            sse::LAST_CHUNK
        } else {
            b""
        };
        return Bytes::from([&event(&frame, wire)[..], last].concat());
    };
    // A code that no close frame may carry is a fault of whoever made the close; the client is still told of its end.
    let code = if websocket::is_close_code(close.code.0) {
        close.code
    } else {
        CloseCode::INTERNAL
    };
    let mut out = Vec::new();
    websocket::encode::encode_into(opcode, &payload(&frame, wire.format()), false, &mut out);
    out.extend_from_slice(&websocket::encode::encode_close(code.0, &close.reason));
    Bytes::from(out)
}

/// Compresses an encoded plain frame for a deflating wire; gives it back as it is when that does not pay.
pub(crate) fn deflate(plain: Bytes, wire: Wire, deflate_bytes_min: usize) -> Bytes {
    let opcode = wire.opcode().expect("only WebSockets deflate");
    let payload = websocket_payload(&plain);
    if payload.len() < deflate_bytes_min {
        return plain;
    }
    let compressed = DEFLATER.with_borrow_mut(|deflater| deflater.frame(opcode, payload));
    compressed.unwrap_or(plain)
}

/// The payload of one unmasked frame that this crate has encoded.
fn websocket_payload(frame: &[u8]) -> &[u8] {
    let header_bytes = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    &frame[header_bytes..]
}

fn payload(frame: &Frame, format: Format) -> Vec<u8> {
    let mut out = Vec::with_capacity(frame_bytes_guess(frame));
    match format {
        Format::Json => json::encode(frame, &mut out),
        Format::Protobuf => protobuf::encode(frame, &mut out),
    }
    out
}

fn event(frame: &Frame, wire: Wire) -> Bytes {
    let mut object = Vec::with_capacity(frame_bytes_guess(frame));
    let kind = json::encode_inner(frame, &mut object);
    let id = match (frame, wire) {
        // One that skipped history has no place to go on from.
        (Frame::Message(publication), Wire::SseChunked | Wire::SseRaw)
            if publication.offset > 0 =>
        {
            Some(cursor::encode(&Cursor {
                sequence: 0,
                positions: vec![(publication.channel.clone(), publication.position())],
            }))
        }
        // Whoever drops after a gap is to go on from it.
        (
            Frame::Gap {
                channel, position, ..
            },
            Wire::SseChunked | Wire::SseRaw,
        ) => Some(cursor::encode(&Cursor {
            sequence: 0,
            positions: vec![(channel.clone(), *position)],
        })),
        _ => None,
    };
    let mut out = Vec::with_capacity(object.len() + 64 + id.as_ref().map_or(0, String::len));
    sse::event(kind, id.as_deref(), &object, wire.is_chunked(), &mut out);
    Bytes::from(out)
}

/// Room for most frames without a second allocation.
fn frame_bytes_guess(frame: &Frame) -> usize {
    match frame {
        Frame::Message(publication) => publication.payload.bytes().len() + 192,
        _ => 256,
    }
}
