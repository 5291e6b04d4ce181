//! How sessions end: told, taken out of everything, and only then freed.

use std::net::Shutdown;

use switchboard_core::cursor::Cursor;
use switchboard_core::{Close, CloseCode, Frame};
use switchboard_engine::Leaving;
use switchboard_protocol::wire::Wire;

use crate::metrics::{CloseLabel, TransportLabel};
use crate::opening::Transport;
use crate::shard::Shard;

/// How a session went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Went {
    /// It said so, or was told to go: members leave at once.
    Clean,
    /// Its connection broke: members have a grace to come back in.
    Abrupt,
}

impl Shard {
    /// Ends a session from this side: it is told, and cut off if it does not go.
    pub(super) fn close(&mut self, slot: u32, close: Close) {
        let polls = self.slots.hot[slot as usize].wire == Wire::Poll;
        let stands = polls.then(|| Box::new(self.cursor(slot)));
        self.close_at(slot, close, stands);
    }

    /// Ends a session that does not read. What it is owed would only keep the close from it; history has it.
    pub(super) fn close_slow(&mut self, slot: u32) {
        if self.slots.get(slot).is_none_or(|s| s.closing_ms.is_some()) {
            return;
        }
        self.with_outbox(slot, |outbox| {
            outbox.forget();
            Ok(())
        });
        let reason = "reads too slowly: come back and recover";
        self.close_at(slot, Close::new(CloseCode::SLOW_CONSUMER, reason), None);
    }

    fn close_at(&mut self, slot: u32, close: Close, stands: Option<Box<Cursor>>) {
        let deadline = self.now() + self.shared.limits.close_timeout.as_millis() as u64;
        let Some(session) = self.slots.get_mut(slot) else {
            return;
        };
        if session.closing_ms.is_some() {
            return;
        }
        session.closing_ms = Some(deadline);
        session.closing_cursor = stands;
        let (code, id) = (close.code, session.id);
        // A client that is told to come back resumes, and its members are to stay meanwhile.
        let went = if code.reconnect() {
            Went::Abrupt
        } else {
            Went::Clean
        };
        tracing::debug!(session.id = %id, close.code = code.0, reason = %close.reason, "session closed");
        self.shared
            .metrics
            .closes
            .get_or_create(&CloseLabel { code: code.0 })
            .inc();
        self.send_frame(slot, &Frame::Close(close));
        self.end(slot, went);
        let Some((place, session)) = self.slots.both(slot) else {
            return;
        };
        place.direct = false;
        if session.outbox.is_none()
            && let Some(stream) = &place.stream
        {
            stream.shutdown(Shutdown::Write);
        }
        self.give_place_back(slot);
        self.look_at(slot, deadline);
    }

    /// Takes a session out of channels, presence, lists and gauges. What is left is its socket and its slot.
    pub(super) fn end(&mut self, slot: u32, went: Went) {
        let Some(session) = self.slots.get_mut(slot).filter(|session| !session.ended) else {
            return;
        };
        session.ended = true;
        if let Some(drained) = session.drained.take() {
            drained.notify_waiters();
        }
        let (transport, user, id) = (session.transport, session.identity.user.clone(), session.id);
        let channels: Vec<u32> = session.subscriptions.iter().map(|s| s.channel).collect();
        for at in channels {
            let leaving = match went {
                Went::Clean => Leaving::Now,
                Went::Abrupt => Leaving::After(self.channels[at].policy.presence_grace),
            };
            self.leave_channel(slot, at, leaving);
        }
        if let Some(user) = user
            && let Some(slots) = self.users.get_mut(&user)
        {
            slots.retain(|&other| other != slot);
            if slots.is_empty() {
                self.users.remove(&user);
            }
        }
        self.shared
            .metrics
            .sessions
            .get_or_create(&TransportLabel {
                transport: transport.as_str(),
            })
            .dec();
        tracing::info!(session.id = %id, transport = transport.as_str(), ?went, "session ended");
    }

    /// The peer has gone: nothing more can be said to it.
    pub(super) fn gone(&mut self, slot: u32, went: Went) {
        let Some(session) = self.slots.get_mut(slot) else {
            return;
        };
        if session.closing_ms.is_none() {
            let code = if went == Went::Clean {
                CloseCode::DONE.0
            } else {
                1006
            };
            self.shared
                .metrics
                .closes
                .get_or_create(&CloseLabel { code })
                .inc();
        }
        self.end(slot, went);
        self.break_off(slot);
        if self
            .slots
            .get(slot)
            .is_some_and(|session| session.transport == Transport::Poll)
        {
            self.free(slot);
        }
    }

    /// Gives the slot and the socket back.
    pub(super) fn free(&mut self, slot: u32) {
        if let Some(outbox) = self
            .slots
            .get(slot)
            .and_then(|session| session.outbox.as_ref())
        {
            self.shared
                .metrics
                .outbox_bytes
                .dec_by(outbox.bytes().cast_signed() as i64);
        }
        let Some(session) = self.slots.remove(slot) else {
            return;
        };
        if session.admission.is_none() {
            self.placeless -= 1;
        }
        if let Some(drained) = &session.drained {
            drained.notify_waiters();
        }
        if let Some(flush) = &session.flush {
            flush.abort();
        }
    }
}
