//! How sessions come to be: from an adopted socket, or from a first poll.

use std::future::{Future, poll_fn};
use std::task::Poll;

use bytes::Bytes;
use switchboard_core::outbox::Outbox;
use switchboard_core::rate::Rate;
use switchboard_core::{Frame, Open};
use switchboard_protocol::websocket::decode::{self, Decoder};
use switchboard_protocol::wire::Wire;
use tokio::sync::oneshot;

use crate::admission::Admission;
use crate::key::Key;
use crate::metrics::TransportLabel;
use crate::opening::{Opening, Transport};
use crate::shard::mail::Adopt;
use crate::shard::poll::PollRefused;
use crate::shard::session::{Session, Timers};
use crate::shard::socket::{self, Begin};
use crate::shard::stream::Stream;
use crate::shard::{Shard, command};

impl Shard {
    /// Makes a session of an accepted connection and starts its task.
    pub(super) fn adopt(&mut self, adopt: Adopt) {
        let Adopt {
            opening,
            admission,
            socket,
            leftover,
        } = adopt;
        let stream = match Stream::register(socket) {
            Ok(stream) => stream,
            Err(error) => {
                // Dropping the socket tells the client all that can be told.
                tracing::warn!(%error, "connection could not be adopted");
                return;
            }
        };
        let Some(local) = self.me.upgrade() else {
            return;
        };
        let (wire, begin) = (opening.wire, begin(&opening));
        let (slot, generation) = self.make(opening, admission, Some(stream), wire);
        self.update_direct(slot);
        self.greet(slot);
        self.say_open(slot);
        self.send_latecomer_away(slot);
        self.close_revoked(slot);
        tokio::task::spawn_local(socket::serve(local, slot, generation, begin, leftover));
    }

    /// Makes a poll session; its first frames wait for the first poll.
    pub(super) fn open_poll(
        &mut self,
        opening: Opening,
        admission: Admission,
        reply: oneshot::Sender<String>,
    ) {
        let Some(local) = self.me.upgrade() else {
            return;
        };
        let begin = begin(&opening);
        let sequence = opening.cursor.as_ref().map_or(0, |cursor| cursor.sequence);
        let (slot, generation) = self.make(opening, admission, None, Wire::Poll);
        let mut key = None;
        if let Some(session) = self.slots.get_mut(slot) {
            // Numbers go on where the cursor stands, so an old cursor never acknowledges what is new.
            session.outbox = Some(Box::new(Outbox::new(sequence)));
            key = session.key().map(Key::to_text);
        }
        self.say_open(slot);
        self.send_latecomer_away(slot);
        self.close_revoked(slot);
        tokio::task::spawn_local(async move {
            let mut begin = Box::pin(socket::begin_session(&local, slot, generation, begin));
            // Most often all is there at once, and the first poll gets it in one answer. A large recovery waits for
            // polls to take what came before, so it must not be waited for.
            let done = poll_fn(|context| Poll::Ready(begin.as_mut().poll(context).is_ready()));
            let done = done.await;
            if let Some(key) = key {
                let _ = reply.send(key);
            }
            if !done {
                begin.await;
            }
        });
    }

    /// Executes a POST's commands.
    pub(super) fn post(
        &mut self,
        key: Key,
        body: Bytes,
        reply: oneshot::Sender<Result<Bytes, PollRefused>>,
    ) {
        let (slot, generation) = (key.session.slot, key.session.generation);
        let known = self
            .slots
            .find(slot, generation)
            .is_some_and(|s| key.proves(s.secret.as_ref()) && !s.ended);
        let Some(local) = self.me.upgrade().filter(|_| known) else {
            let _ = reply.send(Err(PollRefused::Gone));
            return;
        };
        tokio::task::spawn_local(async move {
            let replies = command::run_post(&local, slot, generation, body).await;
            let _ = reply.send(Ok(replies));
            local.borrow_mut().answer_polls();
        });
    }

