//! What a handshake hands over: everything a session starts with, checked.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use switchboard_core::cursor::Cursor;
use switchboard_core::{ChannelName, Identity};
use switchboard_protocol::wire::Wire;

/// How a session is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// RFC 6455, or RFC 8441 over HTTP/2.
    WebSocket,
    /// Server-Sent Events.
    Sse,
    /// Long poll.
    Poll,
}

impl Transport {
    /// Its name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Sse => "sse",
            Self::Poll => "poll",
        }
    }

    /// Whether its client goes on from one text that says where it stands in all its channels. A WebSocket's client has
    /// the positions themselves, and resumes channel by channel.
    pub(crate) fn resumes_by_cursor(self) -> bool {
        match self {
            Self::WebSocket => false,
            Self::Sse | Self::Poll => true,
        }
    }
}

/// Everything a session starts with.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Who it is, verified.
    pub identity: Arc<Identity>,
    /// How it is attached.
    pub transport: Transport,
    /// The wire that its frames take.
    pub wire: Wire,
    /// Channels that the request named, in its order, without duplicates.
    pub channels: Vec<ChannelName>,
    /// Start each channel with its last so many publications (where the cursor has no position for it).
    pub rewind: u32,
    /// Positions to resume from.
    pub cursor: Option<Cursor>,
    /// Push a `heartbeat` when nothing else was sent for so long.
    pub heartbeat: Option<Duration>,
    /// Where the client is.
    pub client_ip: Option<IpAddr>,
}
