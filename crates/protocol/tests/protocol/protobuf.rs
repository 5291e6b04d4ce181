//! The protobuf format says the same as the JSON one: both are held against the same fixtures by the field names of the
//! descriptors, without a line that knows a message.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, ReflectMessage as _, Value};
use serde_json::{Map, Value as Json};
use switchboard_core::{Command, ErrorCode, Limits, Payload, Request};
use switchboard_protocol::protobuf;

use crate::json::lines;
use crate::samples;

fn message(name: &str) -> DynamicMessage {
    let pool = DescriptorPool::decode(switchboard_proto::FILE_DESCRIPTOR_SET).unwrap();
    DynamicMessage::new(
        pool.get_message_by_name(&format!("switchboard.client.v1.{name}"))
            .unwrap(),
    )
}

/// A message as the JSON that its `.proto` file promises, absent fields left out.
fn to_json(message: &DynamicMessage) -> Json {
    let binary = message
        .get_field_by_name("binary")
        .is_some_and(|binary| binary.as_bool() == Some(true));
    let fields = message.fields().map(|(field, value)| {
        let value = match value {
            Value::Bytes(bytes) if binary => STANDARD.encode(bytes).into(),
            value => value_to_json(value),
        };
        (field.json_name().to_owned(), value)
    });
    Json::Object(fields.collect())
}

fn value_to_json(value: &Value) -> Json {
    match value {
        Value::Bool(value) => (*value).into(),
        Value::U32(value) => (*value).into(),
        Value::U64(value) => (*value).into(),
        Value::I64(value) => (*value).into(),
        Value::String(value) => value.as_str().into(),
        Value::Bytes(json) => serde_json::from_slice(json).unwrap(),
        Value::Message(message) => to_json(message),
        Value::List(list) => list.iter().map(value_to_json).collect(),
        Value::Map(map) => {
            let entry = |(key, value)| {
                (
                    prost_reflect::MapKey::as_str(key).unwrap().to_owned(),
                    value_to_json(value),
                )
            };
            Json::Object(map.iter().map(entry).collect::<Map<_, _>>())
        }
        other => panic!("no field of the protocol is {other:?}"),
    }
}

/// Leaves out what proto3 does not tell from absence; payloads stay as they are.
fn without_defaults(json: Json) -> Json {
    let Json::Object(fields) = json else {
        return json;
    };
    let fields = fields.into_iter().map(|(name, value)| match value {
        value if name == "data" || name == "info" => (name, value),
        Json::Array(items) => (name, items.into_iter().map(without_defaults).collect()),
        value => (name, without_defaults(value)),
    });
    let empty = [
        Json::from(false),
        Json::from(0),
        Json::from(""),
        Json::Array(vec![]),
    ];
    Json::Object(
        fields
            .filter(|(name, value)| name == "data" || !empty.contains(value))
            .collect(),
    )
}

/// Fills a message from JSON, as a client's library would.
fn from_json(message: &mut DynamicMessage, json: &Json) {
    let binary = json["binary"] == true;
    for (name, value) in json.as_object().unwrap() {
        let field = message
            .descriptor()
            .get_field_by_json_name(name)
            .unwrap_or_else(|| panic!("no field {name}"));
        let value = match (field.kind(), value) {
            (Kind::Message(descriptor), value) => {
                let mut inner = DynamicMessage::new(descriptor);
                from_json(&mut inner, value);
                Value::Message(inner)
            }
            (Kind::Bytes, Json::String(text)) if binary => {
                Value::Bytes(STANDARD.decode(text).unwrap().into())
            }
            (Kind::Bytes, value) => Value::Bytes(value.to_string().into()),
            (Kind::Uint32, value) => Value::U32(value.as_u64().unwrap().try_into().unwrap()),
            (Kind::Uint64, value) => Value::U64(value.as_u64().unwrap()),
            (Kind::Bool, value) => Value::Bool(value.as_bool().unwrap()),
            (Kind::String, value) => Value::String(value.as_str().unwrap().to_owned()),
            (kind, _) => panic!("no field of a command is {kind:?}"),
        };
        message.set_field(&field, value);
    }
}

