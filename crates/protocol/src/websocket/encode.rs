//! Server frames: never masked, never fragmented.

use bytes::Bytes;

use super::{CONTROL_PAYLOAD_BYTES_MAX, Opcode};

/// The longest server header, in bytes: opcode, length marker, eight bytes of length.
pub const HEADER_BYTES_MAX: usize = 10;

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;

/// Writes the header of a final, unmasked frame; the second value says how many of the bytes are used (2, 4 or 10).
///
/// `rsv1` marks a compressed message (RFC 7692, section 6) and belongs on text and binary frames only.
pub fn frame_header(
    opcode: Opcode,
    rsv1: bool,
    payload_bytes: usize,
) -> ([u8; HEADER_BYTES_MAX], usize) {
    let mut header = [0; HEADER_BYTES_MAX];
    header[0] = FIN | if rsv1 { RSV1 } else { 0 } | opcode as u8;
    let used = if payload_bytes <= 125 {
        header[1] = payload_bytes as u8;
        2
    } else if let Ok(short) = u16::try_from(payload_bytes) {
        header[1] = 126;
        header[2..4].copy_from_slice(&short.to_be_bytes());
        4
    } else {
        header[1] = 127;
        header[2..10].copy_from_slice(&(payload_bytes as u64).to_be_bytes());
        10
    };
    (header, used)
}

/// Encodes a frame into one allocation of exactly its length.
pub fn encode(opcode: Opcode, payload: &[u8], rsv1: bool) -> Bytes {
    let (header, used) = frame_header(opcode, rsv1, payload.len());
    let mut frame = Vec::with_capacity(used + payload.len());
    frame.extend_from_slice(&header[..used]);
    frame.extend_from_slice(payload);
    Bytes::from(frame)
}

/// Appends a frame to bytes that are yet to be sent.
pub fn encode_into(opcode: Opcode, payload: &[u8], rsv1: bool, out: &mut Vec<u8>) {
    let (header, used) = frame_header(opcode, rsv1, payload.len());
    out.reserve(used + payload.len());
    out.extend_from_slice(&header[..used]);
    out.extend_from_slice(payload);
}

/// Encodes a close frame; the reason is cut, between characters, to the 123 bytes that fit beside the code.
pub fn encode_close(code: u16, reason: &str) -> Bytes {
    debug_assert!(
        super::is_close_code(code),
        "close code {code} must not be sent"
    );
    let reason = &reason[..reason.floor_char_boundary(CONTROL_PAYLOAD_BYTES_MAX - 2)];
    let mut payload = Vec::with_capacity(2 + reason.len());
    payload.extend_from_slice(&code.to_be_bytes());
    payload.extend_from_slice(reason.as_bytes());
    encode(Opcode::Close, &payload, false)
}

/// Encodes the answer to a client's close frame: its code, or no code when it gave none.
pub fn close_reply(code: Option<u16>) -> Bytes {
    match code {
        Some(code) => encode_close(code, ""),
        None => encode(Opcode::Close, &[], false),
    }
}

/// Encodes a ping.
///
/// # Panics
///
/// In debug builds, when the payload is longer than 125 bytes.
pub fn ping(payload: &[u8]) -> Bytes {
    control(Opcode::Ping, payload)
}

/// Encodes a pong; to answer a ping, give its payload.
///
/// # Panics
///
/// In debug builds, when the payload is longer than 125 bytes.
pub fn pong(payload: &[u8]) -> Bytes {
    control(Opcode::Pong, payload)
}

fn control(opcode: Opcode, payload: &[u8]) -> Bytes {
    debug_assert!(
        payload.len() <= CONTROL_PAYLOAD_BYTES_MAX,
        "control payload too long"
    );
    encode(opcode, payload, false)
}

#[cfg(test)]
mod tests {
    use super::{close_reply, encode, encode_close, encode_into, frame_header, ping, pong};
    use crate::websocket::Opcode;

    #[test]
    fn length_takes_its_shortest_form() {
        let header = |bytes| {
            let (header, used) = frame_header(Opcode::Binary, false, bytes);
            header[..used].to_vec()
        };
        assert_eq!(header(0), [0x82, 0]);
        assert_eq!(header(125), [0x82, 125]);
        assert_eq!(header(126), [0x82, 126, 0, 126]);
        assert_eq!(header(65_535), [0x82, 126, 0xff, 0xff]);
        assert_eq!(header(65_536), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn frames_of_the_rfc() {
        assert_eq!(&encode(Opcode::Text, b"Hello", false)[..], b"\x81\x05Hello");
        assert_eq!(&encode(Opcode::Text, b"x", true)[..], b"\xc1\x01x");
        assert_eq!(&ping(b"Hello")[..], b"\x89\x05Hello");
        assert_eq!(&pong(b"Hello")[..], b"\x8a\x05Hello");
        let mut joined = b"before".to_vec();
        encode_into(Opcode::Binary, b"ab", false, &mut joined);
        assert_eq!(joined, b"before\x82\x02ab");
    }

    #[test]
    fn close_reason_is_cut_between_characters() {
        assert_eq!(&encode_close(1000, "bye")[..], b"\x88\x05\x03\xe8bye");
        assert_eq!(&close_reply(None)[..], b"\x88\x00");
        assert_eq!(&close_reply(Some(4001))[..], b"\x88\x02\x0f\xa1");
        assert_eq!(encode_close(1001, &"a".repeat(200)).len(), 2 + 125);
        // 61 two-byte characters are 122 bytes; the 62nd would be cut in half.
        let frame = encode_close(1001, &"é".repeat(100));
        assert_eq!(frame.len(), 2 + 2 + 122);
        assert_eq!(std::str::from_utf8(&frame[4..]).unwrap(), "é".repeat(61));
    }
}
