//! Commands in JSON: `{"id":7,"subscribe":{"channel":"chat:1","position":{"epoch":"9ix","offset":3}}}`.
//!
//! Strict: one command, known keys, no key twice. A typing mistake is an error that names it, never a field that is
//! passed over. Fields that may be absent may be `null` too.

use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor,
};
use switchboard_core::{Limits, Request};

use super::arguments::Arguments;
use super::strict::Whole;
use crate::fields;
use crate::refused::{Refused, bad_request};

/// The commands' names, in the order of the protocol's document.
const COMMANDS: [&str; 9] = [
    "subscribe",
    "unsubscribe",
    "publish",
    "presence",
    "history",
    "call",
    "ack",
    "refresh",
    "ping",
];

/// The longest unknown name, in bytes, for which a command like it is looked for.
const NAME_BYTES_MAX: usize = 32;

/// How alike two names must be, from 0 to 1, for one to be offered in place of the other.
const LIKENESS_MIN: f64 = 0.5;

/// Reads a command.
///
/// The payload is checked, copied out of `bytes`, and freed of raw line breaks.
///
/// # Errors
/// `bad_request` or `payload_too_large`, with the command's id wherever in the text it stands.
pub fn decode_command(bytes: &[u8], limits: &Limits) -> Result<Request, Refused> {
    let refused = |error| Refused {
        id: read_id(bytes),
        error,
    };
    fields::command_bytes(bytes.len(), limits).map_err(refused)?;
    let Envelope { id, arguments } =
        serde_json::from_slice(bytes).map_err(|error| refused(bad_request(error.to_string())))?;
    let command = arguments
        .into_command(limits)
        .map_err(|error| Refused { id, error })?;
    Ok(Request { id, command })
}

struct Envelope<'a> {
    id: Option<u64>,
    arguments: Arguments<'a>,
}

enum Key {
    Id,
    Command(&'static str),
}

impl<'de> Deserialize<'de> for Envelope<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Envelope<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a command such as {\"id\":1,\"subscribe\":{\"channel\":\"chat:1\"}}")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut id: Option<Option<Whole<u64>>> = None;
                let mut asked: Option<(&'static str, Arguments<'de>)> = None;
                while let Some(key) = map.next_key()? {
                    match (key, &asked) {
                        (Key::Id, _) if id.is_some() => {
                            return Err(A::Error::duplicate_field("id"));
                        }
                        (Key::Id, _) => id = Some(map.next_value()?),
                        (Key::Command(name), None) => {
                            asked = Some((name, Arguments::read(name, &mut map)?));
                        }
                        (Key::Command(second), Some((first, _))) => {
                            let message = format!(
                                "two commands, `{first}` and `{second}`: send them one by one"
                            );
                            return Err(A::Error::custom(message));
                        }
                    }
                }
                let Some((_, arguments)) = asked else {
                    let message =
                        format!("no command: beside `id` one key of {}", COMMANDS.join(", "));
                    return Err(A::Error::custom(message));
                };
                Ok(Envelope {
                    id: id.flatten().map(|Whole(id)| id),
                    arguments,
                })
            }
        }

        deserializer.deserialize_map(Object)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl Visitor<'_> for Name {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`id` or a command")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Key, E> {
                if name == "id" {
                    return Ok(Key::Id);
                }
                match COMMANDS.into_iter().find(|&command| command == name) {
                    Some(command) => Ok(Key::Command(command)),
                    None => Err(E::custom(unknown_command(name))),
                }
            }
        }

        deserializer.deserialize_identifier(Name)
    }
}

fn unknown_command(name: &str) -> String {
    // Comparison takes time by the length of both, and a name far longer than any command is near none.
    if name.len() <= NAME_BYTES_MAX {
        let likeness = COMMANDS.map(|command| {
            (
                strsim::normalized_damerau_levenshtein(command, name),
                command,
            )
        });
        let nearest = likeness.into_iter().max_by(|(a, _), (b, _)| a.total_cmp(b));
        if let Some((_, nearest)) = nearest.filter(|&(likeness, _)| likeness >= LIKENESS_MIN) {
            return format!("unknown command `{name}`: did you mean `{nearest}`?");
        }
    }
    format!(
        "unknown command, known are {}: `{name}`",
        COMMANDS.join(", ")
    )
}

/// Reads only the id of a command that was refused, as far as its text is valid.
fn read_id(bytes: &[u8]) -> Option<u64> {
    struct Seed<'a>(&'a mut Option<u64>);

    impl<'de> DeserializeSeed<'de> for Seed<'_> {
        type Value = ();

        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
            deserializer.deserialize_map(self)
        }
    }

    impl<'de> Visitor<'de> for Seed<'_> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some(key) = map.next_key::<String>()? {
                if key == "id" {
                    *self.0 = map.next_value::<Option<Whole<u64>>>()?.map(|Whole(id)| id);
                    return Ok(());
                }
                map.next_value::<IgnoredAny>()?;
            }
            Ok(())
        }
    }

    let mut id = None;
    // Whatever is wrong with the text after the id, or with the id itself, has been reported already.
    let _ = Seed(&mut id).deserialize(&mut serde_json::Deserializer::from_slice(bytes));
    id
}
