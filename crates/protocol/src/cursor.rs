//! The text of a cursor: what SSE's `id:`, `Last-Event-ID` and a poll's `cursor` carry.
//!
//! URL-safe base64 without padding of: a version byte; the sequence; the number of epochs; for each epoch its eight
//! bytes, the number of its channels, and for each channel one byte of length, the name, the offset. Numbers are
//! varints (LEB128) in their shortest form. Channels of one engine mostly share few epochs, so a channel costs its name
//! and a few bytes. A cursor is opaque to clients, and may be forged by them: it says where to go on, never what is
//! allowed.

use std::borrow::Borrow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use switchboard_core::cursor::Cursor;
use switchboard_core::{ChannelName, Epoch, Position};

const VERSION: u8 = 1;

/// Bytes that stand before all positions, at most: version, sequence and the number of epochs.
const HEAD_BYTES_MAX: usize = 1 + VARINT_BYTES_MAX + VARINT_BYTES_MAX;

/// Bytes of a position beside its channel's name, at most: an epoch that no other channel shares, how many do, the
/// length of the name, the offset.
const POSITION_BYTES_MAX: usize = 8 + 1 + 1 + VARINT_BYTES_MAX;

/// A number of 64 bits, seven a byte.
const VARINT_BYTES_MAX: usize = 10;

/// Why a text is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// Longer than what is taken.
    #[error("cursor is longer than {bytes_max} bytes")]
    TooLong {
        /// What is taken.
        bytes_max: usize,
    },
    /// More positions than any session has that keeps to [`bytes_max`].
    #[error("cursor has more than {positions_max} positions")]
    TooMany {
        /// What is taken.
        positions_max: usize,
    },
    /// Not base64, cut short, or otherwise nothing that a hub has made.
    #[error("cursor is malformed")]
    Malformed,
    /// Made by another version of the hub.
    #[error("cursor is of version {0}, which this hub does not know")]
    Version(u8),
}

/// Writes a cursor's text. The order of positions means nothing and is not kept.
///
/// It may come out longer than what [`decode`] takes; whether a session's cursor could, [`bytes_max`] tells beforehand.
pub fn encode(cursor: &Cursor) -> String {
    let mut positions: Vec<_> = cursor.positions.iter().collect();
    let names: usize = positions.iter().map(|(name, _)| name.as_str().len()).sum();
    let mut packed = Vec::with_capacity(names + positions.len() * 4 + 24);
    pack(cursor.sequence, &mut positions, &mut packed);
    URL_SAFE_NO_PAD.encode(packed)
}

/// Writes the texts of many cursors, one after the other, and allocates for none once its buffers have found their size.
#[derive(Debug, Default)]
pub struct Encoder {
    packed: Vec<u8>,
    text: String,
}

impl Encoder {
    /// The text that [`encode`] gives. The cursor's positions come to stand in another order, which means nothing.
    pub fn encode(&mut self, cursor: &mut Cursor) -> &str {
        self.packed.clear();
        self.text.clear();
        pack(cursor.sequence, &mut cursor.positions, &mut self.packed);
        URL_SAFE_NO_PAD.encode_string(&self.packed, &mut self.text);
        &self.text
    }
}

/// The most bytes of text that the cursor of a session in these channels can ever have, however far their offsets go and
/// however many epochs they come to stand in.
///
/// A subscription with which this is more than `Limits::cursor_bytes_max` must be refused: the session could not be
/// resumed one day. It hangs on names alone, so that a session that resumes is let into all that it was in before.
pub fn bytes_max<'a>(channels: impl IntoIterator<Item = &'a ChannelName>) -> usize {
    let positions = channels
        .into_iter()
        .map(|name| name.as_str().len() + POSITION_BYTES_MAX);
    text_bytes(HEAD_BYTES_MAX + positions.sum::<usize>())
}

/// Base64 without padding.
fn text_bytes(packed: usize) -> usize {
    (packed * 4).div_ceil(3)
}

fn pack(sequence: u64, positions: &mut [impl Borrow<(ChannelName, Position)>], out: &mut Vec<u8>) {
    positions.sort_unstable_by_key(|position| position.borrow().1.epoch);
    let positions = &*positions;
    let by_epoch = || positions.chunk_by(|a, b| a.borrow().1.epoch == b.borrow().1.epoch);
    out.push(VERSION);
    put_varint(sequence, out);
    put_varint(by_epoch().count() as u64, out);
    for group in by_epoch() {
        let (_, first) = group[0].borrow();
        out.extend_from_slice(&first.epoch.0.to_be_bytes());
        put_varint(group.len() as u64, out);
        for position in group {
            let (name, position) = position.borrow();
            let name = name.as_str().as_bytes();
            out.push(u8::try_from(name.len()).expect("a channel name has at most 255 bytes"));
            out.extend_from_slice(name);
            put_varint(position.offset, out);
        }
    }
}

