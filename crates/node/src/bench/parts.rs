//! Parts of a shard by themselves, for microbenchmarks: its registry of channels, and its mailbox.

use std::sync::Arc;
use std::time::Instant;

use switchboard_core::{ChannelName, Close, CloseCode, Frame, Policy};
use switchboard_protocol::broadcast::Broadcast;

use crate::mailbox::Mailbox;
use crate::shard::channels::Channels;
use crate::shard::mail::{Delivery, Mail};

/// A shard's registry, with channels in it.
pub struct Registry {
    channels: Channels,
    policy: Arc<Policy>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

impl Registry {
    /// A registry of these channels, each with one live subscriber.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a ChannelName>) -> Self {
        let mut registry = Self {
            channels: Channels::default(),
            policy: Arc::new(Policy::default()),
        };
        for (slot, name) in (0..).zip(names) {
            registry.enter(name, slot);
        }
        registry
    }

    /// Looks a channel up, as every delivery does once a batch.
    pub fn find(&self, name: &ChannelName) -> Option<u32> {
        self.channels.find(name)
    }

    /// Makes a session a live subscriber of a channel, which is made if it is not there; tells the channel and the
    /// subscriber's place in it.
    pub fn enter(&mut self, name: &ChannelName, slot: u32) -> (u32, u32) {
        let at = match self.channels.find(name) {
            Some(at) => at,
            None => self.channels.insert(name.clone(), Arc::clone(&self.policy)),
        };
        let live = &mut self.channels[at].live;
        live.push(slot);
        (at, live.len() as u32 - 1)
    }

    /// Takes a subscriber out, and its channel when it was the last one's.
    pub fn leave(&mut self, (at, place): (u32, u32)) {
        let channel = &mut self.channels[at];
        channel.remove_live(place, |_, _| {});
        if channel.is_unused() {
            self.channels.remove(at);
        }
    }
}

/// A shard's mailbox, and deliveries to put into it.
pub struct Post {
    mailbox: Mailbox<Mail>,
    broadcast: Arc<Broadcast>,
    accepted: Instant,
}

impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Post").finish_non_exhaustive()
    }
}

/// What the reader took last; it changes places with what is in the mailbox.
#[derive(Default)]
pub struct Batch(Vec<Mail>);

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Batch").field(&self.0.len()).finish()
    }
}

impl Post {
    /// A mailbox with room for so many.
    pub fn new(len_max: usize) -> Self {
        Self {
            mailbox: Mailbox::new(len_max),
            broadcast: Arc::new(Broadcast::new(
                Frame::Close(Close::new(CloseCode::GOING_AWAY, "")),
                0,
            )),
            accepted: Instant::now(),
        }
    }

    /// Puts a delivery in.
    pub fn send(&self) {
        self.mailbox.send(Mail::Deliver(Delivery {
            broadcast: Arc::clone(&self.broadcast),
            accepted: self.accepted,
        }));
    }

    /// Takes and drops all there is; says how many that were.
    pub fn drain(&self, batch: &mut Batch) -> usize {
        self.mailbox.take(&mut batch.0);
        batch.0.drain(..).count()
    }
}
