//! Where a session stands in all its channels: what SSE's `id:` and a poll's `cursor` carry. `protocol` writes its text.

use crate::{ChannelName, Position};

/// Everything that a client has been given, so that any node can go on from there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Poll only: the number of the last frame that the poll carried. It acknowledges what came before; 0 elsewhere.
    pub sequence: u64,
    /// The position in each channel that the session is subscribed to.
    pub positions: Vec<(ChannelName, Position)>,
}

impl Cursor {
    /// The position it holds for `channel`.
    pub fn position(&self, channel: &ChannelName) -> Option<Position> {
        self.positions
            .iter()
            .find(|(name, _)| name == channel)
            .map(|(_, position)| *position)
    }

    /// Moves it to `position` in `channel`.
    pub fn advance(&mut self, channel: &ChannelName, position: Position) {
        match self.positions.iter_mut().find(|(name, _)| name == channel) {
            Some((_, stands)) => *stands = position,
            None => self.positions.push((channel.clone(), position)),
        }
    }
}
