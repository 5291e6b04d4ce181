//! permessage-deflate without context takeover (RFC 7692, section 7.2).
//!
//! Both halves forget everything between messages, so one of each serves all connections of a thread, and a compressed
//! frame is the same for every subscriber. They allocate their state (some 300 KiB to compress, 50 KiB to inflate) at
//! first use, so a thread that never meets a compressed message pays nothing.

use bytes::Bytes;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::{Opcode, encode};

/// The window this side compresses with, in bits; [`extensions`](super::extensions) declines clients that cannot follow.
pub(super) const WINDOW_BITS: u8 = 15;

/// What a sync flush ends with; left out on the wire.
const FLUSH_TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// The flush tail put back, then an empty final block. Only a stream that was whole ends exactly after the latter and
/// without further output, so a message cut short is told from a complete one.
const INFLATE_TAIL: [u8; 9] = [0, 0, 0xff, 0xff, 0x01, 0, 0, 0xff, 0xff];

/// Scratch memory kept between messages, in bytes; what a larger message took is given back after it.
const SCRATCH_BYTES_KEPT: usize = 64 * 1024;

/// Room for each further step of output, in bytes. Above the six that zlib asks for lest it repeat the flush marker.
const OUTPUT_STEP_BYTES_MIN: usize = 256;

/// Final blocks tolerated inside one message. A client without a sync flush ends each message with one (RFC 7692,
/// section 7.2.3.4); thousands of them are an attempt to make the hub busy.
const FINAL_BLOCKS_MAX: usize = 64;

/// Compresses messages, one at a time.
#[derive(Debug)]
pub struct Deflater {
    level: Compression,
    state: Option<Compress>,
    scratch: Vec<u8>,
}

impl Deflater {
    /// Makes a compressor of a zlib level, 1 (fast) to 9 (small); others are brought into that range.
    pub fn new(level: u32) -> Self {
        Self {
            level: Compression::new(level.clamp(1, 9)),
            state: None,
            scratch: Vec::new(),
        }
    }

    /// Compresses a payload: raw DEFLATE, sync-flushed, without the trailing `00 00 ff ff`.
    pub fn compress(&mut self, payload: &[u8]) -> Vec<u8> {
        self.fill_scratch(payload);
        let compressed = self.scratch.clone();
        self.trim();
        compressed
    }

    /// Encodes a whole frame with RSV1 set, or gives `None` when compression would not make it shorter.
    pub fn frame(&mut self, opcode: Opcode, payload: &[u8]) -> Option<Bytes> {
        self.fill_scratch(payload);
        let shorter = self.scratch.len() < payload.len();
        let frame = shorter.then(|| encode::encode(opcode, &self.scratch, true));
        self.trim();
        frame
    }

    fn fill_scratch(&mut self, payload: &[u8]) {
        let state = self
            .state
            .get_or_insert_with(|| Compress::new_with_window_bits(self.level, false, WINDOW_BITS));
        state.reset();
        self.scratch.clear();
        loop {
            self.scratch
                .reserve(OUTPUT_STEP_BYTES_MIN.max(payload.len() / 2));
            let rest = &payload[state.total_in() as usize..];
            state
                .compress_vec(rest, &mut self.scratch, FlushCompress::Sync)
                .expect("a sync flush of a fresh stream cannot fail");
            // Room left over means that the flush is complete.
            if self.scratch.len() < self.scratch.capacity() {
                break;
            }
        }
        let end = self.scratch.len() - FLUSH_TAIL.len();
        debug_assert_eq!(
            self.scratch[end..],
            FLUSH_TAIL,
            "a sync flush ends with its marker"
        );
        self.scratch.truncate(end);
    }

    fn trim(&mut self) {
        if self.scratch.capacity() > SCRATCH_BYTES_KEPT {
            self.scratch = Vec::new();
        }
    }
}

/// Why a compressed message was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    /// Not DEFLATE data, or cut short.
    #[error("invalid compressed data")]
    Corrupt,
    /// It would inflate to more than the limit.
    #[error("message too big")]
    TooBig,
}

