//! The header of a client frame, checked as early as its bytes allow (RFC 6455, section 5.2).

use super::error::DecodeError;
use super::{CONTROL_PAYLOAD_BYTES_MAX, Opcode};

/// The longest client header, in bytes: the server's ten and a mask of four.
pub(super) const CLIENT_HEADER_BYTES_MAX: usize = 14;

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const RSV2_RSV3: u8 = 0x30;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;

/// The first byte of a frame, with what does not depend on earlier frames already checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct First {
    pub(super) fin: bool,
    pub(super) rsv1: bool,
    pub(super) opcode: Opcode,
}

impl First {
    /// Reads a first byte that was accepted before.
    pub(super) fn accepted(byte: u8) -> Self {
        Self::parse(byte, true).expect("the byte was checked when it arrived")
    }

    /// Checks a first byte. RSV1 is for the first frame of a data message, and only once compression was agreed.
    pub(super) fn parse(byte: u8, deflate: bool) -> Result<Self, DecodeError> {
        let first = Self {
            fin: byte & FIN != 0,
            rsv1: byte & RSV1 != 0,
            opcode: Opcode::from_bits(byte & OPCODE).ok_or(DecodeError::ReservedOpcode)?,
        };
        let may_compress = deflate && matches!(first.opcode, Opcode::Text | Opcode::Binary);
        if byte & RSV2_RSV3 != 0 || (first.rsv1 && !may_compress) {
            return Err(DecodeError::ReservedBit);
        }
        if first.opcode.is_control() && !first.fin {
            return Err(DecodeError::FragmentedControl);
        }
        Ok(first)
    }
}

/// Checks a second byte and says how many bytes of extended length follow it: 0, 2 or 8.
pub(super) fn extended_length_bytes(byte: u8, opcode: Opcode) -> Result<usize, DecodeError> {
    if byte & MASKED == 0 {
        return Err(DecodeError::NotMasked);
    }
    let length = byte & LENGTH;
    if opcode.is_control() && usize::from(length) > CONTROL_PAYLOAD_BYTES_MAX {
        return Err(DecodeError::ControlTooLong);
    }
    Ok(match length {
        126 => 2,
        127 => 8,
        _ => 0,
    })
}

/// Reads the payload's length from a second byte and the extended length after it.
///
/// RFC 6455 has the shortest form as a MUST; a client that pads lengths is as broken as one that does not mask.
pub(super) fn payload_length(second: u8, extended: &[u8]) -> Result<u64, DecodeError> {
    let value = extended
        .iter()
        .fold(0, |value: u64, byte| value << 8 | u64::from(*byte));
    match extended.len() {
        0 => Ok(u64::from(second & LENGTH)),
        2 if value < 126 => Err(DecodeError::LengthNotMinimal),
        8 if value > i64::MAX as u64 => Err(DecodeError::LengthOutOfRange),
        8 if u16::try_from(value).is_ok() => Err(DecodeError::LengthNotMinimal),
        _ => Ok(value),
    }
}
