//! The private claim `switchboard`, in both directions: grants and `info` from JSON, and back for the issuer.
//!
//! ```json
//! {"subscribe": ["chat:*"], "publish": ["chat:42"], "presence": [], "history": [], "channels": ["inbox:alice"], "info": {"name": "Al"}}
//! ```
//!
//! A key that is not known here is refused: `subscibe` would otherwise grant nothing, and nobody would learn why.

use std::fmt;

use bytes::Bytes;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use switchboard_core::{ChannelName, ChannelPattern, Grants, TokenError};

use crate::token::refuse;

/// The deepest nesting of `info`: readers of the frames it ends up in have limits of about 128, some less.
const INFO_DEPTH_MAX: usize = 32;

const KEYS: &str = "subscribe, publish, presence, history, channels, info";

/// Reads the claim. `info` may have `info_bytes_max` bytes, compact.
pub(crate) fn read(
    json: &RawValue,
    info_bytes_max: usize,
) -> Result<(Grants, Option<Bytes>), TokenError> {
    let Entries(entries) = serde_json::from_str(json.get()).map_err(|_| {
        refuse("claim `switchboard` must be an object in which no key stands twice")
    })?;
    let mut grants = Grants::default();
    let mut info = None;
    for (key, value) in entries {
        match key.as_str() {
            "subscribe" => grants.subscribe = read_patterns(&key, value)?,
            "publish" => grants.publish = read_patterns(&key, value)?,
            "presence" => grants.presence = read_patterns(&key, value)?,
            "history" => grants.history = read_patterns(&key, value)?,
            "channels" => grants.channels = read_list(&key, value, "name", ChannelName::parse)?,
            "info" => info = Some(compact_info(value.get(), info_bytes_max).map_err(refuse)?),
            _ => {
                let key = shorten(&key);
                return Err(refuse(format!(
                    "claim `switchboard` has the unknown key {key:?}: it may have {KEYS}"
                )));
            }
        }
    }
    Ok((grants, info))
}

/// Brings `info` to one line of JSON without needless spaces. Numbers and the order of keys stay as they are: it is the
/// application's text, not ours.
pub(crate) fn compact_info(json: &str, bytes_max: usize) -> Result<Bytes, String> {
    let mut compact = Vec::with_capacity(json.len());
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for &byte in json.as_bytes() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => continue,
                b'"' => in_string = true,
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth > INFO_DEPTH_MAX {
                return Err(format!("`info` is nested more than {INFO_DEPTH_MAX} deep"));
            }
        }
        compact.push(byte);
    }
    if compact.len() > bytes_max {
        return Err(format!("`info` has more than {bytes_max} bytes"));
    }
    Ok(compact.into())
}

/// The claim as the issuer writes it.
#[derive(Serialize)]
pub(crate) struct GrantClaim<'a> {
    #[serde(
        skip_serializing_if = "<[_]>::is_empty",
        serialize_with = "write_patterns"
    )]
    subscribe: &'a [ChannelPattern],
    #[serde(
        skip_serializing_if = "<[_]>::is_empty",
        serialize_with = "write_patterns"
    )]
    publish: &'a [ChannelPattern],
    #[serde(
        skip_serializing_if = "<[_]>::is_empty",
        serialize_with = "write_patterns"
    )]
    presence: &'a [ChannelPattern],
    #[serde(
        skip_serializing_if = "<[_]>::is_empty",
        serialize_with = "write_patterns"
    )]
    history: &'a [ChannelPattern],
    #[serde(
        skip_serializing_if = "<[_]>::is_empty",
        serialize_with = "write_names"
    )]
    channels: &'a [ChannelName],
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<&'a RawValue>,
}

impl<'a> GrantClaim<'a> {
    pub(crate) fn new(grants: &'a Grants, info: Option<&'a RawValue>) -> Self {
        let Grants {
            subscribe,
            publish,
            presence,
            history,
            channels,
        } = grants;
        Self {
            subscribe,
            publish,
            presence,
            history,
            channels,
            info,
        }
    }
}

// The signatures below are what serde asks for: a reference to the field, which is itself a reference.
fn write_patterns<S: Serializer>(
    patterns: &&[ChannelPattern],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(patterns.iter().map(ChannelPattern::as_str))
}

fn write_names<S: Serializer>(names: &&[ChannelName], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(names.iter().map(ChannelName::as_str))
}

fn read_patterns(key: &str, value: &RawValue) -> Result<Vec<ChannelPattern>, TokenError> {
    read_list(key, value, "pattern", ChannelPattern::parse)
}

fn read_list<T, E: fmt::Display>(
    key: &str,
    value: &RawValue,
    noun: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Vec<T>, TokenError> {
    let texts: Vec<String> = serde_json::from_str(value.get()).map_err(|_| {
        refuse(format!(
            "claim `switchboard`: `{key}` must be a list of texts"
        ))
    })?;
    let parse = |text: &String| {
        parse(text).map_err(|error| {
            let text = shorten(text);
            refuse(format!(
                "claim `switchboard`: `{key}` has the bad {noun} {text:?}: {error}"
            ))
        })
    };
    texts.iter().map(parse).collect()
}

/// The first characters of a text from a token's claims, so that an error stays an error's size.
fn shorten(text: &str) -> &str {
    text.char_indices()
        .nth(64)
        .map_or(text, |(end, _)| &text[..end])
}

/// The entries of an object, in order, none twice.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;

        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries: Vec<(String, &RawValue)> = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
                    if entries.iter().any(|(known, _)| *known == key) {
                        return Err(serde::de::Error::custom("a key stands twice"));
                    }
                    entries.push((key, value));
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(EntriesVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES_MAX: usize = 200;

    fn compact_info(json: &str) -> Result<Bytes, String> {
        super::compact_info(json, BYTES_MAX)
    }

    #[test]
    fn info_keeps_its_text_but_for_the_spaces_between() {
        let check = |json: &str, expected: &str| {
            // Only what is JSON arrives here.
            let raw: &RawValue = serde_json::from_str(json).unwrap();
            assert_eq!(compact_info(raw.get()).unwrap(), expected.as_bytes());
        };
        check(
            "{ \"b\" : 1.0 ,\r\n\t\"a\" : [ 1 , 2 ] }",
            r#"{"b":1.0,"a":[1,2]}"#,
        );
        check(r#" " a b \" \\" "#, r#"" a b \" \\""#);
        check(
            r#"{"a \\": "x  y", "n": 12345678901234567890123}"#,
            r#"{"a \\":"x  y","n":12345678901234567890123}"#,
        );
        check(r#""line\nbreak""#, r#""line\nbreak""#);
    }

    #[test]
    fn info_is_bounded_in_size_and_depth() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(compact_info(&nested(INFO_DEPTH_MAX)).is_ok());
        assert!(compact_info(&nested(INFO_DEPTH_MAX + 1)).is_err());
        assert!(
            compact_info(&format!("\"{}\"", "[".repeat(100))).is_ok(),
            "brackets in a text are no nesting"
        );
        assert!(compact_info(&format!("\"{}\"", "x".repeat(BYTES_MAX - 2))).is_ok());
        assert!(compact_info(&format!("\"{}\"", "x".repeat(BYTES_MAX - 1))).is_err());
    }
}