/// Inflates messages, one at a time.
#[derive(Debug, Default)]
pub struct Inflater {
    state: Option<Decompress>,
}

impl Inflater {
    /// Makes an inflater. It allocates when it is first used.
    pub fn new() -> Self {
        Self::default()
    }

    /// Inflates a message, never holding more than one byte beyond `bytes_max` of output.
    ///
    /// A payload of no bytes, which holds no block at all, is taken for an empty message.
    ///
    /// # Errors
    ///
    /// [`InflateError`], as its variants say.
    pub fn inflate(
        &mut self,
        compressed: &[u8],
        bytes_max: usize,
    ) -> Result<Vec<u8>, InflateError> {
        if compressed.is_empty() {
            return Ok(Vec::new());
        }
        let state = self
            .state
            .get_or_insert_with(|| Decompress::new_with_window_bits(false, WINDOW_BITS));
        let mut output = Vec::new();
        let mut rest = compressed;
        for _ in 0..FINAL_BLOCKS_MAX {
            state.reset(false);
            let used = match inflate_stream(state, rest, &mut output, bytes_max)? {
                Progress::Ended { used } => used,
                Progress::Consumed => {
                    let output_bytes = output.len();
                    let end = inflate_stream(state, &INFLATE_TAIL, &mut output, bytes_max);
                    let whole = matches!(end, Ok(Progress::Ended { used }) if used == INFLATE_TAIL.len())
                        && output.len() == output_bytes;
                    return if whole {
                        Ok(output)
                    } else {
                        Err(InflateError::Corrupt)
                    };
                }
            };
            // The client ended the stream by a final block of its own; what follows is a stream anew.
            rest = &rest[used..];
            if rest.is_empty() {
                return Ok(output);
            }
        }
        Err(InflateError::Corrupt)
    }
}

enum Progress {
    /// All input was taken, and the stream goes on.
    Consumed,
    /// A final block ended the stream after `used` bytes of the input.
    Ended { used: usize },
}

