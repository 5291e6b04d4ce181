//! Where a channel's subscriber stands: an epoch and an offset in it.

use std::fmt;

/// One life of a channel's history. When the engine loses its data the epoch changes, so that nobody is told
/// "nothing missed" by mistake. Opaque to clients; its text form is lowercase base 36, for example `1z141z3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u64);

impl Epoch {
    /// Parses the text form; nothing when the text is none that a hub has made.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
        if plain {
            u64::from_str_radix(text, 36).ok().map(Self)
        } else {
            None
        }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Thirteen digits hold 36^13 > 2^64.
        let mut digits = [0u8; 13];
        let (mut rest, mut at) = (self.0, digits.len());
        loop {
            at -= 1;
            digits[at] = b"0123456789abcdefghijklmnopqrstuvwxyz"[(rest % 36) as usize];
            rest /= 36;
            if rest == 0 {
                break;
            }
        }
        f.write_str(std::str::from_utf8(&digits[at..]).expect("base 36 digits are ASCII"))
    }
}

/// A place in a channel: offsets count 1, 2, 3 … within an epoch; offset 0 is before the first publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The life of the channel that `offset` counts in.
    pub epoch: Epoch,
    /// The offset of the last publication seen.
    pub offset: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_survive_their_text_form() {
        for value in [0, 1, 35, 36, 12_345_678_901, u64::MAX] {
            assert_eq!(Epoch::parse(&Epoch(value).to_string()), Some(Epoch(value)));
        }
        for bad in ["", "-1", "+1", "A", "1 ", "zzzzzzzzzzzzzz"] {
            assert_eq!(Epoch::parse(bad), None, "{bad:?}");
        }
    }
}
