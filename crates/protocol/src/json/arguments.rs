//! The fields of each command in JSON, and how they become the commands of `core`.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess};
use serde_json::value::RawValue;
use switchboard_core::{ClientError, Command, Limits, Payload};

use super::check::copy_checked;
use super::strict::{Fields, Whole};
use crate::fields;

/// Base64 as proto3's JSON has it: padded, but receivers do not insist.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What stands under a command's name.
pub(super) enum Arguments<'a> {
    Subscribe(Subscribe<'a>),
    Unsubscribe(Unsubscribe<'a>),
    Publish(Publish<'a>),
    Presence(Presence<'a>),
    History(History<'a>),
    Call(Call<'a>),
    Ack(Ack<'a>),
    Refresh(Refresh<'a>),
    Ping(Ping),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Subscribe<'a> {
    #[serde(borrow)]
    channel: Cow<'a, str>,
    #[serde(borrow)]
    position: Option<Fields<Place<'a>>>,
    rewind: Option<Whole<u32>>,
    token: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Unsubscribe<'a> {
    #[serde(borrow)]
    channel: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Publish<'a> {
    #[serde(borrow)]
    channel: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    binary: Option<bool>,
    id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Presence<'a> {
    #[serde(borrow)]
    channel: Cow<'a, str>,
    limit: Option<Whole<u32>>,
    page: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct History<'a> {
    #[serde(borrow)]
    channel: Cow<'a, str>,
    #[serde(borrow)]
    position: Option<Fields<Place<'a>>>,
    limit: Option<Whole<u32>>,
    reverse: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Call<'a> {
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    binary: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ack<'a> {
    #[serde(borrow)]
    channel: Cow<'a, str>,
    offset: Whole<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Refresh<'a> {
    #[serde(borrow)]
    token: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ping {}

/// A position; libraries of proto3's JSON leave an offset of 0 out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Place<'a> {
    #[serde(borrow)]
    epoch: Cow<'a, str>,
    offset: Option<Whole<u64>>,
}

/// Tells `"data": null`, which is a payload, from no `data` at all.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl<'de> Arguments<'de> {
    /// Reads the fields of the command called `name`.
    pub(super) fn read<A: MapAccess<'de>>(name: &str, map: &mut A) -> Result<Self, A::Error> {
        fn fields<'de, A: MapAccess<'de>, T: Deserialize<'de>>(map: &mut A) -> Result<T, A::Error> {
            map.next_value().map(|Fields(fields)| fields)
        }
        match name {
            "subscribe" => fields(map).map(Self::Subscribe),
            "unsubscribe" => fields(map).map(Self::Unsubscribe),
            "publish" => fields(map).map(Self::Publish),
            "presence" => fields(map).map(Self::Presence),
            "history" => fields(map).map(Self::History),
            "call" => fields(map).map(Self::Call),
            "ack" => fields(map).map(Self::Ack),
            "refresh" => fields(map).map(Self::Refresh),
            "ping" => fields(map).map(Self::Ping),
            _ => Err(A::Error::custom("unknown command")),
        }
    }

    pub(super) fn into_command(self, limits: &Limits) -> Result<Command, ClientError> {
        Ok(match self {
            Self::Subscribe(Subscribe {
                channel,
                position,
                rewind,
                token,
            }) => Command::Subscribe {
                channel: fields::channel(&channel)?,
                start: fields::start(place(position)?, rewind.map(|Whole(count)| count))?,
                token: fields::token(token.as_deref(), limits)?,
            },
            Self::Unsubscribe(Unsubscribe { channel }) => Command::Unsubscribe {
                channel: fields::channel(&channel)?,
            },
            Self::Publish(Publish {
                channel,
                data,
                binary,
                id,
            }) => Command::Publish {
                channel: fields::channel(&channel)?,
                payload: payload(
                    fields::needed(data, "`publish` needs `data`")?,
                    binary,
                    limits,
                )?,
                id: fields::publication_id(id.as_deref(), limits)?,
            },
            Self::Presence(Presence {
                channel,
                limit,
                page,
            }) => Command::Presence {
                channel: fields::channel(&channel)?,
                limit: limit.map(|Whole(limit)| limit),
                page: fields::text(page.as_deref()).map(Box::from),
            },
            Self::History(History {
                channel,
                position,
                limit,
                reverse,
            }) => Command::History {
                channel: fields::channel(&channel)?,
                position: place(position)?,
                limit: limit.map(|Whole(limit)| limit),
                reverse: reverse.unwrap_or(false),
            },
            Self::Call(Call {
                method,
                data,
                binary,
            }) => Command::Call {
                method: fields::needed(fields::text(Some(&method)), "`call` needs a `method`")?
                    .into(),
                payload: match data {
                    Some(data) => payload(data, binary, limits)?,
                    None => Payload::Json(Bytes::from_static(b"null")),
                },
            },
            Self::Ack(Ack {
                channel,
                offset: Whole(offset),
            }) => Command::Ack {
                channel: fields::channel(&channel)?,
                offset,
            },
            Self::Refresh(Refresh { token }) => Command::Refresh {
                token: fields::needed(
                    fields::token(Some(&token), limits)?,
                    "`refresh` needs a `token`",
                )?,
            },
            Self::Ping(Ping {}) => Command::Ping,
        })
    }
}

fn place(
    place: Option<Fields<Place<'_>>>,
) -> Result<Option<switchboard_core::Position>, ClientError> {
    place
        .map(|Fields(Place { epoch, offset })| {
            fields::position(&epoch, offset.map_or(0, |Whole(offset)| offset))
        })
        .transpose()
}

fn payload(data: &RawValue, binary: Option<bool>, limits: &Limits) -> Result<Payload, ClientError> {
    let payload = if binary == Some(true) {
        let bytes = serde_json::from_str::<Cow<'_, str>>(data.get())
            .ok()
            .and_then(|text| BASE64.decode(&*text).ok());
        Payload::Binary(fields::needed(bytes, "with `binary` `data` is a string of base64")?.into())
    } else {
        fields::json(copy_checked(data))?
    };
    fields::payload(payload, limits)
}
