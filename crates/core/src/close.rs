//! Why a session ends.

use std::borrow::Cow;

/// A close code, the same on every transport (RFC 6455 section 7.4 and this protocol's own from 4000).
///
/// 4000-4099 come back with backoff, 4100-4199 come back with a new token, 4200-4299 stay away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// Done: the client asked for it.
    pub const DONE: Self = Self(1000);
    /// The node drains, or the client gave no sign of life.
    pub const GOING_AWAY: Self = Self(1001);
    /// The client broke the WebSocket protocol (RFC 6455).
    pub const PROTOCOL: Self = Self(1002);
    /// A message that the hub does not take (RFC 6455).
    pub const UNSUPPORTED: Self = Self(1003);
    /// Text that is no UTF-8 (RFC 6455).
    pub const INVALID_DATA: Self = Self(1007);
    /// A rule was broken for which there is no other code (RFC 6455).
    pub const POLICY: Self = Self(1008);
    /// A message larger than allowed (RFC 6455).
    pub const TOO_BIG: Self = Self(1009);
    /// The hub failed.
    pub const INTERNAL: Self = Self(1011);
    /// Try again later.
    pub const TRY_LATER: Self = Self(1013);
    /// The client read too slowly.
    pub const SLOW_CONSUMER: Self = Self(4000);
    /// Another attachment took the session.
    pub const REPLACED: Self = Self(4001);
    /// The token ended and no new one came.
    pub const EXPIRED: Self = Self(4100);
    /// The token was revoked.
    pub const REVOKED: Self = Self(4101);
    /// A service disconnected the session.
    pub const DISCONNECTED: Self = Self(4200);
    /// The user has too many sessions.
    pub const TOO_MANY_SESSIONS: Self = Self(4201);
    /// Commands that make no sense.
    pub const PROTOCOL_ERROR: Self = Self(4202);

    /// Whether a client that gets it should come back.
    pub fn reconnect(self) -> bool {
        matches!(self.0, 1001 | 1005..=1006 | 1011..=1013 | 4000..=4199)
    }
}

/// The end of a session, as the client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// The code.
    pub code: CloseCode,
    /// Why, for a person; at most 123 bytes reach a WebSocket.
    pub reason: Cow<'static, str>,
    /// When to come back, milliseconds from now.
    pub reconnect_after_ms: Option<u64>,
}

impl Close {
    /// A close without a time to come back at.
    pub fn new(code: CloseCode, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            reason: reason.into(),
            reconnect_after_ms: None,
        }
    }
}
