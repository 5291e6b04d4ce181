//! Where epochs come from: each channel's life has a random one, for 53 bits do not meet by chance.

use switchboard_core::Epoch;

/// Epochs fit 53 bits, so that a client, and a script, may hold one in a double.
const EPOCH_MASK: u64 = (1 << 53) - 1;

/// An epoch for a channel that may turn out to have none. Never 0, which stands for none.
///
/// # Panics
/// When the system gives no randomness.
pub(crate) fn fresh_epoch() -> Epoch {
    let random = getrandom::u64().expect("the system gives randomness");
    Epoch((random & EPOCH_MASK).max(1))
}
