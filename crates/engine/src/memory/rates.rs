//! What is limited in how often it may happen. What has not been taken from for long enough is as good as new, and forgotten.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hashbrown::HashMap;
use switchboard_core::{Rate, RateLimit};

use super::refused;
use crate::request::EngineError;

/// Limited things at a time: some 100 MB of them. Each was taken from not long ago.
const RATES_MAX: usize = 1_000_000;

/// How often it is looked at most, in milliseconds.
const LOOK_INTERVAL_MS: u64 = 1000;

/// With fewer of them nobody looks for those that are over.
const RATES_KEPT: usize = 1024;

#[derive(Default)]
pub(super) struct Rates(Mutex<Table>);

#[derive(Default)]
struct Table {
    rates: HashMap<Box<str>, Rate>,
    /// With so many it is looked for those that are over: twice as many as there were after the last time.
    look_at: usize,
    /// Not before: looking takes some milliseconds, and everybody waits.
    look_after_ms: u64,
}

impl Rates {
    /// Takes one, or tells how long to wait.
    pub(super) fn take(
        &self,
        what: &str,
        limit: RateLimit,
        now_ms: u64,
    ) -> Result<Option<Duration>, EngineError> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rate) = table.rates.get_mut(what) {
            return Ok(rate.take(now_ms, limit).err());
        }
        if table.rates.len() >= table.look_at.max(RATES_KEPT) && now_ms >= table.look_after_ms {
            table.rates.retain(|_, rate| !rate.is_over(now_ms));
            table.look_at = (table.rates.len() * 2).min(RATES_MAX);
            table.look_after_ms = now_ms + LOOK_INTERVAL_MS;
        }
        if table.rates.len() >= RATES_MAX {
            return Err(refused("too many rates are kept"));
        }
        let rate = table.rates.entry(what.into()).or_default();
        Ok(rate.take(now_ms, limit).err())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_is_forgotten() {
        let rates = Rates::default();
        let limit = RateLimit::per_second(1, 1);
        for number in 0..10 * RATES_KEPT as u64 {
            // Each is over a second after it was taken from.
            let taken = rates.take(&format!("user {number}"), limit, number * 10);
            assert_eq!(taken, Ok(None));
        }
        let kept = rates.0.lock().unwrap().rates.len();
        assert!((100..=RATES_KEPT).contains(&kept), "{kept}");
        let waits = rates.take("user 10239", limit, 102_400);
        assert_eq!(waits, Ok(Some(Duration::from_millis(990))));
    }
}
