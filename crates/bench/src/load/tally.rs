//! What the clients of a load process have received, and whether it was what they should have.

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::place::{Arrival, Place};
use crate::marker::{Marker, now_ns};

/// Counts since the last reset.
pub(crate) struct Tally {
    pub(crate) deliveries: u64,
    pub(crate) bytes: u64,
    reads: u64,
    lost: u64,
    duplicates: u64,
    disordered: u64,
    gaps: u64,
    closed: u64,
    check: bool,
    latency: Histogram<u64>,
}

/// A tally as the parent gets it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Deliveries read.
    pub(crate) deliveries: u64,
    /// Bytes read, frames and all.
    pub(crate) bytes: u64,
    /// Read calls that brought something.
    pub(crate) reads: u64,
    /// Numbers of a channel that a client never saw.
    pub(crate) lost: u64,
    /// Numbers that a client saw again.
    pub(crate) duplicates: u64,
    /// Numbers that a client saw for the first time after a later one.
    pub(crate) disordered: u64,
    /// Gaps that the hub announced.
    pub(crate) gaps: u64,
    /// Connections that ended.
    pub(crate) closed: u64,
    /// Publish to arrival: microseconds and how often.
    pub(crate) latency: Vec<(u64, u64)>,
}

impl Report {
    /// Whether every client has had what it should have had, once and in order.
    pub(crate) fn is_clean(&self) -> bool {
        [
            self.lost,
            self.duplicates,
            self.disordered,
            self.gaps,
            self.closed,
        ] == [0; 5]
    }

    /// The same, with what was wrong.
    pub(crate) fn check(&self) -> Result<()> {
        ensure!(
            self.is_clean(),
            "{} lost, {} doubled, {} out of order, {} gaps, {} closed",
            self.lost,
            self.duplicates,
            self.disordered,
            self.gaps,
            self.closed
        );
        Ok(())
    }
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            deliveries: 0,
            bytes: 0,
            reads: 0,
            lost: 0,
            duplicates: 0,
            disordered: 0,
            gaps: 0,
            closed: 0,
            check: false,
            latency: histogram(),
        }
    }

    pub(crate) fn reset(&mut self, check: bool) {
        let closed = self.closed;
        self.latency.reset();
        let latency = std::mem::replace(&mut self.latency, Histogram::new(1).expect("a digit"));
        *self = Self {
            closed,
            check,
            latency,
            ..Self::new()
        };
    }

    /// A delivery on a connection that stands at these places.
    pub(crate) fn delivery(&mut self, marker: Marker, places: &mut Vec<Place>) {
        self.deliveries += 1;
        if !self.check {
            return;
        }
        let micros = now_ns().saturating_sub(marker.sent_ns) / 1000;
        self.latency.saturating_record(micros.max(1));
        let Some(place) = places
            .iter_mut()
            .find(|place| place.channel == marker.channel)
        else {
            places.push(Place::starting(marker.channel, marker.number));
            return;
        };
        match place.take(marker.number) {
            Arrival::Next => {}
            Arrival::Passing(numbers) => self.lost += numbers,
            Arrival::Late => {
                // It may have been passed over before the last reset.
                self.lost = self.lost.saturating_sub(1);
                self.disordered += 1;
            }
            Arrival::Again => self.duplicates += 1,
        }
    }

    pub(crate) fn read(&mut self, bytes: usize) {
        self.reads += 1;
        self.bytes += bytes as u64;
    }

    pub(crate) fn gap(&mut self) {
        self.gaps += 1;
    }

    pub(crate) fn closed(&mut self) {
        self.closed += 1;
    }

    pub(crate) fn report(&self) -> Report {
        Report {
            deliveries: self.deliveries,
            bytes: self.bytes,
            reads: self.reads,
            lost: self.lost,
            duplicates: self.duplicates,
            disordered: self.disordered,
            gaps: self.gaps,
            closed: self.closed,
            latency: counts(&self.latency),
        }
    }
}

/// Microseconds up to a minute, to three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("sensible bounds")
}

/// A histogram as it travels: values and how often.
pub(crate) fn counts(histogram: &Histogram<u64>) -> Vec<(u64, u64)> {
    let recorded = histogram.iter_recorded();
    recorded
        .map(|v| (v.value_iterated_to(), v.count_at_value()))
        .collect()
}

/// The value below which `share` of what was counted lies.
pub(crate) fn percentile(counts: &[(u64, u64)], share: f64) -> u64 {
    let mut all = histogram();
    for &(value, count) in counts {
        all.saturating_record_n(value.max(1), count);
    }
    all.value_at_quantile(share)
}