/// Reads a cursor's text, of at most `bytes_max` bytes (`Limits::cursor_bytes_max`).
///
/// # Errors
/// See [`CursorError`]. Whatever [`encode`] would not have written, a channel named twice included, is malformed.
pub fn decode(text: &str, bytes_max: usize) -> Result<Cursor, CursorError> {
    if text.len() > bytes_max {
        return Err(CursorError::TooLong { bytes_max });
    }
    let bytes = URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| CursorError::Malformed)?;
    let (&version, rest) = bytes.split_first().ok_or(CursorError::Malformed)?;
    if version != VERSION {
        return Err(CursorError::Version(version));
    }
    // A position costs far less than what was set aside for it when its channel was subscribed to, and each that is read
    // is a subscription to be made: so there may be no more than what could have been set aside for.
    let positions_max = bytes_max / text_bytes(POSITION_BYTES_MAX);
    unpack(Reader(rest), positions_max)
}

fn unpack(mut reader: Reader<'_>, positions_max: usize) -> Result<Cursor, CursorError> {
    let sequence = reader.varint()?;
    let mut positions = Vec::new();
    let mut epoch_before = None;
    for _ in 0..reader.varint()? {
        let epoch = Epoch(u64::from_be_bytes(reader.array()?));
        if epoch_before.is_some_and(|before| before >= epoch) {
            return Err(CursorError::Malformed);
        }
        epoch_before = Some(epoch);
        let count = reader.varint()?;
        if count == 0 {
            return Err(CursorError::Malformed);
        }
        for _ in 0..count {
            if positions.len() == positions_max {
                return Err(CursorError::TooMany { positions_max });
            }
            positions.push((
                reader.name()?,
                Position {
                    epoch,
                    offset: reader.varint()?,
                },
            ));
        }
    }
    let mut names: Vec<_> = positions.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let named_twice = names.windows(2).any(|pair| pair[0] == pair[1]);
    if named_twice || !reader.0.is_empty() {
        Err(CursorError::Malformed)
    } else {
        Ok(Cursor {
            sequence,
            positions,
        })
    }
}

