//! The nouns and state machines of Switchboard.
//!
//! Purpose: everything the hub decides is decided here, as plain values and machines that take `now` and return what is
//! to be done. A channel name, a grant, a position, the order in which a subscription catches up, what a slow consumer
//! loses: all of it is tested by lists of inputs and expected effects.
//!
//! Deliberately absent: a runtime, sockets, serialisation, a clock, randomness. They come in as arguments or live in
//! `protocol`, `engine`, `node` and `transport`.
//!
//! Reading order: [`channel`], [`position`], [`publication`], [`identity`], [`grants`], [`policy`], [`limits`];
//! then what clients and hub say to each other, [`command`], [`frame`], [`error`], [`close`], [`presence`];
//! then the machines, [`sync`], [`acks`], [`outbox`], [`cursor`], [`wheel`], [`rate`], [`revocation`]; and [`fnv`], a hash.
//!
//! To add a command: a variant in [`command::Command`], its answer in [`frame::Answer`]; the compiler lists the rest.

pub mod acks;
pub mod channel;
pub mod close;
pub mod command;
pub mod cursor;
pub mod error;
pub mod fnv;
pub mod frame;
pub mod grants;
pub mod identity;
pub mod limits;
pub mod outbox;
pub mod policy;
pub mod position;
pub mod presence;
pub mod publication;
pub mod rate;
pub mod revocation;
pub mod sync;
pub mod wheel;

pub use channel::{ChannelName, ChannelNameError, ChannelPattern, PatternError};
pub use close::{Close, CloseCode};
pub use command::{Command, Request, Start};
pub use error::{ClientError, ErrorCode};
pub use frame::{Answer, Frame, GapReason, Offer, Open, Reply};
pub use grants::Grants;
pub use identity::{Identity, NodeId, SessionId, TokenError, TokenVerifier, UserId};
pub use limits::Limits;
pub use policy::{Policy, PolicyTable, Retention, SlowConsumer};
pub use position::{Epoch, Position};
pub use presence::{Member, PresenceChange, PresenceEvent};
pub use publication::{Origin, Payload, Publication};
pub use rate::{Rate, RateLimit};
pub use revocation::{Revocation, Revocations, RevokedTokens};
