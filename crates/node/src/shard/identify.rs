//! Where a session stands, and the id line that says so to an event stream over several channels: each such stream has its
//! own before the bytes that all share. It is written into buffers of the shard, so a delivery allocates nothing.

use bytes::Bytes;
use switchboard_core::cursor::Cursor;
use switchboard_core::{ChannelName, Position};
use switchboard_protocol::cursor::Encoder;
use switchboard_protocol::sse;

use crate::shard::Shard;
use crate::shard::channels::Channel;
use crate::shard::mail::Delivery;
use crate::shard::session::{State, Subscription};

/// What an id line is made in: the buffers stay, what is in them is of the last one.
#[derive(Default)]
pub(super) struct IdLine {
    cursor: Cursor,
    encoder: Encoder,
    bytes: Vec<u8>,
}

impl Shard {
    /// Hands an event to a session after an id line of its own, which says that it stands at `position` in `channel`.
    pub(super) fn push_identified(
        &mut self,
        slot: u32,
        channel: &ChannelName,
        position: Position,
        item: &Delivery,
    ) {
        let wire = self.slots.hot[slot as usize].wire;
        let event = item.broadcast.bytes(wire);
        let mut line = std::mem::take(&mut self.id_line);
        self.cursor_into(slot, &mut line.cursor);
        line.cursor.advance(channel, position);
        line.bytes.clear();
        let id = line.encoder.encode(&mut line.cursor);
        sse::id_line(id, wire.is_chunked(), &mut line.bytes);
        if let Some(written) = self.send_now(slot, &line.bytes, event) {
            // Only who is slow gets a copy.
            let bytes = Bytes::from([&line.bytes[..], event].concat());
            let droppable = self.droppable(item);
            self.keep(slot, bytes, written, droppable);
        }
        // Names are not kept alive for longer than they are needed.
        line.cursor.positions.clear();
        self.id_line = line;
    }

    /// Where a session stands in all its channels.
    pub(super) fn cursor(&self, slot: u32) -> Cursor {
        let mut cursor = Cursor::default();
        self.cursor_into(slot, &mut cursor);
        cursor
    }

    /// The same, in place of what the cursor said before.
    fn cursor_into(&self, slot: u32, cursor: &mut Cursor) {
        cursor.sequence = 0;
        cursor.positions.clear();
        let Some(session) = self.slots.get(slot) else {
            return;
        };
        if let Some(outbox) = &session.outbox {
            cursor.sequence = outbox.sequence();
        }
        let positions = session.subscriptions.iter().filter_map(|subscription| {
            let channel = &self.channels[subscription.channel];
            Some((channel.name.clone(), stands(channel, subscription)?))
        });
        cursor.positions.extend(positions);
    }

    /// Where a session stands in one of its channels: what it has been given, or is owed already.
    pub(super) fn stands(&self, slot: u32, at: u32) -> Option<Position> {
        let mut subscriptions = self.slots.get(slot)?.subscriptions.iter();
        let subscription = subscriptions.find(|s| s.channel == at)?;
        stands(&self.channels[at], subscription)
    }
}

fn stands(channel: &Channel, subscription: &Subscription) -> Option<Position> {
    match &subscription.state {
        State::Live => channel.position_at(subscription.at),
        State::Ahead(offset) => channel.position.map(|p| Position {
            offset: *offset,
            ..p
        }),
        State::Syncing(syncing) => syncing.stands,
    }
}
