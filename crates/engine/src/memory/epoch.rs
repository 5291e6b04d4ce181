//! Where epochs come from.
//!
//! All channels of a run start in one random epoch. When a stripe forgets a channel that had a position, the stripe's
//! next new channels start in a further epoch: so no channel ever stands in an epoch at an offset that it has left.

use std::sync::atomic::{AtomicU64, Ordering};

use switchboard_core::Epoch;

/// Epochs fit 53 bits, so that a client may hold one in a double.
const EPOCH_MASK: u64 = (1 << 53) - 1;

/// Deals out epochs, each once in a run.
pub(super) struct Epochs {
    next: AtomicU64,
}

impl Epochs {
    pub(super) fn random() -> Self {
        let first = getrandom::u64().expect("the system gives randomness");
        Self {
            next: AtomicU64::new(first),
        }
    }

    pub(super) fn next(&self) -> Epoch {
        Epoch(self.next.fetch_add(1, Ordering::Relaxed) & EPOCH_MASK)
    }
}
