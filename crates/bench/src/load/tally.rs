//! What the clients of a load process have received, and whether it was what they should have.

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::marker::{Marker, now_ns};

/// Counts since the last reset.
pub(crate) struct Tally {
    pub(crate) deliveries: u64,
    pub(crate) bytes: u64,
    reads: u64,
    lost: u64,
    duplicates: u64,
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
    /// Numbers that a client saw again, or after a later one.
    pub(crate) duplicates: u64,
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
        (self.lost, self.duplicates, self.gaps, self.closed) == (0, 0, 0, 0)
    }

    /// The same, with what was wrong.
    pub(crate) fn check(&self) -> Result<()> {
        ensure!(
            self.is_clean(),
            "{} lost, {} doubled or out of order, {} gaps, {} closed",
            self.lost,
            self.duplicates,
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
            gaps: 0,
            closed: 0,
            check: false,
            latency: Histogram::new_with_bounds(1, 60_000_000, 3).expect("sensible bounds"),
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

    /// A delivery on a connection that has last seen these numbers.
    pub(crate) fn delivery(&mut self, marker: Marker, last: &mut Vec<(u32, u64)>) {
        self.deliveries += 1;
        if !self.check {
            return;
        }
        let micros = now_ns().saturating_sub(marker.sent_ns) / 1000;
        self.latency.saturating_record(micros.max(1));
        match last
            .iter_mut()
            .find(|(channel, _)| *channel == marker.channel)
        {
            Some((_, seen)) => {
                if marker.number <= *seen {
                    self.duplicates += 1;
                } else {
                    self.lost += marker.number - *seen - 1;
                    *seen = marker.number;
                }
            }
            // The first that is seen sets the mark; the total says whether some came before it.
            None => last.push((marker.channel, marker.number)),
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
        let recorded = self.latency.iter_recorded();
        Report {
            deliveries: self.deliveries,
            bytes: self.bytes,
            reads: self.reads,
            lost: self.lost,
            duplicates: self.duplicates,
            gaps: self.gaps,
            closed: self.closed,
            latency: recorded
                .map(|v| (v.value_iterated_to(), v.count_at_value()))
                .collect(),
        }
    }
}