fn inflate_stream(
    state: &mut Decompress,
    input: &[u8],
    output: &mut Vec<u8>,
    bytes_max: usize,
) -> Result<Progress, InflateError> {
    let start = state.total_in();
    loop {
        if output.len() == output.capacity() {
            // Twice what there is, or what a message like this tends to need; one byte beyond the limit proves excess.
            let capacity = (output.capacity().max(input.len()) * 2).max(OUTPUT_STEP_BYTES_MIN);
            let capacity = capacity.min(bytes_max.saturating_add(1));
            output.reserve_exact(capacity.saturating_sub(output.len()));
        }
        let used_before = (state.total_in() - start) as usize;
        let output_before = output.len();
        let status = state
            .decompress_vec(&input[used_before..], output, FlushDecompress::Sync)
            .map_err(|_| InflateError::Corrupt)?;
        if output.len() > bytes_max {
            return Err(InflateError::TooBig);
        }
        let used = (state.total_in() - start) as usize;
        if status == Status::StreamEnd {
            return Ok(Progress::Ended { used });
        }
        // Output that filled its room may have more behind it, even when all input was taken.
        if output.len() < output.capacity() {
            if used == input.len() {
                return Ok(Progress::Consumed);
            }
            if used == used_before && output.len() == output_before {
                return Err(InflateError::Corrupt);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Deflater, FINAL_BLOCKS_MAX, InflateError, Inflater};
    use crate::websocket::Opcode;

    /// Bytes that do not compress.
    fn noise(bytes: usize) -> Vec<u8> {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .take(bytes)
        .collect()
    }

    #[test]
    fn examples_of_the_rfc_inflate() {
        let mut inflater = Inflater::new();
        let mut check = |compressed: &[u8], expected: &[u8]| {
            assert_eq!(
                inflater.inflate(compressed, 100).unwrap(),
                expected,
                "{compressed:02x?}"
            );
        };
        check(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], b"Hello");
        check(
            &[
                0x00, 0x05, 0x00, 0xfa, 0xff, b'H', b'e', b'l', b'l', b'o', 0x00,
            ],
            b"Hello",
        );
        check(&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00], b"Hello");
        check(&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], b"Hello");
        check(
            &[
                0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00,
            ],
            b"Hello",
        );
        check(&[0x00], b"");
        check(&[], b"");
    }

    #[test]
    fn what_is_compressed_inflates_again() {
        let (mut deflater, mut inflater) = (Deflater::new(1), Inflater::new());
        for bytes in [0, 1, 2, 125, 126, 255, 256, 4096, 65_535, 65_536, 300_000] {
            for payload in [vec![b'a'; bytes], noise(bytes)] {
                let compressed = deflater.compress(&payload);
                assert!(!compressed.ends_with(&[0, 0, 0xff, 0xff]) || bytes == 0);
                assert_eq!(
                    inflater.inflate(&compressed, bytes).unwrap(),
                    payload,
                    "{bytes} bytes"
                );
            }
        }
        assert_eq!(deflater.compress(b""), [0x00]);
    }

    #[test]
    fn frames_are_alike_whatever_went_before() {
        let mut deflater = Deflater::new(6);
        let payload = b"hello hello hello hello hello";
        let first = deflater.frame(Opcode::Text, payload).unwrap();
        deflater.frame(Opcode::Text, &vec![b'x'; 70_000]).unwrap();
        assert_eq!(deflater.frame(Opcode::Text, payload).unwrap(), first);
        assert_eq!(first[0], 0xc1);
        assert_eq!(usize::from(first[1]), first.len() - 2);
    }

    #[test]
    fn frame_that_would_grow_is_left_alone() {
        assert_eq!(Deflater::new(6).frame(Opcode::Binary, &noise(1000)), None);
        assert_eq!(Deflater::new(6).frame(Opcode::Binary, b""), None);
    }

    #[test]
    fn bomb_is_stopped_at_the_limit() {
        let bomb = Deflater::new(9).compress(&vec![0; 50_000_000]);
        assert!(bomb.len() < 60_000);
        assert_eq!(
            Inflater::new().inflate(&bomb, 65_536),
            Err(InflateError::TooBig)
        );
        let exact = Deflater::new(9).compress(&vec![0; 65_536]);
        assert_eq!(
            Inflater::new().inflate(&exact, 65_535),
            Err(InflateError::TooBig)
        );
        assert_eq!(
            Inflater::new().inflate(&exact, 65_536).unwrap().len(),
            65_536
        );
        assert_eq!(
            Inflater::new().inflate(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], 0),
            Err(InflateError::TooBig)
        );
    }

    #[test]
    fn message_cut_short_is_corrupt() {
        for payload in [noise(3000), b"hello world, hello world, hello".to_vec()] {
            let whole = Deflater::new(6).compress(&payload);
            // A single zero byte, as the noise begins, is the whole of an empty message.
            let start = if whole[0] == 0 { 2 } else { 1 };
            for end in start..whole.len() {
                let outcome = Inflater::new().inflate(&whole[..end], 10_000);
                assert_eq!(
                    outcome,
                    Err(InflateError::Corrupt),
                    "cut at {end} of {}",
                    whole.len()
                );
            }
        }
    }

    #[test]
    fn garbage_is_corrupt_and_harms_no_later_message() {
        let mut inflater = Inflater::new();
        assert_eq!(
            inflater.inflate(&[0xff; 20], 1000),
            Err(InflateError::Corrupt)
        );
        assert_eq!(
            inflater
                .inflate(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], 5)
                .unwrap(),
            b"Hello"
        );
    }

    #[test]
    fn final_blocks_are_bounded() {
        let blocks = |count: usize| [0x03, 0x00].repeat(count);
        assert_eq!(
            Inflater::new()
                .inflate(&blocks(FINAL_BLOCKS_MAX), 10)
                .unwrap(),
            b""
        );
        assert_eq!(
            Inflater::new().inflate(&blocks(FINAL_BLOCKS_MAX + 1), 10),
            Err(InflateError::Corrupt)
        );
    }
}
