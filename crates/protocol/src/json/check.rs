//! Payloads: valid JSON, not too deep, on one line. Checked once, then passed on as they are.

use bytes::Bytes;
use serde_json::value::RawValue;

/// The deepest that a payload may nest objects and arrays.
///
/// Many parsers give up at 128, this hub's clients among them, and a `history` reply wraps a payload in five levels.
pub const PAYLOAD_DEPTH_MAX: usize = 120;

/// Why bytes are no payload.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// Not one JSON text in UTF-8.
    #[error("payload is not valid JSON: {0}")]
    Invalid(#[from] serde_json::Error),
    /// Nested deeper than [`PAYLOAD_DEPTH_MAX`].
    #[error("payload nests deeper than {PAYLOAD_DEPTH_MAX} levels")]
    TooDeep,
}

/// Checks a service's or a protobuf client's payload, and gives it without the white space around it and with raw line
/// breaks, which JSON has only between tokens, replaced by spaces: an event stream would end a field at them.
///
/// Builds no tree, and copies only when there is a line break.
///
/// # Errors
/// See [`JsonError`].
pub fn check_json(bytes: &Bytes) -> Result<Bytes, JsonError> {
    let raw: &RawValue = serde_json::from_slice(bytes)?;
    match survey(raw)? {
        Breaks::None => Ok(bytes.slice_ref(raw.get().as_bytes())),
        Breaks::Some => Ok(on_one_line(raw.get())),
    }
}

/// Copies a payload out of a command; otherwise as [`check_json`].
pub(super) fn copy_checked(raw: &RawValue) -> Result<Bytes, JsonError> {
    match survey(raw)? {
        Breaks::None => Ok(Bytes::copy_from_slice(raw.get().as_bytes())),
        Breaks::Some => Ok(on_one_line(raw.get())),
    }
}

fn on_one_line(text: &str) -> Bytes {
    text.bytes()
        .map(|byte| {
            if matches!(byte, b'\r' | b'\n') {
                b' '
            } else {
                byte
            }
        })
        .collect()
}

/// Whether there are raw line breaks.
enum Breaks {
    None,
    Some,
}

/// Looks for depth and line breaks in what is known to be valid JSON. serde_json passes over raw values without
/// recursion, so that its own bound on depth does not hold for them.
fn survey(raw: &RawValue) -> Result<Breaks, JsonError> {
    let mut breaks = Breaks::None;
    let mut depth = 0;
    let mut bytes = raw.get().bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => pass_string(&mut bytes),
            b'[' | b'{' if depth == PAYLOAD_DEPTH_MAX => return Err(JsonError::TooDeep),
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth -= 1,
            b'\r' | b'\n' => breaks = Breaks::Some,
            _ => {}
        }
    }
    Ok(breaks)
}

fn pass_string(bytes: &mut std::str::Bytes<'_>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn checked(text: &str) -> Option<String> {
        let bytes = check_json(&Bytes::from(text.to_owned())).ok()?;
        Some(String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn payload_stays_as_it_is_but_for_raw_line_breaks() {
        for text in [
            "null",
            "1e400",
            r#"{"a":[1,"\n\"[[",{}],"a":2}"#,
            "\"\u{2028}\"",
            "[1, 2]",
        ] {
            assert_eq!(checked(text).as_deref(), Some(text));
        }
        assert_eq!(checked(" \t[1]\n").as_deref(), Some("[1]"));
        assert_eq!(
            checked("{\r\n\"a\\n\": [\n1]}").as_deref(),
            Some("{  \"a\\n\": [ 1]}")
        );
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in [
            "",
            " ",
            "{",
            "[1,]",
            "nul",
            "1 2",
            "\"a\nb\"",
            "'a'",
            "{\"a\"}",
            "\"\\x\"",
            "01",
            "\u{feff}1",
        ] {
            assert_eq!(checked(text), None, "{text:?}");
        }
        assert!(matches!(
            check_json(&Bytes::from_static(b"\"\xff\"")),
            Err(JsonError::Invalid(_))
        ));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(checked(&nested(PAYLOAD_DEPTH_MAX)).is_some());
        for depth in [PAYLOAD_DEPTH_MAX + 1, 100_000] {
            assert!(
                matches!(check_json(&nested(depth).into()), Err(JsonError::TooDeep)),
                "{depth}"
            );
        }
        assert!(matches!(
            check_json(&"[".repeat(100_000).into()),
            Err(JsonError::Invalid(_))
        ));
        // Brackets in strings are no depth, and closed ones count no more.
        assert!(checked(&format!("\"{}\"", "[".repeat(1000))).is_some());
        assert!(checked(&format!("[{}[]]", "[],".repeat(1000))).is_some());
    }

    #[test]
    fn payload_without_line_breaks_is_not_copied() {
        let bytes = Bytes::from_static(b" {\"a\":1} ");
        assert_eq!(check_json(&bytes).unwrap().as_ptr(), bytes[1..].as_ptr());
    }

    proptest! {
        #[test]
        fn accepts_what_serde_json_accepts(text in r#"([\[\]{}:,"\\ \n\ra-f0-9.eE+-]|true|null|"[a-z\\n]*"){0,24}"#) {
            let valid = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            // A raw value may hold numbers and escapes that a value cannot, so the other way round does not hold.
            if valid {
                let checked = checked(&text);
                prop_assert!(checked.as_ref().is_some_and(|text| !text.contains(['\r', '\n'])));
            }
        }
    }
}
