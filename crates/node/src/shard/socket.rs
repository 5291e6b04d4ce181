//! The task of a session that has a socket: opens it, then reads from it for as long as it lives.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use switchboard_core::cursor::Cursor;
use switchboard_core::{ChannelName, Close, CloseCode, ErrorCode, Frame, Limits, Request, Start};
use switchboard_protocol::refused::Refused;
use switchboard_protocol::websocket::decode::Event;
use switchboard_protocol::websocket::{Opcode, encode};
use switchboard_protocol::wire::Format;
use switchboard_protocol::{json, protobuf, sse};

use crate::opening::Transport;
use crate::shard::ending::Went;
use crate::shard::fan_out::would_block;
use crate::shard::subscribe::{Told, Wish, subscribe};
use crate::shard::{Local, Shard, command};

/// Channels to begin with, and from where.
pub(super) struct Begin {
    pub(super) channels: Vec<ChannelName>,
    pub(super) rewind: u32,
    pub(super) cursor: Option<Cursor>,
}

/// What a read brought.
enum Input {
    /// Nothing more for now.
    Blocked,
    /// Commands, maybe none, and what came after them.
    Commands(Vec<Result<Request, Refused>>, Then),
    /// Nothing more ever.
    Over(Went),
}

/// What comes after commands that were read together. It waits for them: what was asked before is answered.
enum Then {
    /// There may be more to read.
    ReadOn,
    /// The client broke a rule.
    Close(Close),
    /// The client said goodbye, with this code.
    Goodbye(Option<u16>),
}

/// Serves a session's socket until it is gone.
pub(super) fn serve(
    local: Local,
    slot: u32,
    generation: u32,
    begin: Begin,
    leftover: Bytes,
) -> impl Future<Output = ()> {
    // Boxed, and made out here: the task lives as long as the session and has no room for how it began.
    let opening = Box::pin({
        let local = Rc::clone(&local);
        async move {
            // Its pongs are read only when it has caught up.
            set_busy(&local, slot, generation, true);
            begin_session(&local, slot, generation, begin).await;
            set_busy(&local, slot, generation, false);
            first_input(&local, slot, generation, leftover).await
        }
    });
    async move {
        let went = match opening.await {
            Some(went) => went,
            None => read_loop(&local, slot, generation).await,
        };
        let mut shard = local.borrow_mut();
        shard.gone(slot, went);
        shard.free(slot);
    }
}

/// Subscribes a new session to the channels it names, and to those its cursor remembers.
pub(super) async fn begin_session(local: &Local, slot: u32, generation: u32, begin: Begin) {
    let cursor = begin.cursor.unwrap_or_default();
    let named = begin.channels.len();
    let remembered = cursor
        .positions
        .iter()
        .map(|(name, _)| name)
        .filter(|name| !begin.channels.contains(name));
    let channels: Vec<ChannelName> = begin.channels.iter().chain(remembered).cloned().collect();
    for (index, channel) in channels.into_iter().enumerate() {
        let start = match (cursor.position(&channel), begin.rewind) {
            (Some(position), _) => Start::After(position),
            (None, 0) => Start::Live,
            (None, count) => Start::Rewind(count),
        };
        let wish = Wish {
            channel: channel.clone(),
            start,
            told: Told::Frame,
            pinned: false,
        };
        let subscribed = if command::acknowledges(local, &channel) {
            command::until_told(local, slot, generation, wish).await
        } else {
            subscribe(local, slot, generation, wish, None).await
        };
        if let Err(error) = subscribed {
            // What the cursor remembers but the token no longer grants is not the client's fault.
            tracing::debug!(session.slot = slot, %channel, error = %error, named = index < named, "not subscribed");
            let mut shard = local.borrow_mut();
            if shard
                .slots
                .find(slot, generation)
                .is_none_or(|session| session.ended)
            {
                return;
            }
            if error.code != ErrorCode::AlreadySubscribed {
                let (reason, resubscribe) = (error.message.into(), error.code.retryable());
                shard.send_frame(
                    slot,
                    &Frame::Unsubscribed {
                        channel,
                        reason,
                        resubscribe,
                    },
                );
            }
        }
    }
    let mut shard = local.borrow_mut();
    let is_sse = shard.slots.hot[slot as usize].wire.is_sse();
    if is_sse
        && shard
            .slots
            .find(slot, generation)
            .is_some_and(|session| !session.ended)
    {
        shard.send_cursor(slot);
    }
}

