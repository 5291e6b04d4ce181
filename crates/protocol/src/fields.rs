//! Checks of command fields that both formats share.

use bytes::Bytes;
use switchboard_core::{
    ChannelName, ClientError, Epoch, ErrorCode, Limits, Payload, Position, Start,
};

use crate::json::JsonError;
use crate::refused::bad_request;

pub(crate) fn command_bytes(count: usize, limits: &Limits) -> Result<(), ClientError> {
    if count <= limits.command_bytes_max {
        return Ok(());
    }
    let message = format!(
        "the command has {count} bytes, of {} allowed",
        limits.command_bytes_max
    );
    Err(ClientError::new(ErrorCode::PayloadTooLarge, message))
}

pub(crate) fn channel(text: &str) -> Result<ChannelName, ClientError> {
    ChannelName::parse(text).map_err(|error| bad_request(format!("`channel`: {error}")))
}

pub(crate) fn position(epoch: &str, offset: u64) -> Result<Position, ClientError> {
    match Epoch::parse(epoch) {
        Some(epoch) => Ok(Position { epoch, offset }),
        None => Err(bad_request(
            "`position.epoch` is none that a hub has made: give back what a reply or a gap said",
        )),
    }
}

pub(crate) fn start(position: Option<Position>, rewind: Option<u32>) -> Result<Start, ClientError> {
    match (position, rewind) {
        (None, None) => Ok(Start::Live),
        (Some(position), None) => Ok(Start::After(position)),
        (None, Some(count)) => Ok(Start::Rewind(count)),
        (Some(_), Some(_)) => Err(bad_request(
            "`position` and `rewind` exclude each other: recover, or rewind",
        )),
    }
}

pub(crate) fn payload(payload: Payload, limits: &Limits) -> Result<Payload, ClientError> {
    let count = payload.bytes().len();
    if count <= limits.payload_bytes_max {
        return Ok(payload);
    }
    let message = format!(
        "`data` has {count} bytes, of {} allowed",
        limits.payload_bytes_max
    );
    Err(ClientError::new(ErrorCode::PayloadTooLarge, message))
}

pub(crate) fn json(checked: Result<Bytes, JsonError>) -> Result<Payload, ClientError> {
    checked
        .map(Payload::Json)
        .map_err(|error| bad_request(format!("`data`: {error}")))
}

pub(crate) fn publication_id(
    id: Option<&str>,
    limits: &Limits,
) -> Result<Option<Box<str>>, ClientError> {
    match text(id) {
        Some(id) if id.len() > limits.publication_id_bytes_max => Err(bad_request(format!(
            "`id` of the publication is longer than {} bytes",
            limits.publication_id_bytes_max
        ))),
        id => Ok(id.map(Box::from)),
    }
}

pub(crate) fn token(token: Option<&str>, limits: &Limits) -> Result<Option<String>, ClientError> {
    match text(token) {
        Some(token) if token.len() > limits.token_bytes_max => Err(bad_request(format!(
            "`token` is longer than {} bytes",
            limits.token_bytes_max
        ))),
        token => Ok(token.map(String::from)),
    }
}

pub(crate) fn needed<T>(field: Option<T>, missing: &'static str) -> Result<T, ClientError> {
    field.ok_or_else(|| bad_request(missing))
}

/// An empty text is an absent one, in both formats.
pub(crate) fn text(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}
