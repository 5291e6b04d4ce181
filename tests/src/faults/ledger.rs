//! The ledger: what was published, what each client was given, and what that makes. It knows no clock and no socket.
//!
//! A client's account of a channel is read front to back: every message must stand right after the one before it, or a `gap` must
//! have been told between them. Every acknowledged publication must then be in the account, or in what a gap covered.

use std::collections::{BTreeMap, BTreeSet};

use crate::client::Position;

/// How many findings are told in words; all are counted.
const TOLD_MAX: usize = 12;

/// What became of one publication, as its publisher was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is in the channel at this position.
    Acknowledged(Position),
    /// An error that says that it may have happened.
    Unknown,
}

/// What a publisher was told, by the number of the publication.
pub type Published = BTreeMap<u64, Fate>;

/// Something that a client was given in a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// A publication.
    Message {
        /// Its number, from its payload.
        number: u64,
        /// Where the client then stood.
        position: Position,
    },
    /// What lay before this position may have been missed.
    Gap(Position),
}

/// A client's account of a channel.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Where it began.
    pub from: Position,
    /// What it was given, in order.
    pub given: Vec<Given>,
}

/// The sums.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Figures {
    /// Publications that were acknowledged.
    pub sent: u64,
    /// Publications whose answer was that they may have happened.
    pub unknown: u64,
    /// Messages that clients were given, all together.
    pub received: u64,
    /// Neither given nor covered by a gap that was told.
    pub lost: u64,
    /// Given again.
    pub duplicated: u64,
    /// Gaps that were told.
    pub gaps: u64,
    /// Given out of order, or at another position than the publisher was told.
    pub disordered: u64,
    /// How often clients came back.
    pub reconnects: u64,
    /// The longest that a client was given nothing in a channel, from the first fault on, in milliseconds.
    pub silence_ms: u64,
    /// The first findings, in words.
    pub findings: Vec<String>,
}

impl Figures {
    /// Whether nothing was lost in silence, nothing given twice, nothing out of order.
    pub fn whole(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.disordered == 0
    }

    fn find(&mut self, what: String) {
        if self.findings.len() < TOLD_MAX {
            self.findings.push(what);
        }
    }

    /// Takes a channel in: its publications, and the account of each client.
    pub fn enter(&mut self, channel: &str, published: &Published, accounts: &[(String, Account)]) {
        let epochs = Epochs::of(published);
        for fate in published.values() {
            match fate {
                Fate::Acknowledged(_) => self.sent += 1,
                Fate::Unknown => self.unknown += 1,
            }
        }
        for (client, account) in accounts {
            let who = format!("{client} in {channel}");
            let read = self.read(&who, account, published);
            self.miss(&who, &read, published, &epochs);
        }
    }

    /// Reads an account front to back.
    fn read(&mut self, who: &str, account: &Account, published: &Published) -> Read {
        let mut read = Read {
            at: account.from.clone(),
            ..Read::default()
        };
        for given in &account.given {
            match given {
                Given::Gap(to) => {
                    self.gaps += 1;
                    read.cover(to);
                    read.at = to.clone();
                }
                Given::Message { number, position } => {
                    self.received += 1;
                    let known = !read.numbers.insert(*number);
                    if known {
                        self.duplicated += 1;
                        self.find(format!("{who}: {number} at {position} again"));
                    } else {
                        self.step(who, &mut read, position);
                    }
                    if let Some(Fate::Acknowledged(told)) = published.get(number)
                        && told != position
                    {
                        self.disordered += 1;
                        self.find(format!(
                            "{who}: {number} at {position}, acknowledged at {told}"
                        ));
                    }
                    if !published.contains_key(number) {
                        self.disordered += 1;
                        self.find(format!("{who}: {number}, which nobody published"));
                    }
                }
            }
        }
        read
    }

    /// A message that is not a repetition must stand right after where the client stands.
    fn step(&mut self, who: &str, read: &mut Read, position: &Position) {
        let at = read.at.clone();
        if position.epoch != at.epoch {
            self.lost += 1;
            self.find(format!("{who}: {position} after {at} and no gap"));
        } else if position.offset <= at.offset {
            self.disordered += 1;
            self.find(format!("{who}: {position} after {at}"));
            // Late is not lost.
            read.holes.retain(|hole| hole != position);
            return;
        } else {
            for offset in at.offset + 1..position.offset {
                read.holes.push(Position {
                    epoch: position.epoch.clone(),
                    offset,
                });
            }
        }
        read.at = position.clone();
    }

    /// What was acknowledged and neither given nor covered; and holes that nobody was told of.
    fn miss(&mut self, who: &str, read: &Read, published: &Published, epochs: &Epochs) {
        let mut missing: Vec<Position> = Vec::new();
        for (number, fate) in published {
            if let Fate::Acknowledged(position) = fate
                && !read.numbers.contains(number)
                && !read.covers(position, epochs)
            {
                missing.push(position.clone());
            }
        }
        // Whatever stood in a hole was lost, also if its publisher does not know that it was there.
        let unacknowledged: Vec<Position> = (read.holes.iter())
            .filter(|hole| !missing.contains(hole))
            .cloned()
            .collect();
        missing.extend(unacknowledged);
        self.lost += missing.len() as u64;
        if let (Some(first), Some(last)) = (missing.first(), missing.last()) {
            let count = missing.len();
            self.find(format!("{who}: {count} lost, {first} to {last}"));
        }
    }
}

/// An account that was read.
#[derive(Debug, Default)]
struct Read {
    /// Where the client stands.
    at: Position,
    numbers: BTreeSet<u64>,
    /// Left out, and no gap told.
    holes: Vec<Position>,
    /// Told as lost: epoch, after this offset, up to that one.
    covered: Vec<(String, u64, u64)>,
    /// Whether a gap led from one epoch to another.
    moved: bool,
}

impl Read {
    fn cover(&mut self, to: &Position) {
        if to.epoch == self.at.epoch {
            let after = self.at.offset;
            self.covered.push((to.epoch.clone(), after, to.offset));
        } else {
            // The old epoch is over for this client, and the new one begins after the gap.
            let old = self.at.epoch.clone();
            self.covered.push((old, self.at.offset, u64::MAX));
            self.covered.push((to.epoch.clone(), 0, to.offset));
            self.moved = true;
        }
    }

    fn covers(&self, position: &Position, epochs: &Epochs) -> bool {
        let within = |(epoch, after, to): &(String, u64, u64)| {
            *epoch == position.epoch && *after < position.offset && position.offset <= *to
        };
        // An epoch that came and went while the client was away: the gap that led past it speaks for it.
        let passed_over =
            || self.moved && epochs.order(&position.epoch) < epochs.order(&self.at.epoch);
        self.covered.iter().any(within) || (!self.visited(&position.epoch) && passed_over())
    }

    fn visited(&self, epoch: &str) -> bool {
        self.at.epoch == epoch || self.covered.iter().any(|(known, _, _)| known == epoch)
    }
}

/// The order in which epochs came, as the publisher was told.
struct Epochs(Vec<String>);

impl Epochs {
    fn of(published: &Published) -> Self {
        let mut epochs: Vec<String> = Vec::new();
        for fate in published.values() {
            if let Fate::Acknowledged(position) = fate
                && !epochs.contains(&position.epoch)
            {
                epochs.push(position.epoch.clone());
            }
        }
        Self(epochs)
    }

    fn order(&self, epoch: &str) -> Option<usize> {
        self.0.iter().position(|known| known == epoch)
    }
}

#[cfg(test)]
mod tests;