#[test]
fn frames_say_the_same_in_both_formats() {
    for (line, frame) in lines("frames.jsonl").iter().zip(samples::frames()) {
        let mut bytes = Vec::new();
        protobuf::encode(&frame, &mut bytes);
        let mut read = message("Frame");
        read.merge(&bytes[..]).unwrap();
        assert_eq!(read.unknown_fields().count(), 0, "{frame:?}");
        assert_eq!(
            to_json(&read),
            without_defaults(serde_json::from_str(line).unwrap())
        );
    }
}

#[test]
fn commands_say_the_same_in_both_formats() {
    for (line, expected) in lines("commands.jsonl").iter().zip(samples::commands()) {
        let mut command = message("Command");
        from_json(&mut command, &serde_json::from_str(line).unwrap());
        let read =
            protobuf::decode_command(&command.encode_to_vec(), &Limits::default()).expect(line);
        assert_eq!(rewritten(read), rewritten(expected), "{line}");
    }
}

/// The same with its JSON written anew: the test's own JSON library sorts keys and rewrites numbers.
fn rewritten(mut request: Request) -> Request {
    if let Command::Publish {
        payload: Payload::Json(json),
        ..
    }
    | Command::Call {
        payload: Payload::Json(json),
        ..
    } = &mut request.command
    {
        *json = serde_json::from_slice::<Json>(json)
            .unwrap()
            .to_string()
            .into();
    }
    request
}

#[test]
fn refusals_keep_the_id() {
    let check = |json: &str, expected| {
        let mut command = message("Command");
        from_json(&mut command, &serde_json::from_str(json).unwrap());
        let refused =
            protobuf::decode_command(&command.encode_to_vec(), &Limits::default()).expect_err(json);
        assert_eq!((refused.id, refused.error.code), expected, "{json}");
    };
    let bad = (Some(7), ErrorCode::BadRequest);
    check(r#"{"id":7}"#, bad);
    check(r#"{"id":7,"subscribe":{}}"#, bad);
    check(
        r#"{"id":7,"subscribe":{"channel":"a","position":{"epoch":"NONE","offset":1}}}"#,
        bad,
    );
    check(r#"{"id":7,"refresh":{}}"#, bad);
    check(r#"{"id":7,"call":{"data":1}}"#, bad);
    check(
        r#"{"ping":{},"subscribe":{"channel":""}}"#,
        (None, ErrorCode::BadRequest),
    );
    // A publish without data has an empty payload, which is no JSON; cut short after the id.
    check(r#"{"id":7,"publish":{"channel":"a"}}"#, bad);
    let refused = protobuf::decode_command(&[0x08, 7, 0x12, 99], &Limits::default()).unwrap_err();
    assert_eq!((refused.id, refused.error.code), bad);
    let small = Limits {
        command_bytes_max: 1,
        ..Limits::default()
    };
    let refused = protobuf::decode_command(&[0x08, 7], &small).unwrap_err();
    assert_eq!(refused.error.code, ErrorCode::PayloadTooLarge);
}

#[test]
fn json_payloads_are_checked_and_binary_ones_taken_as_they_are() {
    let publish = |data: &[u8], binary| {
        let mut inner = message("Publish");
        inner.set_field_by_name("channel", Value::String("a".to_owned()));
        inner.set_field_by_name("data", Value::Bytes(data.to_vec().into()));
        inner.set_field_by_name("binary", Value::Bool(binary));
        let mut command = message("Command");
        command.set_field_by_name("publish", Value::Message(inner));
        let decoded = protobuf::decode_command(&command.encode_to_vec(), &Limits::default());
        match decoded.map(|request| request.command) {
            Ok(Command::Publish { payload, .. }) => Some(payload.bytes().to_vec()),
            _ => None,
        }
    };
    assert_eq!(publish(b"{\n}", false).as_deref(), Some(&b"{ }"[..]));
    assert_eq!(publish(b"{\n", false), None);
    assert_eq!(publish("[".repeat(10_000).as_bytes(), false), None);
    assert_eq!(
        publish(&[b'[', 0xFF, b'\n'], true).as_deref(),
        Some(&[b'[', 0xFF, b'\n'][..])
    );
    assert_eq!(publish(&vec![0; 64 * 1024 + 1], true), None);
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = protobuf::decode_command(&bytes, &Limits::default());
    }
}