/// Takes what was read past the request's head.
async fn first_input(local: &Local, slot: u32, generation: u32, leftover: Bytes) -> Option<Went> {
    if leftover.is_empty() {
        return None;
    }
    let mut bytes = leftover.to_vec();
    let input = local.borrow_mut().take_input(slot, generation, &mut bytes);
    match take(local, slot, generation, input) {
        Ok(None) => None,
        Ok(Some(work)) => work.await.err(),
        Err(went) => Some(went),
    }
}

async fn read_loop(local: &Local, slot: u32, generation: u32) -> Went {
    loop {
        let readable = poll_fn(
            |context| match &local.borrow().slots.hot[slot as usize].stream {
                Some(stream) => stream.poll_read_ready(context),
                None => Poll::Ready(Ok(())),
            },
        );
        if readable.await.is_err() {
            return Went::Abrupt;
        }
        let input = local.borrow_mut().read(slot, generation);
        match take(local, slot, generation, input) {
            Ok(None) => {}
            Ok(Some(work)) => {
                if let Err(went) = work.await {
                    return went;
                }
            }
            Err(went) => return went,
        }
    }
}

/// Commands at work. Boxed: most input is a pong, and a task that waits should have no room for more.
type Work = Pin<Box<dyn Future<Output = Result<(), Went>>>>;

/// Works input off, or begins to where it takes time; an error when there is no more.
fn take(local: &Local, slot: u32, generation: u32, input: Input) -> Result<Option<Work>, Went> {
    match input {
        Input::Blocked => Ok(None),
        Input::Over(went) => Err(went),
        Input::Commands(commands, then) if commands.is_empty() => {
            let mut shard = local.borrow_mut();
            shard.after_commands(slot, generation, then).map(|()| None)
        }
        Input::Commands(commands, then) => {
            let local = Rc::clone(local);
            Ok(Some(Box::pin(async move {
                for asked in commands {
                    set_busy(&local, slot, generation, true);
                    command::run(&local, slot, generation, asked).await;
                    set_busy(&local, slot, generation, false);
                }
                local.borrow_mut().after_commands(slot, generation, then)
            })))
        }
    }
}

fn set_busy(local: &Local, slot: u32, generation: u32, busy: bool) {
    if let Some(session) = local.borrow_mut().slots.find(slot, generation) {
        session.busy = busy;
    }
}

impl Shard {
    /// Reads once from a session's socket.
    fn read(&mut self, slot: u32, generation: u32) -> Input {
        if self.slots.find(slot, generation).is_none() {
            return Input::Over(Went::Abrupt);
        }
        let Some(stream) = &self.slots.hot[slot as usize].stream else {
            return Input::Over(Went::Abrupt);
        };
        let mut scratch = std::mem::take(&mut self.scratch);
        let input = match stream.try_read(&mut scratch) {
            Ok(0) => Input::Over(Went::Abrupt),
            Ok(len) => self.take_input(slot, generation, &mut scratch[..len]),
            Err(error) if would_block(&error) => Input::Blocked,
            Err(_) => Input::Over(Went::Abrupt),
        };
        self.scratch = scratch;
        input
    }

    /// Does what came after the commands; an error when nothing more comes.
    fn after_commands(&mut self, slot: u32, generation: u32, then: Then) -> Result<(), Went> {
        let Some(session) = self.slots.find(slot, generation) else {
            return Err(Went::Abrupt);
        };
        match then {
            Then::ReadOn => Ok(()),
            Then::Close(close) => {
                self.close(slot, close);
                Ok(())
            }
            Then::Goodbye(code) => {
                if session.closing_ms.is_none() {
                    self.push(slot, encode::close_reply(code), None);
                }
                Err(Went::Clean)
            }
        }
    }

