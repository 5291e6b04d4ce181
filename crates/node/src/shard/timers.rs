//! A session's deadlines: signs of life, heartbeats, the token's end, slow outboxes, polls, drain. One entry in the shard's
//! wheel looks at them all.

use switchboard_core::{Close, CloseCode, Frame, Identity};
use switchboard_protocol::sse;
use switchboard_protocol::websocket::encode;

use crate::opening::Transport;
use crate::shard::Shard;
use crate::shard::ending::Went;
use crate::shard::slots::{SENT_HEARTBEAT, SENT_PING};

/// The furthest that an entry is put ahead; within the wheel's span.
const SPAN_MS: u64 = 120_000;

impl Shard {
    /// When the identity ends, on the node's clock.
    pub(super) fn expiry(&self, identity: &Identity) -> Option<u64> {
        let wall = self.shared.clock.wall_ms();
        identity
            .expires_at_ms
            .map(|at| self.now() + at.saturating_sub(wall))
    }

    /// Has a session looked at by `deadline_ms` at the latest.
    pub(super) fn look_at(&mut self, slot: u32, deadline_ms: u64) {
        // Not beyond the wheel's span: so the entry comes up at exactly the time noted.
        let deadline_ms = deadline_ms.min(self.now() + SPAN_MS);
        let Some(session) = self.slots.get_mut(slot) else {
            return;
        };
        if session.timers.wheel_ms > deadline_ms {
            session.timers.wheel_ms = deadline_ms;
            self.wheel
                .insert(deadline_ms, (slot, session.id.generation));
        }
    }

    /// Has a session looked at when its earliest deadline is due.
    pub(super) fn look_at_timers(&mut self, slot: u32) {
        if let Some(deadline) = self.deadline(slot) {
            self.look_at(slot, deadline);
        }
    }

    /// The earliest of a session's deadlines.
    fn deadline(&self, slot: u32) -> Option<u64> {
        let session = self.slots.get(slot)?;
        let (timers, limits) = (&session.timers, &self.shared.limits);
        if session.closing_ms.is_some() {
            return session.closing_ms;
        }
        let pong = timers
            .ping_sent_ms
            .map(|sent| sent + limits.pong_timeout.as_millis() as u64);
        let ping = (session.transport != Transport::Poll).then_some(timers.ping_ms);
        let heartbeat = (timers.heartbeat_interval_ms > 0).then_some(timers.heartbeat_ms);
        let expiry = timers.expires_ms.map(|at| {
            if timers.expiring_sent {
                at + limits.expiry_grace.as_millis() as u64
            } else {
                at.saturating_sub(limits.expiring_notice.as_millis() as u64)
            }
        });
        let poll = (session.transport == Transport::Poll).then(|| match &session.parked {
            Some(parked) => parked.until_ms,
            None => timers.polled_ms + limits.poll_linger.as_millis() as u64,
        });
        let outbox = (session.transport != Transport::Poll && session.outbox.is_some())
            .then(|| self.now() + 1000);
        [pong, ping, heartbeat, expiry, poll, outbox, timers.drain_ms]
            .into_iter()
            .flatten()
            .min()
    }

    /// Looks at every session whose entry has come up.
    pub(super) fn tick(&mut self) {
        let now = self.now();
        let mut due = std::mem::take(&mut self.due);
        self.wheel.advance(now, &mut due);
        for (slot, generation) in due.drain(..) {
            let Some(session) = self.slots.find(slot, generation) else {
                continue;
            };
            if session.timers.wheel_ms > now {
                // A later entry is in; an earlier one has done what this one was for.
                continue;
            }
            session.timers.wheel_ms = u64::MAX;
            self.look(slot, now);
            self.look_at_timers(slot);
        }
        self.due = due;
        self.sweep_unused(now);
        self.answer_polls();
    }

    fn look(&mut self, slot: u32, now: u64) {
        let Some(session) = self.slots.get(slot) else {
            return;
        };
        if let Some(deadline) = session.closing_ms {
            if now >= deadline {
                self.gone(slot, Went::Clean);
            }
            return;
        }
        self.look_at_expiry(slot, now);
        self.look_at_drain(slot, now);
        self.look_at_outbox(slot, now);
        self.look_at_life(slot, now);
        self.look_at_heartbeat(slot, now);
        self.look_at_poll(slot, now);
        self.refresh_marks(slot, now);
    }

    fn look_at_expiry(&mut self, slot: u32, now: u64) {
        let (notice, grace) = (
            self.shared.limits.expiring_notice,
            self.shared.limits.expiry_grace,
        );
        let Some(session) = self.slots.get_mut(slot) else {
            return;
        };
        let Some(expires_ms) = session.timers.expires_ms else {
            return;
        };
        let expires_at_ms = session.identity.expires_at_ms.unwrap_or(0);
        if !session.timers.expiring_sent && now + notice.as_millis() as u64 >= expires_ms {
            session.timers.expiring_sent = true;
            self.send_frame(slot, &Frame::Expiring { expires_at_ms });
        } else if now >= expires_ms + grace.as_millis() as u64 {
            self.close(
                slot,
                Close::new(
                    CloseCode::EXPIRED,
                    "the token has ended: come back with a new one",
                ),
            );
        }
    }

