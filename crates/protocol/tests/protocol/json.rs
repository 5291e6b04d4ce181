//! The JSON format against `clients/fixtures`, and against what nobody sends in good faith.

use crate::samples;
use proptest::prelude::*;
use serde_json::Value;
use switchboard_core::{Command, ErrorCode, Limits, Payload};
use switchboard_protocol::{Refused, json};

pub(crate) fn lines(file: &str) -> Vec<String> {
    let path = format!(
        "{}/../../clients/fixtures/{file}",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

fn decode(text: &str) -> Result<Command, Refused> {
    json::decode_command(text.as_bytes(), &Limits::default()).map(|request| request.command)
}

fn refusal(text: &str) -> String {
    decode(text).expect_err(text).error.message.into_owned()
}

#[test]
fn commands_of_the_fixtures_are_accepted() {
    let (lines, commands) = (lines("commands.jsonl"), samples::commands());
    assert_eq!(lines.len(), commands.len());
    for (line, expected) in lines.iter().zip(commands) {
        let name = expected.command.name();
        assert!(
            line.contains(&format!("\"{name}\":{{")),
            "{line} is no {name}"
        );
        assert_eq!(
            json::decode_command(line.as_bytes(), &Limits::default()),
            Ok(expected),
            "{line}"
        );
    }
}

#[test]
fn refusals_of_the_fixtures_keep_the_id() {
    for line in lines("refused.jsonl") {
        let case: Value = serde_json::from_str(&line).unwrap();
        let text = case["text"].as_str().unwrap();
        let refused = json::decode_command(text.as_bytes(), &Limits::default()).expect_err(text);
        assert_eq!(refused.id, case["id"].as_u64(), "{text}");
        assert_eq!(refused.error.code.as_str(), case["code"], "{text}");
    }
}

#[test]
fn frames_of_the_fixtures_are_written_byte_for_byte() {
    let (lines, frames) = (lines("frames.jsonl"), samples::frames());
    assert_eq!(lines.len(), frames.len());
    for (line, frame) in lines.iter().zip(&frames) {
        let mut out = Vec::new();
        json::encode(frame, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), *line);
        let read: Value = serde_json::from_str(line).unwrap();
        let keys: Vec<_> = read.as_object().unwrap().keys().collect();
        assert_eq!(keys, [json::kind(frame)]);
        let mut inner = Vec::new();
        assert_eq!(json::encode_inner(frame, &mut inner), json::kind(frame));
        assert_eq!(
            serde_json::from_slice::<Value>(&inner).unwrap(),
            read[json::kind(frame)]
        );
    }
}

#[test]
fn refusals_say_what_to_do() {
    assert!(refusal(r#"{"subscibe":{}}"#).contains("`subscibe`: did you mean `subscribe`?"));
    assert!(refusal(r#"{"rewind":{}}"#).contains("known are subscribe, unsubscribe"));
    assert!(
        refusal(r#"{"publish":{"chanel":"a"}}"#)
            .contains("unknown field `chanel`, expected one of `channel`")
    );
    assert!(refusal(r#"{"ping":{},"publish":{}}"#).contains("`ping` and `publish`"));
    assert!(
        refusal(r#"{"id":1,"ack":{"channel":"a","offset":-1}}"#)
            .contains("a whole number from 0 up")
    );
    let long = refusal(&format!(r#"{{"{}":{{}}}}"#, "x".repeat(60_000)));
    assert!(long.len() < 400, "{} bytes", long.len());
}

#[test]
fn numbers_may_be_decimal_strings_and_absent_fields_null() {
    assert_eq!(
        decode(r#"{"id":"7","ack":{"channel":"a","offset":"18446744073709551615"}}"#),
        decode(r#"{"id":7,"ack":{"channel":"a","offset":18446744073709551615}}"#)
    );
    assert_eq!(
        decode(
            r#"{"id":null,"subscribe":{"channel":"\u0061","position":null,"rewind":null,"token":null}}"#
        ),
        decode(r#"{"subscribe":{"channel":"a","token":""}}"#)
    );
    for bad in ["+1", "", " 1", "1.0", "1e3", "18446744073709551616"] {
        decode(&format!(r#"{{"ack":{{"channel":"a","offset":"{bad}"}}}}"#)).expect_err(bad);
    }
}

#[test]
fn payload_keeps_its_text_but_for_raw_line_breaks() {
    let command =
        decode("{\"publish\":\r\n{\"channel\":\"a\",\"data\": {\"b\" :\r\n [1.0,\"\\n\"]} }}")
            .unwrap();
    let Command::Publish {
        payload: Payload::Json(data),
        ..
    } = command
    else {
        panic!("{command:?}")
    };
    assert_eq!(data, "{\"b\" :   [1.0,\"\\n\"]}");
}

#[test]
fn depth_of_payloads_is_bounded() {
    let limits = Limits {
        command_bytes_max: 1 << 20,
        payload_bytes_max: 1 << 20,
        ..Limits::default()
    };
    let nested = |depth: usize, closed: usize| {
        let data = "[".repeat(depth) + &"]".repeat(closed);
        let text = format!(r#"{{"publish":{{"channel":"a","data":{data}}},"id":7}}"#);
        json::decode_command(text.as_bytes(), &limits)
    };
    assert!(nested(json::PAYLOAD_DEPTH_MAX, json::PAYLOAD_DEPTH_MAX).is_ok());
    for depth in [json::PAYLOAD_DEPTH_MAX + 1, 100_000] {
        let refused = nested(depth, depth).unwrap_err();
        assert_eq!(refused.id, Some(7));
        assert!(
            refused.error.message.contains("deeper than 120"),
            "{refused}"
        );
    }
    assert!(nested(100_000, 0).is_err());
    // Where no payload is expected nothing is read at all.
    let deep = format!(r#"{{"id":7,"{}"#, "x\":{\"".repeat(100_000));
    assert_eq!(
        json::decode_command(deep.as_bytes(), &limits)
            .unwrap_err()
            .id,
        Some(7)
    );
}

#[test]
fn what_is_too_large_is_refused_by_its_own_code() {
    let limits = Limits {
        payload_bytes_max: 4,
        token_bytes_max: 4,
        publication_id_bytes_max: 4,
        command_bytes_max: 80,
        ..Limits::default()
    };
    let code = |text: &str| {
        let decoded = json::decode_command(text.as_bytes(), &limits);
        decoded
            .map(|_| ())
            .map_err(|refused| (refused.id, refused.error.code))
    };
    assert_eq!(
        code(r#"{"id":7,"publish":{"channel":"a","data":1234}}"#),
        Ok(())
    );
    let too_large = Err((Some(7), ErrorCode::PayloadTooLarge));
    assert_eq!(
        code(r#"{"id":7,"publish":{"channel":"a","data":12345}}"#),
        too_large
    );
    assert_eq!(
        code(r#"{"id":7,"publish":{"channel":"a","data":"MTIzNDU=","binary":true}}"#),
        too_large
    );
    assert_eq!(
        code(&format!(r#"{{"id":7,"ping":{{{}}}}}"#, " ".repeat(80))),
        too_large
    );
    assert_eq!(
        code(r#"{"id":7,"refresh":{"token":"12345"}}"#),
        Err((Some(7), ErrorCode::BadRequest))
    );
    let publish = |id| {
        code(&format!(
            r#"{{"id":7,"publish":{{"channel":"a","data":1,"id":"{id}"}}}}"#
        ))
    };
    assert_eq!(publish("1234"), Ok(()));
    assert_eq!(publish("12345"), Err((Some(7), ErrorCode::BadRequest)));
}

#[test]
fn history_of_the_deepest_payloads_stays_within_what_parsers_take() {
    use std::sync::Arc;
    use switchboard_core::{Answer, Frame, Publication, Reply};
    let deepest = "[".repeat(json::PAYLOAD_DEPTH_MAX) + &"]".repeat(json::PAYLOAD_DEPTH_MAX);
    let publication = Publication {
        payload: Payload::Json(deepest.into()),
        ..Publication::clone(&samples::note())
    };
    let position = publication.position();
    let outcome = Ok(Answer::History {
        publications: vec![Arc::new(publication)],
        position,
    });
    let mut out = Vec::new();
    json::encode(&Frame::Reply(Reply { id: 1, outcome }), &mut out);
    assert!(serde_json::from_slice::<Value>(&out).is_ok());
}

fn mutated(lines: Vec<String>) -> impl Strategy<Value = Vec<u8>> {
    let edit = (
        any::<prop::sample::Index>(),
        prop_oneof![any::<u8>(), Just(b'"'), Just(b'{'), Just(b'}'), Just(b'\n')],
    );
    (
        prop::sample::select(lines),
        prop::collection::vec(edit, 0..6),
    )
        .prop_map(|(line, edits)| {
            let mut bytes = line.into_bytes();
            for (at, byte) in edits {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        })
}

proptest! {
    #[test]
    fn garbage_is_refused_and_accepted_payloads_are_json_on_one_line(
        bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..60), mutated(lines("commands.jsonl"))],
    ) {
        if let Ok(request) = json::decode_command(&bytes, &Limits::default()) {
            // Whatever is accepted is valid for a parser that knows nothing of commands.
            prop_assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok());
            if let Command::Publish { payload: Payload::Json(data), .. } = request.command {
                prop_assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&data).is_ok());
                prop_assert!(!data.iter().any(|byte| matches!(byte, b'\r' | b'\n')));
            }
        }
    }
}
