//! Who a session is: ids, the user, and what its token allows.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

use crate::{ErrorCode, Grants};

/// A user: the token's `sub`, of at most [`USER_ID_BYTES_MAX`] bytes.
pub type UserId = Arc<str>;

/// The longest user id, in bytes, on every node and in every token: it is a key in shared state, and travels with every
/// publication.
pub const USER_ID_BYTES_MAX: usize = 255;

/// One run of one hub process; random at each start. Text: 8 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeId(pub u32);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// A session's public id. It says where the session lives, so finding one needs no directory; it proves nothing (that
/// is the session key's part). Text: `node-shard-slot-generation` in hex, for example `8f03aa12-1-2c-5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId {
    /// The node that owns the session.
    pub node: NodeId,
    /// The shard on that node.
    pub shard: u16,
    /// The slot in that shard.
    pub slot: u32,
    /// Which of the sessions that have used the slot.
    pub generation: u32,
}

impl SessionId {
    /// Parses the text form.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-').map(|part| {
            let plain = !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            if plain {
                u32::from_str_radix(part, 16).ok()
            } else {
                None
            }
        });
        let id = Self {
            node: NodeId(parts.next()??),
            shard: u16::try_from(parts.next()??).ok()?,
            slot: parts.next()??,
            generation: parts.next()??,
        };
        parts.next().is_none().then_some(id)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}-{:x}-{:x}-{:x}",
            self.node, self.shard, self.slot, self.generation
        )
    }
}

/// What a verified credential says of its bearer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The token's `sub`; nothing for an anonymous session.
    pub user: Option<UserId>,
    /// What presence shows beside the user: one JSON text without raw line breaks.
    pub info: Option<Bytes>,
    /// What the bearer may do.
    pub grants: Arc<Grants>,
    /// When the credential ends (the token's `exp`), milliseconds since 1970.
    pub expires_at_ms: Option<u64>,
    /// The token's `jti`.
    pub token_id: Option<Box<str>>,
    /// When the token was issued (its `iat`, 0 where it does not say), milliseconds since 1970; nothing without a token.
    pub issued_at_ms: Option<u64>,
}

/// Why a token was refused. The message never quotes the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TokenError {
    /// `unauthenticated`, `token_expired`, or `unavailable` when the check itself could not be made.
    pub code: ErrorCode,
    /// What was wrong, for the person who holds the token.
    pub message: String,
}

/// A boxed future, as the ports of `core` return them.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The port through which sessions have tokens checked (a refresh, a channel's own token). `auth` implements it.
///
/// Expensive signature checks run off the caller's thread, so a shard may await it.
pub trait TokenVerifier: Send + Sync + 'static {
    /// Verifies a connection token as at the handshake.
    fn verify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Arc<Identity>, TokenError>>;
}
