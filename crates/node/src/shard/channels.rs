//! A shard's own `channel -> sessions`.

use std::collections::{HashMap, VecDeque};
use std::ops::{Index, IndexMut};
use std::sync::Arc;

use slab::Slab;
use switchboard_core::sync::{CatchUp, Placed};
use switchboard_core::{ChannelName, Epoch, Frame, Policy, Position};

use crate::shard::mail::Delivery;
use crate::shard::slots::NONE;

/// A delivery as the catching-up machine sees it.
#[derive(Clone)]
pub(crate) struct Item(pub(crate) Delivery);

impl Placed for Item {
    /// Offset 0 for what has no place: presence changes, gaps, publications that skip history.
    fn position(&self) -> Position {
        position(&self.0).unwrap_or(Position {
            epoch: Epoch(0),
            offset: 0,
        })
    }
}

/// The place of a publication that has one.
pub(crate) fn position(delivery: &Delivery) -> Option<Position> {
    match delivery.broadcast.frame() {
        Frame::Message(publication) if publication.offset > 0 => Some(publication.position()),
        _ => None,
    }
}

/// A channel that sessions of this shard are subscribed to.
pub(crate) struct Channel {
    pub(crate) name: ChannelName,
    pub(crate) policy: Arc<Policy>,
    /// Where every live subscription stands (but see `Run::before`); nothing until the first has caught up.
    pub(crate) position: Option<Position>,
    /// The slots of live subscriptions.
    pub(crate) live: Vec<u32>,
    /// The slots of subscriptions that sync or are ahead.
    pub(crate) waiting: Vec<u32>,
    /// A large fan-out that is being worked off in slices.
    pub(crate) run: Option<Run>,
    /// What came meanwhile.
    pub(crate) queue: VecDeque<Delivery>,
    /// Something was missed and is being read.
    pub(crate) refill: Option<Box<Refill>>,
    /// Its place in the batch that is being sorted by channel.
    pub(crate) group: u32,
    /// The engine delivers it.
    pub(crate) followed: bool,
}

/// A channel that reads what it has missed. Live publications are parked in it.
pub(crate) struct Refill {
    pub(crate) catch_up: CatchUp<Item>,
    /// What has been read: delivered as one when it is complete, so that nothing can come in between.
    pub(crate) items: Vec<Delivery>,
    /// Something more may have been lost since it began: what it has read by then need not be all.
    pub(crate) again: bool,
}

impl Refill {
    /// Begins behind what the channel has.
    pub(crate) fn after(position: Position, parked_max: usize) -> Self {
        Self {
            catch_up: CatchUp::refill(position, parked_max),
            items: Vec::new(),
            again: false,
        }
    }
}

/// How far a fan-out in slices is: `live[..next]` has it, `live[next..end]` has not, `live[end..]` came later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) next: u32,
    pub(crate) end: u32,
    /// Where `live[next..end]` stands.
    pub(crate) before: Option<Position>,
}

impl Channel {
    /// Whether nobody is subscribed.
    pub(crate) fn is_unused(&self) -> bool {
        self.live.is_empty() && self.waiting.is_empty()
    }

    /// Takes the live subscription at `at` out. Calls `moved(slot, at)` for each subscription whose place changes: at most
    /// three, one a region of a fan-out in progress.
    pub(crate) fn remove_live(&mut self, at: u32, mut moved: impl FnMut(u32, u32)) {
        let mut hole = at;
        let mut fill = |live: &mut Vec<u32>, hole: &mut u32, from: u32| {
            if *hole != from {
                live[*hole as usize] = live[from as usize];
                moved(live[*hole as usize], *hole);
            }
            *hole = from;
        };
        if let Some(run) = &mut self.run {
            if hole < run.next {
                run.next -= 1;
                fill(&mut self.live, &mut hole, run.next);
            }
            if hole < run.end {
                run.end -= 1;
                fill(&mut self.live, &mut hole, run.end);
            }
        }
        let last = self.live.len() as u32 - 1;
        fill(&mut self.live, &mut hole, last);
        self.live.pop();
    }