    /// Takes bytes from a session's client.
    fn take_input(&mut self, slot: u32, generation: u32, mut bytes: &mut [u8]) -> Input {
        let Some(session) = self.slots.find(slot, generation) else {
            return Input::Over(Went::Abrupt);
        };
        // Whatever comes is a sign of life.
        session.timers.ping_sent_ms = None;
        let closing = session.closing_ms.is_some();
        let Some(mut decoder) = session.decoder.take() else {
            // An event stream's client has nothing to say here; what it says is not kept.
            return Input::Commands(Vec::new(), Then::ReadOn);
        };
        let mut inflater = std::mem::take(&mut self.inflater);
        let mut commands = Vec::new();
        let mut then = Then::ReadOn;
        let format = self.slots.hot[slot as usize].wire.format();
        loop {
            match decoder.next(&mut bytes, &mut inflater) {
                Ok(None) => break,
                // After the close has been said, only the client's own is of interest.
                Ok(Some(Event::Message { text, data })) if !closing => {
                    let Some(asked) = decode(format, text, &data, &self.shared.limits) else {
                        let reason = "JSON comes in text messages, protobuf in binary ones";
                        then = Then::Close(Close::new(CloseCode::UNSUPPORTED, reason));
                        break;
                    };
                    commands.push(asked);
                }
                Ok(Some(Event::Ping(payload))) if !closing => {
                    self.push(slot, encode::encode(Opcode::Pong, &payload, false), None);
                }
                Ok(Some(Event::Close { code, .. })) => {
                    then = Then::Goodbye(code);
                    break;
                }
                Ok(Some(_)) => {}
                Err(error) => {
                    let code = CloseCode(error.close_code());
                    then = Then::Close(Close::new(code, error.to_string()));
                    break;
                }
            }
        }
        self.inflater = inflater;
        if let Some(session) = self.slots.find(slot, generation) {
            session.decoder = Some(decoder);
        }
        Input::Commands(commands, then)
    }

    /// Tells an event stream where it stands: a client that drops now resumes from here.
    pub(super) fn send_cursor(&mut self, slot: u32) {
        let cursor = self.cursor(slot);
        if cursor.positions.is_empty() {
            return;
        }
        let mut out = Vec::new();
        sse::id_event(
            &cursor,
            self.slots.hot[slot as usize].wire.is_chunked(),
            &mut out,
        );
        self.push(slot, out.into(), None);
    }

    /// An event stream's first bytes: they pass buffering proxies, and spread reconnects.
    pub(super) fn greet(&mut self, slot: u32) {
        let wire = self.slots.hot[slot as usize].wire;
        if self
            .slots
            .get(slot)
            .is_some_and(|session| session.transport == Transport::Sse)
        {
            let jitter = u64::from(self.random()) % RETRY_SPREAD_MS;
            let mut out = Vec::new();
            sse::retry(
                Duration::from_millis(RETRY_MIN_MS + jitter),
                wire.is_chunked(),
                &mut out,
            );
            sse::comment(wire.is_chunked(), &mut out);
            self.push(slot, out.into(), None);
        }
    }
}

/// An event stream's client comes back after at least so long.
const RETRY_MIN_MS: u64 = 500;
/// And at most so much later: clients that lost the same node come back spread out.
const RETRY_SPREAD_MS: u64 = 2000;

/// Decodes a command. Of a WebSocket's two kinds of message a format takes one.
fn decode(
    format: Format,
    text: bool,
    data: &[u8],
    limits: &Limits,
) -> Option<Result<Request, Refused>> {
    match (format, text) {
        (Format::Json, true) => Some(json::decode_command(data, limits)),
        (Format::Protobuf, false) => Some(protobuf::decode_command(data, limits)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    fn size_of_returned<A, B, C, D, E, T>(_: impl Fn(A, B, C, D, E) -> T) -> usize {
        size_of::<T>()
    }

    #[test]
    fn the_task_of_a_quiet_session_stays_small() {
        let size = size_of_returned(super::serve);
        assert!(
            size <= 128,
            "{size} bytes, for as long as each session lives"
        );
    }
}
