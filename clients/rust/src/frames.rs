//! Frames as the hub writes them.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::value::RawValue;

use crate::events::{
    Begun, Gap, HistoryPage, Member, Message, Position, PresencePage, Sender, Session,
};
use crate::payload::{Payload, Read};
use crate::{Error, verdict::Loss};

/// What the hub says. At most one field is set; a kind that is not known here leaves all unset, and is passed over.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Frame {
    pub(crate) open: Option<Session>,
    pub(crate) reply: Option<Reply>,
    pub(crate) message: Option<Message>,
    pub(crate) join: Option<Presence>,
    pub(crate) leave: Option<Presence>,
    pub(crate) gap: Option<InChannel<Gap>>,
    pub(crate) subscribed: Option<InChannel<Begun>>,
    pub(crate) unsubscribed: Option<Unsubscribed>,
    pub(crate) expiring: Option<Expiring>,
    pub(crate) draining: Option<Draining>,
    pub(crate) heartbeat: Option<Heartbeat>,
    pub(crate) close: Option<Close>,
}

impl Frame {
    /// Reads a frame.
    ///
    /// # Errors
    /// The text is none, so whoever is at the other end is no hub.
    pub(crate) fn read(text: &str) -> Result<Self, Loss> {
        serde_json::from_str(text)
            .map_err(|error| Loss::broken(format!("a message is no frame: {error}")))
    }
}

/// `join` and `leave`.
#[derive(Debug, PartialEq, Deserialize)]
pub(crate) struct Presence {
    pub(crate) channel: String,
    pub(crate) member: Member,
}

/// Something that has its channel beside its own fields.
#[derive(Debug, PartialEq, Deserialize)]
pub(crate) struct InChannel<T> {
    pub(crate) channel: String,
    #[serde(flatten)]
    pub(crate) what: T,
}

#[derive(Debug, PartialEq, Deserialize)]
pub(crate) struct Unsubscribed {
    pub(crate) channel: String,
    #[serde(default)]
    pub(crate) reason: String,
    #[serde(default)]
    pub(crate) resubscribe: bool,
}

#[derive(Debug, PartialEq, Deserialize)]
pub(crate) struct Expiring {}

#[derive(Debug, PartialEq, Deserialize)]
pub(crate) struct Heartbeat {}

#[derive(Debug, PartialEq, Deserialize)]
pub(crate) struct Draining {
    #[serde(default, deserialize_with = "millis")]
    pub(crate) reconnect_after: Option<Duration>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Close {
    pub(crate) code: u16,
    pub(crate) reason: String,
    pub(crate) reconnect: bool,
    #[serde(deserialize_with = "millis")]
    pub(crate) reconnect_after: Option<Duration>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Reply {
    pub(crate) id: u64,
    pub(crate) error: Option<Refusal>,
    pub(crate) subscribe: Option<Begun>,
    pub(crate) publish: Option<Published>,
    pub(crate) presence: Option<PresencePage>,
    pub(crate) history: Option<HistoryPage>,
    pub(crate) call: Option<Called>,
    pub(crate) refresh: Option<Refreshed>,
    pub(crate) ping: Option<Pong>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) code: String,
    #[serde(default)]
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) retryable: bool,
    #[serde(default, deserialize_with = "millis")]
    pub(crate) retry_after: Option<Duration>,
}

impl From<Refusal> for Error {
    fn from(told: Refusal) -> Self {
        let error = Self::new(told.code, told.message);
        if told.retryable {
            error.retryable(told.retry_after)
        } else {
            error
        }
    }
}

#[derive(Debug, PartialEq, Deserialize)]
pub(crate) struct Published {
    pub(crate) position: Position,
}

#[derive(Debug, PartialEq, Deserialize)]
pub(crate) struct Refreshed {
    pub(crate) expires_at: Option<u64>,
}

#[derive(Debug, PartialEq, Deserialize)]
pub(crate) struct Pong {
    #[serde(deserialize_with = "moment")]
    pub(crate) time: SystemTime,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Called(pub(crate) Payload);

impl<'de> Deserialize<'de> for Called {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = Read::deserialize(deserializer)?;
        read.try_into().map(Self).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wire {
            channel: Option<String>,
            offset: Option<u64>,
            #[serde(default)]
            data: Box<RawValue>,
            #[serde(default)]
            binary: bool,
            id: Option<String>,
            from: Option<Sender>,
            #[serde(deserialize_with = "moment")]
            time: SystemTime,
            #[serde(default)]
            tags: BTreeMap<String, String>,
        }
        let wire = Wire::deserialize(deserializer)?;
        let read = Read {
            data: wire.data,
            binary: wire.binary,
        };
        Ok(Self {
            channel: wire.channel.filter(|channel| !channel.is_empty()),
            offset: wire.offset.filter(|offset| *offset > 0),
            data: read.try_into().map_err(D::Error::custom)?,
            id: wire.id,
            from: wire.from,
            time: wire.time,
            tags: wire.tags,
        })
    }
}

/// Milliseconds; 0 says nothing.
fn millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let millis = Option::<u64>::deserialize(deserializer)?;
    Ok(millis
        .filter(|millis| *millis > 0)
        .map(Duration::from_millis))
}

/// Milliseconds since 1970.
fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
    let since = Duration::from_millis(u64::deserialize(deserializer)?);
    SystemTime::UNIX_EPOCH
        .checked_add(since)
        .ok_or_else(|| D::Error::custom("a time after all times"))
}
