//! Commands as the hub reads them.

use serde::Serialize;

use crate::events::Position;
use crate::payload::Written;

/// The text of a command: a number, and under its name what is asked, which is JSON already.
pub(crate) fn command(id: u64, name: &str, body: &str) -> String {
    format!(r#"{{"id":{id},"{name}":{body}}}"#)
}

/// The JSON of what is asked.
pub(crate) fn body(asked: &impl Serialize) -> String {
    serde_json::to_string(asked).expect("all commands have JSON: strings, numbers, and JSON itself")
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Subscribe {
    pub(crate) channel: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) position: Option<Position>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rewind: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct Unsubscribe<'a> {
    pub(crate) channel: &'a str,
}

#[derive(Serialize)]
pub(crate) struct Publish<'a> {
    pub(crate) channel: &'a str,
    #[serde(flatten)]
    pub(crate) payload: Written,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<&'a str>,
}

#[derive(Serialize)]
pub(crate) struct Presence<'a> {
    pub(crate) channel: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) page: Option<&'a str>,
}

#[derive(Serialize)]
pub(crate) struct History<'a> {
    pub(crate) channel: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) position: Option<&'a Position>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<u32>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) reverse: bool,
}

#[derive(Serialize)]
pub(crate) struct Call<'a> {
    pub(crate) method: &'a str,
    #[serde(flatten)]
    pub(crate) payload: Option<Written>,
}

#[derive(Serialize)]
pub(crate) struct Ack<'a> {
    pub(crate) channel: &'a str,
    pub(crate) offset: u64,
}

#[derive(Serialize)]
pub(crate) struct Refresh<'a> {
    pub(crate) token: &'a str,
}

#[derive(Serialize)]
pub(crate) struct Ping {}
