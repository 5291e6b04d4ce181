//! A channel that missed something reads it from history and delivers it in order, before its subscribers notice;
//! where history no longer reaches back they are told of a gap.

use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use switchboard_core::sync::Found;
use switchboard_core::{ChannelName, Frame, GapReason};
use switchboard_engine::History;

use crate::shard::channels::{Item, Refill};
use crate::shard::mail::Delivery;
use crate::shard::{Local, Shard, ShardCell};
use crate::watch;

/// Pause between attempts while the engine cannot be read.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// Starts the task for a channel whose `refill` has just been set.
pub(super) fn start(me: &Weak<ShardCell>, name: ChannelName) {
    let Some(local) = me.upgrade() else { return };
    tokio::task::spawn_local(async move { run(&local, &name).await });
}

async fn run(local: &Local, name: &ChannelName) {
    let shared = Rc::clone(local).borrow().shared.clone();
    loop {
        let query = {
            let mut shard = local.borrow_mut();
            let Some(channel) = shard.channels.get_mut(name) else {
                return;
            };
            let Some(refill) = &channel.refill else {
                return;
            };
            refill.catch_up.query()
        };
        match watch::read(&shared, name, query).await {
            Ok(history) => {
                if local.borrow_mut().refilled(name, history) {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(channel = %name, %error, "refill waits for the engine");
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
    }
}

impl Shard {
    /// Begins a refill of every channel that may have missed something.
    pub(super) fn interrupted(&mut self, channels: Option<&[ChannelName]>) {
        let parked_max = self.shared.limits.sync_parked_max;
        let concerned: Vec<u32> = match channels {
            None => self.channels.iter().map(|(at, _)| at).collect(),
            Some(names) => names
                .iter()
                .filter_map(|name| self.channels.find(name))
                .collect(),
        };
        for at in concerned {
            let channel = &mut self.channels[at];
            match (&mut channel.refill, channel.position) {
                (Some(refill), _) => refill.again = true,
                (None, Some(position)) => {
                    channel.refill = Some(Box::new(Refill::after(position, parked_max)));
                    start(&self.me, channel.name.clone());
                }
                // Nobody is live yet: those that sync read history anyway.
                (None, None) => {}
            }
        }
    }

    /// Takes what a refill has read; true when the channel is whole again.
    fn refilled(&mut self, name: &ChannelName, history: History) -> bool {
        let Some(at) = self.channels.find(name) else {
            return true;
        };
        let found = Found {
            publications: history
                .publications
                .into_iter()
                .map(|p| self.item(Frame::Message(p)))
                .collect(),
            top: history.top,
            complete: history.complete,
        };
        let Some(mut refill) = self.channels[at].refill.take() else {
            return true;
        };
        let step = refill.catch_up.read(found);
        if let Some((position, reason)) = step.gap {
            self.shared.metrics.gap(reason.as_str());
            if reason == GapReason::EpochChanged {
                self.remake_marks(at);
            }
            refill.items.push(
                self.item(Frame::Gap {
                    channel: name.clone(),
                    position,
                    reason,
                })
                .0,
            );
        }
        refill
            .items
            .extend(step.deliver.into_iter().map(|Item(delivery)| delivery));
        if step.done.is_none() {
            self.channels[at].refill = Some(refill);
            return false;
        }
        self.deliver(&mut refill.items);
        if refill.again {
            self.interrupted(Some(std::slice::from_ref(name)));
        }
        true
    }

    pub(super) fn item(&self, frame: Frame) -> Item {
        Item(Delivery {
            broadcast: self.shared.broadcast(frame),
            accepted: Instant::now(),
        })
    }
}
