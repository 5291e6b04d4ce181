//! The server's side of RFC 6455 and RFC 7692: bytes to events and payloads to frames, without I/O.
//!
//! Reading order: [`handshake`] and [`extensions`] agree on a connection, [`encode`] writes frames, [`decode`] reads
//! them, [`error`] says why a peer was refused, [`deflate`] compresses and inflates.
//!
//! What is deliberately absent: sockets, buffers that outlive a message, fragmentation of outgoing messages, and
//! context takeover. A frame is encoded once and shared by every connection, so it may hold nothing that differs
//! between two of them: neither a mask nor a compression history.

pub mod handshake;

pub mod extensions;

pub mod encode;

pub mod decode;

pub mod error;

pub mod deflate;

mod header;
mod mask;

/// What a frame is (RFC 6455, section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// A further fragment of the message that an earlier frame began.
    Continuation = 0x0,
    /// UTF-8 text.
    Text = 0x1,
    /// Bytes.
    Binary = 0x2,
    /// The last frame of its sender.
    Close = 0x8,
    /// A question whether the peer is there; answered by a pong with the same payload.
    Ping = 0x9,
    /// The answer to a ping, or an unasked heartbeat.
    Pong = 0xA,
}

impl Opcode {
    /// The opcode of the low four bits, or `None` for the reserved ones.
    pub fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0x0 => Some(Self::Continuation),
            0x1 => Some(Self::Text),
            0x2 => Some(Self::Binary),
            0x8 => Some(Self::Close),
            0x9 => Some(Self::Ping),
            0xA => Some(Self::Pong),
            _ => None,
        }
    }

    /// Whether frames of this opcode are control frames: short, never fragmented, allowed between fragments.
    pub fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// The longest payload of a control frame, in bytes (RFC 6455, section 5.5).
pub const CONTROL_PAYLOAD_BYTES_MAX: usize = 125;

/// Whether a close frame may carry this code (RFC 6455, section 7.4, and the IANA registry).
///
/// 1004, 1005, 1006 and 1015 are for the receiver's own use, 1016 to 2999 are not assigned, and nothing is defined
/// outside 1000 to 4999.
pub fn is_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
