//! Seeded chance.

use std::time::Duration;

use switchboard_core::fnv::fnv1a;

/// SplitMix64 (Steele, Lea and Flood, 2014): small, and every seed is a good one.
#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The chance of one delivery. It hangs on nothing but the seed and what is delivered, so the same deliveries are
    /// hit however tasks interleave.
    pub(super) fn of_delivery(seed: u64, kind: u8, channel: &str, number: u64) -> Self {
        // The same in every build.
        let mut chance = Self(seed ^ fnv1a(channel.bytes().chain([kind])));
        Self(chance.next() ^ number)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// True in `per_mille` of a thousand cases.
    pub(super) fn hits(&mut self, per_mille: u16) -> bool {
        self.next() % 1000 < u64::from(per_mille)
    }

    /// A duration from zero up to `max`, in whole milliseconds.
    pub(super) fn up_to(&mut self, max: Duration) -> Duration {
        let millis = u64::try_from(max.as_millis()).unwrap_or(u64::MAX - 1);
        Duration::from_millis(self.next() % (millis + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_the_same_for_the_same_seed_and_about_as_likely_as_asked() {
        // The reference implementation's first values for seed 0.
        let mut chance = Chance::new(0);
        assert_eq!(chance.next(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(chance.next(), 0x6e78_9e6a_a1b9_65f4);
        let hits = (0..100_000)
            .filter(|&n| Chance::of_delivery(7, 0, "chat:42", n).hits(100))
            .count();
        assert!(
            (9_000..11_000).contains(&hits),
            "{hits} of 100000 hit at 100 per mille"
        );
    }
}
