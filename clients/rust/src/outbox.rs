//! Commands on their way to the present session.

use std::collections::VecDeque;

use serde::Serialize;

use crate::commands::{body, command};
use crate::timing::OUTBOX_MAX;

/// What the socket has not taken yet. It is of one session: the next one is asked anew.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    last_id: u64,
    /// While a session stands; with the bytes that a command may have there, 0: not told.
    command_bytes_max: Option<usize>,
    texts: VecDeque<String>,
    overflowed: bool,
}

impl Outbox {
    /// A session stands, in which a command may have so many bytes.
    pub(crate) fn open(&mut self, command_bytes_max: usize) {
        self.close();
        self.command_bytes_max = Some(command_bytes_max);
    }

    /// The session is gone, and what waited with it.
    pub(crate) fn close(&mut self) {
        self.command_bytes_max = None;
        self.overflowed = false;
        self.texts.clear();
    }

    pub(crate) fn is_open(&self) -> bool {
        self.command_bytes_max.is_some()
    }

    pub(crate) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Sends a command whose reply nobody but the subscriptions awaits; its number.
    pub(crate) fn ask(&mut self, name: &str, asked: &impl Serialize) -> u64 {
        let id = self.next_id();
        self.send(command(id, name, &body(asked)));
        id
    }

    pub(crate) fn send(&mut self, text: String) {
        if self.texts.len() < OUTBOX_MAX {
            self.texts.push_back(text);
        } else {
            // Commands after a hole would be out of order: the session ends, and another is asked anew.
            self.overflowed = true;
        }
    }

    /// The most bytes that a command may have, where it has more.
    pub(crate) fn too_long(&self, text: &str) -> Option<usize> {
        self.command_bytes_max
            .filter(|max| *max > 0 && text.len() > *max)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    pub(crate) fn pop(&mut self) -> Option<String> {
        self.texts.pop_front()
    }

    pub(crate) fn has_overflowed(&self) -> bool {
        self.overflowed
    }
}
