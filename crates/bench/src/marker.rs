//! What marks a publication of a benchmark: `~channel~number~nanoseconds~` somewhere in its payload. No target escapes
//! these bytes, however it wraps a payload, so one scan finds them everywhere.

use rustix::time::{ClockId, clock_gettime};

/// A publication's mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    /// Which of the scenario's channels.
    pub(crate) channel: u32,
    /// Its number in the channel, from 1.
    pub(crate) number: u64,
    /// When it was published, on the machine's monotonic clock.
    pub(crate) sent_ns: u64,
}

/// The monotonic clock, the same for all processes of the machine.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

impl Marker {
    /// A JSON payload of exactly `len` bytes (or a few more, where `len` is too small for the mark).
    pub(crate) fn payload(self, len: usize) -> Vec<u8> {
        let Self {
            channel,
            number,
            sent_ns,
        } = self;
        let mut text = format!(r#"{{"m":"~{channel}~{number}~{sent_ns}~"#);
        let missing = len.saturating_sub(text.len() + 2);
        text.extend(std::iter::repeat_n('.', missing));
        text.push_str("\"}");
        text.into_bytes()
    }

    /// The first mark in `bytes`, and where what follows it starts.
    pub(crate) fn find(bytes: &[u8]) -> Option<(Self, usize)> {
        let start = memchr::memchr(b'~', bytes)? + 1;
        let (channel, at) = number(bytes, start)?;
        let (number_, at) = number(bytes, at)?;
        let (sent_ns, at) = number(bytes, at)?;
        let channel = u32::try_from(channel).ok()?;
        Some((
            Self {
                channel,
                number: number_,
                sent_ns,
            },
            at,
        ))
    }
}

/// Decimal digits from `at` up to a `~`, and where what follows starts.
fn number(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for (index, byte) in bytes.get(at..)?.iter().enumerate() {
        match byte {
            b'0'..=b'9' => value = value.wrapping_mul(10).wrapping_add(u64::from(byte - b'0')),
            b'~' => return Some((value, at + index + 1)),
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_has_its_length_and_its_mark() {
        let marker = Marker {
            channel: 7,
            number: 42,
            sent_ns: 1_234_567_890,
        };
        let payload = marker.payload(128);
        assert_eq!(payload.len(), 128);
        let wrapped = [b"{\"message\":{\"data\":", &payload[..], b"}}"].concat();
        let (found, end) = Marker::find(&wrapped).unwrap();
        assert_eq!(found, marker);
        assert_eq!(Marker::find(&wrapped[end..]), None);
        assert_eq!(Marker::find(&wrapped[..end - 1]), None, "half a mark");
    }
}