    pub(super) fn make(
        &mut self,
        opening: Opening,
        admission: Admission,
        stream: Option<Stream>,
        wire: Wire,
    ) -> (u32, u32) {
        let limits = &self.shared.limits;
        let now = self.shared.clock.now_ms();
        let interval = limits.ping_interval.as_millis() as u64;
        let decoder = (opening.transport == Transport::WebSocket).then(|| {
            let message_bytes_max = u32::try_from(limits.command_bytes_max).unwrap_or(u32::MAX);
            let deflate = wire.without_deflate().is_some();
            let limits = decode::Limits {
                message_bytes_max,
                fragments_max: limits.fragments_max,
            };
            Box::new(Decoder::new(limits, deflate))
        });
        let heartbeat_ms = opening
            .heartbeat
            .map_or(0, |every| every.as_millis() as u64);
        // The first ping comes somewhere in the second half of the interval: sessions that came together drift apart.
        let jitter = u64::from(self.random()) % (interval / 2 + 1);
        let timers = Timers {
            ping_ms: now + interval - jitter,
            ping_sent_ms: None,
            heartbeat_interval_ms: heartbeat_ms as u32,
            heartbeat_ms: now + heartbeat_ms,
            expires_ms: self.expiry(&opening.identity),
            expiring_sent: false,
            drain_ms: None,
            polled_ms: now,
            wheel_ms: u64::MAX,
        };
        let secret = match opening.transport {
            Transport::WebSocket => None,
            Transport::Sse | Transport::Poll => random_secret(),
        };
        let connected_ms = self.shared.clock.wall_ms();
        let user = opening.identity.user.clone();
        let (node, shard) = (self.shared.id, self.index);
        let transport = opening.transport;
        let (slot, generation) = self.slots.insert(stream, wire, |slot, generation| {
            Box::new(Session {
                id: switchboard_core::SessionId {
                    node,
                    shard,
                    slot,
                    generation,
                },
                secret,
                identity: opening.identity,
                transport,
                client_ip: opening.client_ip,
                connected_ms,
                subscriptions: Vec::new(),
                outbox: None,
                drained: None,
                decoder,
                flush: None,
                busy: false,
                ended: false,
                closing_ms: None,
                closing_cursor: None,
                rate: Rate::default(),
                timers,
                parked: None,
                gate: None,
                admission: Some(admission),
            })
        });
        if let Some(user) = user {
            self.users.entry(user).or_default().push(slot);
        }
        let label = TransportLabel {
            transport: transport.as_str(),
        };
        self.shared.metrics.sessions.get_or_create(&label).inc();
        self.shared
            .metrics
            .sessions_opened
            .get_or_create(&label)
            .inc();
        self.look_at_timers(slot);
        (slot, generation)
    }

    /// Sends the first frame of all.
    fn say_open(&mut self, slot: u32) {
        let Some(session) = self.slots.get(slot) else {
            return;
        };
        let limits = &self.shared.limits;
        let open = Open {
            session: session.id,
            user: session.identity.user.clone(),
            node: self.shared.id,
            time_ms: self.shared.clock.wall_ms(),
            expires_at_ms: session.identity.expires_at_ms,
            ping_interval_ms: limits.ping_interval.as_millis() as u64,
            key: session.key().map(|key| key.to_text().into()),
            command_bytes_max: limits.command_bytes_max,
            subscriptions_max: limits.subscriptions_per_session_max,
        };
        tracing::info!(
            session.id = %session.id,
            user.id = session.identity.user.as_deref(),
            transport = session.transport.as_str(),
            client.addr = session.client_ip.map(tracing::field::display),
            "session opened"
        );
        self.send_frame(slot, &Frame::Open(Box::new(open)));
    }
}

pub(super) fn begin(opening: &Opening) -> Begin {
    let mut channels = opening.channels.clone();
    let granted = &opening.identity.grants.channels;
    channels.extend(
        granted
            .iter()
            .filter(|name| !opening.channels.contains(name))
            .cloned(),
    );
    Begin {
        channels,
        rewind: opening.rewind,
        cursor: opening.cursor.clone(),
    }
}

/// A new session's secret. Without randomness there is none, and nobody can POST or poll for the session.
fn random_secret() -> Option<[u8; 16]> {
    let mut secret = [0; 16];
    match getrandom::fill(&mut secret) {
        Ok(()) => Some(secret),
        Err(error) => {
            tracing::error!(%error, "no randomness for a session key: its POSTs and polls are refused");
            None
        }
    }
}