    fn look_at_drain(&mut self, slot: u32, now: u64) {
        if self
            .slots
            .get(slot)
            .and_then(|session| session.timers.drain_ms)
            .is_some_and(|at| now >= at)
        {
            self.close(
                slot,
                Close::new(CloseCode::GOING_AWAY, "this node is shutting down"),
            );
        }
    }

    fn look_at_outbox(&mut self, slot: u32, now: u64) {
        let age_max = self.shared.limits.outbox_age_max.as_millis() as u64;
        // A poll session reads when it polls; its own deadline is the linger.
        if self
            .slots
            .get(slot)
            .is_some_and(|session| session.transport != Transport::Poll)
        {
            self.with_outbox(slot, |outbox| outbox.expire(now, age_max));
        }
    }

    /// Pings WebSockets and comments on event streams; gives up on those that do not answer.
    fn look_at_life(&mut self, slot: u32, now: u64) {
        let interval = self.shared.limits.ping_interval.as_millis() as u64;
        let timeout = self.shared.limits.pong_timeout.as_millis() as u64;
        let Some((place, session)) = self.slots.both(slot) else {
            return;
        };
        if session.closing_ms.is_some() || session.transport == Transport::Poll {
            return;
        }
        if session.busy {
            // Its input waits while a command is worked on.
            session.timers.ping_sent_ms = None;
        }
        if session
            .timers
            .ping_sent_ms
            .is_some_and(|sent| now >= sent + timeout)
        {
            self.shared.metrics.heartbeats_missed.inc();
            self.close(slot, Close::new(CloseCode::GOING_AWAY, "no pong in time"));
            // Whoever does not answer a ping will hardly answer a close.
            self.gone(slot, Went::Abrupt);
            return;
        }
        if now < session.timers.ping_ms {
            return;
        }
        session.timers.ping_ms = now + interval;
        // A sign of life below the application is none for who asked for heartbeats.
        let heard = place.sent.get() & SENT_HEARTBEAT;
        if session.transport == Transport::WebSocket {
            session.timers.ping_sent_ms.get_or_insert(now);
            self.push(slot, encode::ping(&[]), None);
        } else if place.sent.get() & SENT_PING == 0 {
            let mut out = Vec::new();
            sse::comment(place.wire.is_chunked(), &mut out);
            self.push(slot, out.into(), None);
        }
        self.slots.hot[slot as usize].sent.set(heard);
    }

    /// Pushes the server's time to who asked for it, when nothing else was sent.
    fn look_at_heartbeat(&mut self, slot: u32, now: u64) {
        let time_ms = self.shared.clock.wall_ms();
        let Some((place, session)) = self.slots.both(slot) else {
            return;
        };
        let interval = u64::from(session.timers.heartbeat_interval_ms);
        if interval == 0 || now < session.timers.heartbeat_ms || session.closing_ms.is_some() {
            return;
        }
        session.timers.heartbeat_ms = now + interval;
        if place.sent.get() & SENT_HEARTBEAT == 0 {
            self.send_frame(slot, &Frame::Heartbeat { time_ms });
        }
        if let Some((place, _)) = self.slots.both(slot) {
            place.sent.set(place.sent.get() & !SENT_HEARTBEAT);
        }
    }

    fn look_at_poll(&mut self, slot: u32, now: u64) {
        let linger = self.shared.limits.poll_linger.as_millis() as u64;
        let Some(session) = self
            .slots
            .get(slot)
            .filter(|session| session.transport == Transport::Poll)
        else {
            return;
        };
        match &session.parked {
            Some(parked) if now >= parked.until_ms => self.answer_poll(slot),
            None if now >= session.timers.polled_ms + linger => self.gone(slot, Went::Abrupt),
            _ => {}
        }
    }

    /// Tells every session when to leave: each at a time of its own within the window.
    pub(super) fn drain(&mut self, window_ms: u64) {
        self.drained_by_ms = Some(self.now() + window_ms);
        for slot in self.slots.in_use(0).collect::<Vec<_>>() {
            self.send_away(slot, window_ms);
        }
        self.answer_polls();
    }

    /// Tells a session that was let in before the drain and made after it began.
    pub(super) fn send_latecomer_away(&mut self, slot: u32) {
        if let Some(drained_by_ms) = self.drained_by_ms {
            self.send_away(slot, drained_by_ms.saturating_sub(self.now()));
        }
    }

    fn send_away(&mut self, slot: u32, window_ms: u64) {
        let after_ms = u64::from(self.random()) % (window_ms + 1);
        let at = self.now() + after_ms;
        let Some(session) = self.slots.get_mut(slot) else {
            return;
        };
        if session.closing_ms.is_some() || session.timers.drain_ms.is_some() {
            return;
        }
        session.timers.drain_ms = Some(at);
        self.send_frame(
            slot,
            &Frame::Draining {
                reconnect_after_ms: after_ms,
            },
        );
        self.look_at(slot, at);
    }
}
