//! Faults under load: real nodes, a real Redis, publications at a steady pace, clients that come back; and a ledger that
//! says what became of every publication.
//!
//! Purpose: the promises of the project, looked at while something breaks. [`ledger`] decides; [`publisher`] and [`listener`] are
//! the load, [`load`] puts them together; [`rows`] are the faults, one a file; [`report`] makes lines of it.
//!
//! Deliberately absent: a judgement of speed. How long a fault is felt is told, not judged, but for the promises that have a time:
//! a node that cannot hear Redis says so within [`NOTICED`].
//!
//! Reading order: [`ledger`], [`listener`], [`publisher`], [`load`], [`rows`], [`report`].
//!
//! To add a row: a file in `rows/` with a function from a [`Plan`] to [`Figures`], a variant of [`Row`], and a line in
//! `tests/faults.rs`.

pub mod ledger;
pub mod listener;
pub mod load;
pub mod publisher;
pub mod report;
mod rotation;
pub mod rows;

use std::time::Duration;

pub use ledger::Figures;
pub use rows::Row;

/// What is lost between Redis and a node is noticed within this.
pub const NOTICED: Duration = Duration::from_secs(3);

/// How long anything may take to work again once what broke it is over: a failover is agreed on, connections are made anew.
pub const MENDED: Duration = Duration::from_secs(20);

/// How much is done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How long a row goes on; each has at least one fault.
    pub lasts: Duration,
    /// The seed of whatever is left to chance.
    pub seed: u64,
    /// Channels, each with a publisher of its own.
    pub channels: usize,
    /// Clients a node and transport, each in all channels.
    pub clients: usize,
    /// The pause between two publications of a channel.
    pub pace: Duration,
    /// Said whenever something happens.
    pub tell: fn(&str),
    /// The nodes' logs are not shown at their end.
    pub quiet: bool,
}

impl Plan {
    /// The short form: one fault, as little load as shows something.
    pub fn short(seed: u64) -> Self {
        Self {
            lasts: Duration::ZERO,
            seed,
            channels: 3,
            clients: 1,
            pace: Duration::from_millis(10),
            tell: |_| {},
            quiet: false,
        }
    }

    /// The long form: faults again and again for so long.
    pub fn long(seed: u64, lasts: Duration) -> Self {
        Self {
            lasts,
            channels: 6,
            clients: 2,
            ..Self::short(seed)
        }
    }
}
