//! Commands in JSON: `{"id":7,"subscribe":{"channel":"chat:1","position":{"epoch":"9ix","offset":3}}}`.
//!
//! Strict: one command, known keys, no key twice. A typing mistake is an error that names it, never a field that is
//! passed over. Absent fields may be left out or be `null`.

use std::fmt;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use switchboard_core::{ClientError, Command, Limits, Payload, Request};

use super::check::copy_checked;
use super::wire_types::{Fields, Text, Whole};
use crate::fields;
use crate::refused::{Refused, bad_request};