    /// Takes the waiting subscription at `at` out; tells of the one that moves into its place.
    pub(crate) fn remove_waiting(&mut self, at: u32, moved: impl FnOnce(u32, u32)) {
        self.waiting.swap_remove(at as usize);
        if let Some(&slot) = self.waiting.get(at as usize) {
            moved(slot, at);
        }
    }

    /// Where a live subscription stands that has its place at `at`.
    pub(crate) fn position_at(&self, at: u32) -> Option<Position> {
        match self.run {
            Some(run) if at >= run.next && at < run.end => run.before,
            _ => self.position,
        }
    }
}

/// All channels of a shard.
#[derive(Default)]
pub(crate) struct Channels {
    by_name: HashMap<ChannelName, u32>,
    slab: Slab<Channel>,
}

impl Channels {
    pub(crate) fn find(&self, name: &ChannelName) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn get_mut(&mut self, name: &ChannelName) -> Option<&mut Channel> {
        self.find(name).map(|at| &mut self.slab[at as usize])
    }

    pub(crate) fn insert(&mut self, name: ChannelName, policy: Arc<Policy>) -> u32 {
        let at = self.slab.insert(Channel {
            name: name.clone(),
            policy,
            position: None,
            live: Vec::new(),
            waiting: Vec::new(),
            run: None,
            queue: VecDeque::new(),
            refill: None,
            group: NONE,
            followed: false,
        }) as u32;
        self.by_name.insert(name, at);
        at
    }

    pub(crate) fn remove(&mut self, at: u32) {
        let channel = self.slab.remove(at as usize);
        self.by_name.remove(&channel.name);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Channel)> {
        self.slab.iter().map(|(at, channel)| (at as u32, channel))
    }
}

impl Index<u32> for Channels {
    type Output = Channel;

    fn index(&self, at: u32) -> &Channel {
        &self.slab[at as usize]
    }
}

impl IndexMut<u32> for Channels {
    fn index_mut(&mut self, at: u32) -> &mut Channel {
        &mut self.slab[at as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Random removals and additions in the middle of a fan-out, against sets that say who must and must not get it.
    #[test]
    fn a_fan_out_in_slices_reaches_everybody_once_while_subscribers_come_and_go() {
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = move |below: u32| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed % u64::from(below)) as u32
        };
        for _ in 0..500 {
            let mut channels = Channels::default();
            let name = ChannelName::parse("chat:1").unwrap();
            let at = channels.insert(name, Arc::new(Policy::default()));
            let channel = &mut channels[at];
            let members = 1 + random(40);
            channel.live = (0..members).collect();
            let mut places: HashMap<u32, u32> = (0..members).map(|slot| (slot, slot)).collect();
            channel.run = Some(Run {
                next: 0,
                end: members,
                before: None,
            });
            let (mut got, mut gone, mut late) = (HashSet::new(), HashSet::new(), HashSet::new());
            let mut fresh = members;
            while let Some(run) = channel.run.filter(|run| run.next < run.end) {
                match random(3) {
                    0 => {
                        let slot = channel.live[run.next as usize];
                        assert!(got.insert(slot), "{slot} got it twice");
                        assert!(!late.contains(&slot) && !gone.contains(&slot));
                        channel.run = Some(Run {
                            next: run.next + 1,
                            ..run
                        });
                    }
                    1 => {
                        places.insert(fresh, channel.live.len() as u32);
                        channel.live.push(fresh);
                        late.insert(fresh);
                        fresh += 1;
                    }
                    _ => {
                        let slot = channel.live[random(channel.live.len() as u32) as usize];
                        let place = places.remove(&slot).unwrap();
                        channel.remove_live(place, |slot, place| {
                            places.insert(slot, place);
                        });
                        gone.insert(slot);
                    }
                }
                for (slot, place) in &places {
                    assert_eq!(channel.live[*place as usize], *slot);
                }
            }
            let missed: Vec<_> = (0..members)
                .filter(|slot| !got.contains(slot) && !gone.contains(slot))
                .collect();
            assert!(missed.is_empty(), "{missed:?} did not get it");
        }
    }
}