fn put_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], CursorError> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or(CursorError::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CursorError> {
        Ok(self
            .take(N)?
            .try_into()
            .expect("as many bytes as were asked for"))
    }

    fn name(&mut self) -> Result<ChannelName, CursorError> {
        let [length] = self.array()?;
        let name = std::str::from_utf8(self.take(usize::from(length))?)
            .map_err(|_| CursorError::Malformed)?;
        ChannelName::parse(name).map_err(|_| CursorError::Malformed)
    }

    fn varint(&mut self) -> Result<u64, CursorError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            let low = u64::from(byte & 0x7F);
            // The tenth byte has room for one bit, and a last byte of zero is not the shortest form.
            if (shift == 63 && low > 1) || (shift > 0 && byte == 0) {
                return Err(CursorError::Malformed);
            }
            number |= low << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(CursorError::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;

    const BYTES_MAX: usize = 8 * 1024;

    fn decode(text: &str) -> Result<Cursor, CursorError> {
        super::decode(text, BYTES_MAX)
    }

    fn cursor(sequence: u64, positions: &[(&str, u64, u64)]) -> Cursor {
        let position = |&(name, epoch, offset): &(&str, u64, u64)| {
            (
                ChannelName::parse(name).unwrap(),
                Position {
                    epoch: Epoch(epoch),
                    offset,
                },
            )
        };
        Cursor {
            sequence,
            positions: positions.iter().map(position).collect(),
        }
    }

    fn sorted(mut cursor: Cursor) -> Cursor {
        cursor.positions.sort_by(|a, b| a.0.cmp(&b.0));
        cursor
    }

    #[test]
    fn text_of_a_known_cursor_stays_the_same() {
        assert_eq!(encode(&Cursor::default()), "AQAA");
        let known = cursor(3, &[("chat:1", 0x0102_0304_0506_0708, 300)]);
        assert_eq!(encode(&known), "AQMBAQIDBAUGBwgBBmNoYXQ6MawC");
        assert_eq!(decode("AQMBAQIDBAUGBwgBBmNoYXQ6MawC"), Ok(known));
    }

    #[test]
    fn what_no_hub_has_written_is_refused() {
        let check = |bytes: &[u8], expected| {
            assert_eq!(
                decode(&URL_SAFE_NO_PAD.encode(bytes)),
                Err(expected),
                "{bytes:?}"
            );
        };
        check(&[], CursorError::Malformed);
        check(&[0, 0, 0], CursorError::Version(0));
        check(&[2, 0, 0], CursorError::Version(2));
        check(&[1, 0], CursorError::Malformed);
        check(&[1, 0, 0, 0], CursorError::Malformed);
        check(&[1, 0x80, 0, 0], CursorError::Malformed);
        check(
            &[1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0],
            CursorError::Malformed,
        );
        check(
            &[1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, b'*', 0],
            CursorError::Malformed,
        );
        check(
            &[1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2, 1, b'a', 0, 1, b'a', 0],
            CursorError::Malformed,
        );
        check(
            &[
                1, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02, 0,
            ],
            CursorError::Malformed,
        );
        assert_eq!(decode("AQAA="), Err(CursorError::Malformed));
        assert_eq!(decode("AQA"), Err(CursorError::Malformed));
        assert_eq!(
            decode(&"A".repeat(BYTES_MAX + 1)),
            Err(CursorError::TooLong {
                bytes_max: BYTES_MAX
            })
        );
    }

    fn names(count: usize, name_bytes: usize) -> Vec<ChannelName> {
        let name = |n| ChannelName::parse(&format!("{n:0name_bytes$x}")).unwrap();
        (0..count).map(name).collect()
    }

    /// The longest cursor of these channels.
    fn longest(names: &[ChannelName]) -> Cursor {
        let position = |(name, n): (&ChannelName, u64)| {
            let epoch = Epoch(u64::MAX - n);
            let offset = u64::MAX;
            (name.clone(), Position { epoch, offset })
        };
        Cursor {
            sequence: u64::MAX,
            positions: names.iter().zip(0..).map(position).collect(),
        }
    }

    #[test]
    fn session_that_was_let_in_can_be_resumed() {
        for name_bytes in [3, 6, 41, 255] {
            let let_in = (0..BYTES_MAX)
                .find(|&count| bytes_max(&names(count + 1, name_bytes)) > BYTES_MAX)
                .unwrap();
            let cursor = longest(&names(let_in, name_bytes));
            assert!(encode(&cursor).len() <= BYTES_MAX);
            assert_eq!(decode(&encode(&cursor)).map(sorted), Ok(sorted(cursor)));
        }
        // As many as a session may have by default, under names of a usual length.
        assert!(bytes_max(&names(128, 27)) <= BYTES_MAX);
    }

    #[test]
    fn positions_are_as_many_as_could_be_let_in() {
        let at_one = |count| {
            let mut cursor = longest(&names(count, 3));
            for (_, position) in &mut cursor.positions {
                *position = Position {
                    epoch: Epoch(1),
                    offset: 1,
                };
            }
            decode(&encode(&cursor)).map(|cursor| cursor.positions.len())
        };
        assert_eq!(at_one(303), Ok(303));
        assert_eq!(
            at_one(304),
            Err(CursorError::TooMany { positions_max: 303 })
        );
    }

    proptest! {
        #[test]
        fn cursors_survive_their_text(
            sequence: u64,
            positions in btree_map("[a-z]{1,12}(:[!-+.-9;-Z]{1,20})?", (0u64..4, any::<u64>()), 0..60),
        ) {
            let positions = positions.into_iter().filter_map(|(name, (epoch, offset))| {
                Some((ChannelName::parse(&name).ok()?, Position { epoch: Epoch(epoch.wrapping_mul(u64::MAX / 3)), offset }))
            });
            let mut cursor = Cursor { sequence, positions: positions.collect() };
            let mut encoder = Encoder::default();
            // What it wrote before is gone.
            encoder.encode(&mut Cursor::default());
            let again = encoder.encode(&mut cursor);
            prop_assert_eq!(decode(again).map(sorted), Ok(sorted(cursor.clone())));
            prop_assert_eq!(decode(&encode(&cursor)).map(sorted), Ok(sorted(cursor)));
        }

        #[test]
        fn garbage_is_an_error_or_exactly_what_encode_writes(mut bytes in vec(any::<u8>(), 0..80), text in ".{0,80}") {
            let _ = decode(&text);
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            let text = URL_SAFE_NO_PAD.encode(&bytes);
            if let Ok(cursor) = decode(&text) {
                prop_assert_eq!(encode(&cursor), text);
            }
        }
    }
}
