//! The end of a subscription, and of channels that nobody is subscribed to any more.

use switchboard_core::ChannelName;
use switchboard_engine::Leaving;

use crate::dispatch::Follower;
use crate::shard::Shard;
use crate::shard::session::State;
use crate::shard::slots::Slots;

impl Shard {
    /// Takes a subscription that is not live out of its channel's list.
    pub(super) fn remove_waiting(&mut self, at: u32, place: u32) {
        let slots = &mut self.slots;
        self.channels[at].remove_waiting(place, |slot, place| set_place(slots, slot, at, place));
    }

    /// Ends a subscription: takes it out of the channel, and the member out of presence.
    pub(super) fn leave_channel(&mut self, slot: u32, at: u32, leaving: Leaving) -> bool {
        // What is under way to it comes before its end, and may be its end.
        self.flush_pending(slot);
        let Some(session) = self.slots.get_mut(slot) else {
            return false;
        };
        let Some(index) = session.subscriptions.iter().position(|s| s.channel == at) else {
            return false;
        };
        let subscription = session.subscriptions.swap_remove(index);
        let session_id = session.id;
        if session.outbox.is_some() {
            // The channel's place may soon be another's: what it lost is announced now.
            self.announce_gaps(slot);
            self.with_outbox(slot, |outbox| {
                outbox.release(at);
                Ok(())
            });
        }
        match subscription.state {
            State::Live => {
                let slots = &mut self.slots;
                self.channels[at].remove_live(subscription.at, |slot, place| {
                    set_place(slots, slot, at, place);
                });
            }
            State::Ahead(_) | State::Syncing(_) => self.remove_waiting(at, subscription.at),
        }
        self.end_marking(slot, at);
        self.shared.metrics.subscriptions.dec();
        if subscription.present {
            let (shared, name) = (self.shared.clone(), self.channels[at].name.clone());
            let me = self.me.clone();
            tokio::task::spawn_local(async move {
                let generation = session_id.generation;
                if me
                    .upgrade()
                    .is_some_and(|local| local.borrow().is_present(slot, generation, &name))
                {
                    // It has come back already, and the member is the new subscription's.
                    return;
                }
                if let Err(error) = shared.engine.leave(&name, session_id, leaving).await {
                    tracing::warn!(channel = %name, session.id = %session_id, %error, "member could not be removed");
                }
            });
        }
        if self.channels[at].is_unused() {
            self.unused.push_back((
                self.now() + UNUSED_LINGER_MS,
                self.channels[at].name.clone(),
            ));
        }
        self.update_direct(slot);
        true
    }

    /// Whether a session has asked the engine for a member in a channel.
    pub(super) fn is_present(&self, slot: u32, generation: u32, name: &ChannelName) -> bool {
        let at = self.channels.find(name);
        let session = self.slots.get(slot).zip(at);
        session.is_some_and(|(s, at)| s.id.generation == generation && s.is_present(at))
    }

    /// Lets go of channels that nobody has come back to.
    pub(super) fn sweep_unused(&mut self, now: u64) {
        while self.unused.front().is_some_and(|(until, _)| *until <= now) {
            let Some((_, name)) = self.unused.pop_front() else {
                return;
            };
            let Some(at) = self.channels.find(&name) else {
                continue;
            };
            let channel = &self.channels[at];
            if !channel.is_unused() {
                continue;
            }
            if channel.run.is_some() || channel.refill.is_some() {
                self.unused.push_back((now + UNUSED_LINGER_MS, name));
                continue;
            }
            self.channels.remove(at);
            self.shared.metrics.channels.dec();
            let Some(local) = self.me.upgrade() else {
                return;
            };
            let (shared, index) = (self.shared.clone(), self.index);
            tokio::task::spawn_local(async move {
                let still_wanted = || local.borrow().channels.find(&name).is_some();
                shared
                    .dispatch
                    .unfollow(&*shared.engine, &name, Follower::Shard(index), still_wanted)
                    .await;
            });
        }
    }
}

/// How long a channel without subscribers is kept: a page that reloads finds it followed.
const UNUSED_LINGER_MS: u64 = 2000;

fn set_place(slots: &mut Slots, slot: u32, channel: u32, place: u32) {
    if let Some(subscription) = slots
        .get_mut(slot)
        .and_then(|session| session.subscription(channel))
    {
        subscription.at = place;
    }
}
