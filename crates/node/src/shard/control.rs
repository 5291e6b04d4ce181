//! What services ask of a shard: look-ups, messages to sessions, and changes of them.

use std::sync::Arc;

use switchboard_core::{ChannelName, Close, CloseCode, Frame, Start};
use switchboard_engine::Leaving;

use crate::sessions::{SessionInfo, Target};
use crate::shard::Shard;
use crate::shard::mail::Control;
use crate::shard::subscribe::{Told, Wish, subscribe};

impl Shard {
    /// Does what a service asks. An answer that nobody waits for any more is dropped.
    pub(super) fn control(&mut self, control: Control) {
        match control {
            Control::List {
                from_slot,
                limit,
                reply,
            } => {
                let live = self
                    .slots
                    .in_use(from_slot)
                    .filter_map(|slot| self.info(slot))
                    .take(limit);
                let _ = reply.send(live.collect());
            }
            Control::Lookup { user, reply } => {
                let slots = self.users.get(&user).map(Vec::as_slice).unwrap_or_default();
                let _ = reply.send(slots.iter().filter_map(|&slot| self.info(slot)).collect());
            }
            Control::Channels { reply } => {
                let used = self
                    .channels
                    .iter()
                    .filter(|(_, channel)| !channel.is_unused());
                let counts =
                    used.map(|(_, c)| (c.name.clone(), (c.live.len() + c.waiting.len()) as u64));
                let _ = reply.send(counts.collect());
            }
            Control::Send {
                target,
                broadcast,
                reply,
            } => {
                let slots = self.targets(&target);
                for &slot in &slots {
                    let wire = self.slots.hot[slot as usize].wire;
                    self.push(slot, broadcast.bytes(wire).clone(), None);
                }
                self.shared.metrics.deliveries.inc_by(slots.len() as u64);
                let _ = reply.send(slots.len() as u64);
            }
            Control::Subscribe {
                target,
                channel,
                reply,
            } => {
                let slots = self.targets(&target);
                for &slot in &slots {
                    self.subscribe_for(slot, channel.clone());
                }
                let _ = reply.send(slots.len() as u64);
            }
            Control::Unsubscribe {
                target,
                channel,
                reason,
                resubscribe,
                reply,
            } => {
                let slots = self.targets(&target);
                for &slot in &slots {
                    let at = self.channels.find(&channel);
                    if at.is_some_and(|at| self.leave_channel(slot, at, Leaving::Now)) {
                        let (channel, reason) = (channel.clone(), reason.clone());
                        self.send_frame(
                            slot,
                            &Frame::Unsubscribed {
                                channel,
                                reason,
                                resubscribe,
                            },
                        );
                    }
                }
                let _ = reply.send(slots.len() as u64);
            }
            Control::Disconnect {
                target,
                close,
                reply,
            } => {
                let slots = self.targets(&target);
                for &slot in &slots {
                    self.close(slot, close.clone());
                }
                let _ = reply.send(slots.len() as u64);
            }
            Control::Revoked { reply } => {
                let slots: Vec<_> = self.slots.in_use(0).collect();
                for slot in slots {
                    self.close_revoked(slot);
                }
                let _ = reply.send(());
            }
            #[cfg(feature = "bench")]
            Control::Bare {
                bytes,
                rounds,
                reply,
            } => {
                let _ = reply.send(self.bare(&bytes, rounds));
            }
            #[cfg(feature = "bench")]
            Control::SendCalls { reply } => {
                let _ = reply.send(crate::shard::bench::send_calls());
            }
        }
        self.answer_polls();
    }

    /// The live sessions that a service means.
    fn targets(&mut self, target: &Target) -> Vec<u32> {
        let slots = match target {
            Target::User(user) => self.users.get(user).cloned().unwrap_or_default(),
            Target::Session(id) => self
                .slots
                .find(id.slot, id.generation)
                .map(|s| s.id.slot)
                .into_iter()
                .collect(),
        };
        slots
            .into_iter()
            .filter(|&slot| self.slots.get(slot).is_some_and(|session| !session.ended))
            .collect()
    }

    /// Closes a session whose token is revoked.
    pub(super) fn close_revoked(&mut self, slot: u32) {
        let now_ms = self.shared.clock.wall_ms();
        let live = self.slots.get(slot).filter(|session| !session.ended);
        if live.is_some_and(|session| self.shared.revoked.revokes(&session.identity, now_ms)) {
            let reason = "the token has been revoked";
            self.close(slot, Close::new(CloseCode::REVOKED, reason));
        }
    }

    fn info(&self, slot: u32) -> Option<SessionInfo> {
        let session = self.slots.get(slot).filter(|session| !session.ended)?;
        Some(SessionInfo {
            session: session.id,
            user: session.identity.user.clone(),
            transport: session.transport,
            connected_ms: session.connected_ms,
            client_ip: session.client_ip,
            channels: session
                .subscriptions
                .iter()
                .map(|s| self.channels[s.channel].name.clone())
                .collect(),
        })
    }

    fn subscribe_for(&mut self, slot: u32, channel: ChannelName) {
        let (Some(local), Some(session)) = (self.me.upgrade(), self.slots.get(slot)) else {
            return;
        };
        let generation = session.id.generation;
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_local(async move {
            let wish = Wish {
                channel,
                start: Start::Live,
                told: Told::Frame,
                pinned: true,
            };
            let channel = wish.channel.clone();
            if let Err(error) = subscribe(&local, slot, generation, wish, None).await {
                tracing::debug!(node.id = %shared.id, session.slot = slot, %channel, %error, "service subscription failed");
            }
        });
    }
}
