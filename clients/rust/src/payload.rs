//! What is published: JSON, or bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::Error;

/// What a publication carries.
///
/// ```
/// use switchboard_client::Payload;
///
/// let payload = Payload::json(&[1, 2])?;
/// assert_eq!(payload.decode::<Vec<u8>>()?, [1, 2]);
/// # Ok::<(), switchboard_client::Error>(())
/// ```
#[derive(Debug, Clone)]
pub enum Payload {
    /// One JSON value, as its publisher wrote it.
    Json(Box<RawValue>),
    /// Bytes.
    Binary(Bytes),
}

impl Payload {
    /// Writes a value as JSON.
    ///
    /// # Errors
    /// `bad_request` where the value has no JSON, as a map whose keys are no strings.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        let text = to_raw_value(value)
            .map_err(|error| Error::new("bad_request", format!("the data has no JSON: {error}")))?;
        Ok(Self::Json(text))
    }

    /// Takes bytes as they are.
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self::Binary(bytes.into())
    }

    /// Reads JSON as a value.
    ///
    /// # Errors
    /// `unreadable` where it is bytes, or no such value.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let unreadable = |why: String| Error::new("unreadable", why);
        match self {
            Self::Json(text) => serde_json::from_str(text.get())
                .map_err(|error| unreadable(format!("the data is no such value: {error}"))),
            Self::Binary(_) => Err(unreadable(
                "the data is bytes: match on the payload".to_owned(),
            )),
        }
    }

    /// The text of JSON, or the bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Json(text) => text.get().as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

/// Equal by what is written: two JSON texts that mean the same may differ.
impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        let kind = std::mem::discriminant::<Self>;
        kind(self) == kind(other) && self.as_bytes() == other.as_bytes()
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }
}

/// `data` as it stands in a command: bytes are base64, with `binary` beside it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Written {
    data: Box<RawValue>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    binary: bool,
}

impl From<&Payload> for Written {
    fn from(payload: &Payload) -> Self {
        match payload {
            Payload::Json(text) => Self {
                data: text.clone(),
                binary: false,
            },
            Payload::Binary(bytes) => Self {
                data: to_raw_value(&STANDARD.encode(bytes)).expect("a string has JSON"),
                binary: true,
            },
        }
    }
}

/// `data` as it stands in a frame. Without any it is `null`.
#[derive(Debug, Deserialize)]
pub(crate) struct Read {
    #[serde(default)]
    pub(crate) data: Box<RawValue>,
    #[serde(default)]
    pub(crate) binary: bool,
}

impl TryFrom<Read> for Payload {
    type Error = String;

    fn try_from(read: Read) -> Result<Self, String> {
        if !read.binary {
            return Ok(Self::Json(read.data));
        }
        let text: String =
            serde_json::from_str(read.data.get()).map_err(|error| error.to_string())?;
        let bytes = STANDARD
            .decode(text)
            .map_err(|error| format!("binary data: {error}"))?;
        Ok(Self::Binary(bytes.into()))
    }
}
