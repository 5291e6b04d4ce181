//! Poll sessions: frames wait in the outbox until a later poll's cursor acknowledges them, so a lost response loses nothing.

use bytes::Bytes;
use switchboard_core::cursor::Cursor;
use tokio::sync::oneshot;

use crate::key::Key;
use crate::opening::Transport;
use crate::shard::Shard;
use crate::shard::ending::Went;

/// A poll's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollBatch {
    /// The whole response body: `{"key":"…","cursor":"…","frames":[…]}`.
    pub body: Bytes,
}

/// Why a poll or a POST was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PollRefused {
    /// The session is not (or no longer) on this node, or the key is wrong.
    #[error("the session is gone: open a new one from the cursor")]
    Gone,
}

/// Closed sessions of a shard that may wait for their last poll without a place; together with the next some 16 MiB.
const PLACELESS_MAX: u32 = 4096;
/// What each of them may owe: a close, and some messages before it.
const PLACELESS_BYTES_MAX: usize = 4096;
/// What stands round the frames of an answer: a key, and a cursor of a few channels.
const ENVELOPE_BYTES: usize = 384;

/// A poll that waits.
#[derive(Debug)]
pub(crate) struct Parked {
    reply: Reply,
    /// Where the client stands: what it sent with the poll.
    cursor: Option<Cursor>,
    pub(crate) until_ms: u64,
}

pub(super) type Reply = oneshot::Sender<Result<PollBatch, PollRefused>>;

impl Shard {
    /// Takes a poll: acknowledges, answers at once when something is owed, parks it otherwise.
    pub(super) fn poll(&mut self, key: Key, cursor: Option<Cursor>, wait_ms: u64, reply: Reply) {
        let sequence = cursor.as_ref().map_or(0, |cursor| cursor.sequence);
        let slot = key.session.slot;
        let now = self.now();
        let known = self
            .slots
            .find(slot, key.session.generation)
            .filter(|session| key.proves(session.secret.as_ref()));
        // An event stream has a key too, but its frames are its socket's.
        if known.is_none_or(|session| session.transport != Transport::Poll) {
            let _ = reply.send(Err(PollRefused::Gone));
            return;
        }
        // A second poll supersedes the first, which was owed nothing or it would not be waiting.
        self.answer_poll(slot);
        self.with_outbox(slot, |outbox| {
            outbox.acknowledge(sequence);
            Ok(())
        });
        let Some(session) = self.slots.get_mut(slot) else {
            return;
        };
        session.timers.polled_ms = now;
        session.parked = Some(Parked {
            reply,
            cursor,
            until_ms: now + wait_ms,
        });
        let owed = session
            .outbox
            .as_ref()
            .is_some_and(|outbox| !outbox.is_empty());
        if let Some(drained) = session.drained.take() {
            drained.notify_waiters();
        }
        if owed || wait_ms == 0 {
            self.answer_poll(slot);
        } else {
            self.look_at(slot, now + wait_ms);
        }
    }

    /// Answers a parked poll with all that is owed, maybe nothing.
    pub(super) fn answer_poll(&mut self, slot: u32) {
        let Some(parked) = self
            .slots
            .get_mut(slot)
            .and_then(|session| session.parked.take())
        else {
            return;
        };
        self.announce_gaps(slot);
        let now_stands = self.cursor(slot);
        let now = self.now();
        let Some(session) = self.slots.get_mut(slot) else {
            return;
        };
        // A closed session stands where it stood then; if it was closed with too much owed, where its client stands.
        let cursor = match session.closing_ms {
            None => Some(now_stands),
            Some(_) => session.closing_cursor.as_deref().cloned().or(parked.cursor),
        };
        let owed = session.outbox.as_ref().map_or(0, |outbox| {
            outbox.bytes() + outbox.chunks().len() // and a comma each
        });
        let mut body = Vec::with_capacity(owed + ENVELOPE_BYTES);
        body.extend_from_slice(b"{\"key\":\"");
        let key = session.key().map(Key::to_text).unwrap_or_default();
        body.extend_from_slice(key.as_bytes());
        if let Some(cursor) = cursor {
            body.extend_from_slice(b"\",\"cursor\":\"");
            body.extend_from_slice(switchboard_protocol::cursor::encode(&cursor).as_bytes());
        }
        body.extend_from_slice(b"\",\"frames\":[");
        let mut closes = false;
        if let Some(outbox) = &session.outbox {
            for (index, chunk) in outbox.chunks().enumerate() {
                if index > 0 {
                    body.push(b',');
                }
                body.extend_from_slice(chunk);
            }
            closes = session.closing_ms.is_some();
        }
        body.extend_from_slice(b"]}");
        // If nobody takes it, what it carried is still owed.
        let taken = parked
            .reply
            .send(Ok(PollBatch { body: body.into() }))
            .is_ok();
        if taken && let Some(session) = self.slots.get_mut(slot) {
            // A client that has gone does not prolong its session by a poll that nobody waits for.
            session.timers.polled_ms = now;
        }
        if closes && taken {
            self.gone(slot, Went::Clean);
        } else {
            self.give_place_back(slot);
            self.look_at_timers(slot);
        }
    }

    /// A session that was closed between two polls waits for the next, which takes the close. If it owes little it holds
    /// no place on the node meanwhile: neither a drain nor its user's next session waits for it.
    pub(super) fn give_place_back(&mut self, slot: u32) {
        let Some(session) = self.slots.get_mut(slot) else {
            return;
        };
        let waits = session.transport == Transport::Poll
            && session.closing_ms.is_some()
            && session.parked.is_none();
        let owed = session.outbox.as_ref().map_or(0, |outbox| outbox.bytes());
        if waits && owed <= PLACELESS_BYTES_MAX && self.placeless < PLACELESS_MAX {
            self.placeless += u32::from(session.admission.take().is_some());
        }
    }

    /// Notes that a poll session is owed something: its poll is answered when the batch is done, with all of it.
    pub(super) fn answer_later(&mut self, slot: u32) {
        if self
            .slots
            .get(slot)
            .is_some_and(|session| session.parked.is_some())
        {
            self.polls_due.push(slot);
            self.wake.notify_one();
        }
    }

    /// Answers the polls that the batch has something for.
    pub(super) fn answer_polls(&mut self) {
        let mut due = std::mem::take(&mut self.polls_due);
        for slot in due.drain(..) {
            self.answer_poll(slot);
        }
        due.append(&mut self.polls_due);
        self.polls_due = due;
    }
}
