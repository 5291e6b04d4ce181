//! What a subscription and a client tell.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Error, Payload};

/// A place in a channel's order of publications: `{"epoch": "kq3v", "offset": 17}`.
///
/// It can be kept, and a later visit begun there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Position {
    /// The life of the channel's history that the offset counts in. Opaque: compare it for equality only.
    pub epoch: String,
    /// 1 for the first publication of the epoch.
    #[serde(default)]
    pub offset: u64,
}

/// What happens in a channel, in its order.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<T = Payload> {
    /// The subscription stands: at first, and after each loss of the connection.
    Subscribed(Begun),
    /// A publication.
    Message(Message<T>),
    /// What lay before may have been missed.
    Gap(Gap),
    /// A member has come.
    Join(Member),
    /// A member has gone.
    Leave(Member),
    /// The subscription has ended, the last event: by its own client, or with the hub's reason.
    Unsubscribed(Option<Error>),
}

/// A publication.
#[derive(Debug, Clone, PartialEq)]
pub struct Message<T = Payload> {
    /// None: a service sent it to this session or user directly.
    pub channel: Option<String>,
    /// Its place in the channel; none when it is not in history.
    pub offset: Option<u64>,
    /// What was published.
    pub data: T,
    /// The publisher's idempotency id.
    pub id: Option<String>,
    /// The client that published; none when it was a service.
    pub from: Option<Sender>,
    /// When the hub accepted it.
    pub time: SystemTime,
    /// The publisher's tags.
    pub tags: BTreeMap<String, String>,
}

impl Message {
    /// Reads JSON data as a value.
    ///
    /// # Errors
    /// As [`Payload::decode`].
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.data.decode()
    }

    pub(crate) fn typed<T: DeserializeOwned>(self) -> Result<Message<T>, Error> {
        Ok(Message {
            data: self.data.decode()?,
            channel: self.channel,
            offset: self.offset,
            id: self.id,
            from: self.from,
            time: self.time,
            tags: self.tags,
        })
    }
}

impl Event {
    pub(crate) fn typed<T: DeserializeOwned>(self) -> Result<Event<T>, Error> {
        Ok(match self {
            Self::Message(message) => Event::Message(message.typed()?),
            Self::Subscribed(begun) => Event::Subscribed(begun),
            Self::Gap(gap) => Event::Gap(gap),
            Self::Join(member) => Event::Join(member),
            Self::Leave(member) => Event::Leave(member),
            Self::Unsubscribed(why) => Event::Unsubscribed(why),
        })
    }
}

/// The client behind a publication.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Sender {
    /// Its user; none when anonymous.
    pub user: Option<String>,
    /// Its session.
    pub session: String,
}

/// A loss of continuity: reload what the channel describes, then go on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Gap {
    /// What lay before it may have been missed; what follows is complete.
    pub position: Position,
    /// Why.
    pub reason: GapReason,
}

/// Why continuity was lost.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum GapReason {
    /// History no longer reaches back to the position.
    Trimmed,
    /// History was lost or begun anew; positions of the old epoch are void.
    EpochChanged,
    /// The reader was too slow: for the hub, or for the subscription's inbox.
    SlowConsumer,
    /// The hub may have missed something.
    Interrupted,
    /// One that is newer than this client; treat it as any gap.
    Other(String),
}

impl GapReason {
    /// The reason as it stands on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Trimmed => "trimmed",
            Self::EpochChanged => "epoch_changed",
            Self::SlowConsumer => "slow_consumer",
            Self::Interrupted => "interrupted",
            Self::Other(reason) => reason,
        }
    }
}

impl From<String> for GapReason {
    fn from(reason: String) -> Self {
        match reason.as_str() {
            "trimmed" => Self::Trimmed,
            "epoch_changed" => Self::EpochChanged,
            "slow_consumer" => Self::SlowConsumer,
            "interrupted" => Self::Interrupted,
            _ => Self::Other(reason),
        }
    }
}

/// How a subscription stands in the present session.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Begun {
    /// Where its messages start.
    pub position: Position,
    /// A position was asked for, and all that was missed since follows.
    #[serde(default)]
    pub recovered: bool,
    /// What the channel offers.
    #[serde(default)]
    pub policy: Policy,
}

/// What a channel offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is an offer of its own, as the wire has it"
)]
pub struct Policy {
    /// What was missed can be recovered.
    pub recovery: bool,
    /// Members are tracked.
    pub presence: bool,
    /// Their comings and goings are sent.
    pub join_leave: bool,
    /// The user has a mark in the channel, which [`ack`](crate::Subscription::ack) moves.
    pub durable: bool,
}

/// A session that is present in a channel.
#[derive(Debug, Clone, Deserialize)]
pub struct Member {
    /// The session.
    pub session: String,
    /// Its user; none when anonymous.
    pub user: Option<String>,
    /// The `info` of its token.
    pub info: Option<Box<RawValue>>,
}

impl PartialEq for Member {
    fn eq(&self, other: &Self) -> bool {
        let info = |member: &Self| member.info.as_deref().map(|info| info.get().to_owned());
        self.session == other.session && self.user == other.user && info(self) == info(other)
    }
}

/// What the hub said of a session when it opened.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Session {
    /// The session as others see it in presence.
    #[serde(rename = "session")]
    pub id: String,
    /// The token's user; none when anonymous.
    pub user: Option<String>,
    /// The node that holds it.
    #[serde(default)]
    pub node: String,
    /// The hub's time, in milliseconds since 1970.
    #[serde(default)]
    pub time: u64,
    /// When the token ends, by the hub's clock, in milliseconds since 1970.
    pub expires_at: Option<u64>,
    #[serde(default)]
    pub(crate) limits: Limits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Limits {
    /// 0: not told.
    pub(crate) command_bytes_max: usize,
}

/// A page of a channel's members.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct PresencePage {
    /// The members of this page.
    pub members: Vec<Member>,
    /// How many sessions are in the whole channel.
    pub count: u64,
    /// How many distinct users they are of.
    pub users: u64,
    /// Asks for the next page; none: this was the last.
    pub next_page: Option<String>,
}

/// What was read of a channel's history.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct HistoryPage {
    /// The publications, in the order asked for.
    #[serde(default)]
    pub publications: Vec<Message>,
    /// The channel's latest position.
    pub position: Position,
}

/// Where a client stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It has no session, and is about to have one.
    Connecting,
    /// It has a session.
    Connected,
    /// It was closed, or has stopped for good.
    Disconnected,
}

impl State {
    /// The state as the clients in other languages spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
        }
    }
}

/// What happens to a client as a whole, past its subscriptions.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientEvent {
    /// The client's state; after a loss with its reason.
    StateChanged {
        /// The state now.
        state: State,
        /// Why.
        error: Option<Error>,
    },
    /// A session began.
    Opened {
        /// What the hub said of it.
        session: Session,
        /// In place of one that went on until now, without a break.
        moved: bool,
    },
    /// A service sent this to the session or user, past all channels.
    Direct(Message),
    /// The server subscribed the session to a channel that was not asked for here: [`Client::subscription`](crate::Client::subscription)
    /// gives it.
    Found {
        /// The channel.
        channel: String,
    },
    /// The client stopped, and not because it was closed.
    Stopped(Error),
}
