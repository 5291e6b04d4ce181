//! Appends JSON to bytes. No tree and no reflection: a frame is one pass over its fields.

use std::fmt::{self, Write};

/// An object that is being written.
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> Object<'a> {
    /// Opens one. It must be [closed](Self::close).
    pub(super) fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    /// Closes it.
    pub(super) fn close(self) {
        self.out.push(b'}');
    }

    /// Writes a name, which needs no escaping, and gives the bytes to write its value to.
    pub(super) fn field(&mut self, name: &'static str) -> &mut Vec<u8> {
        self.separate();
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    /// Writes a field whose name may be anything.
    pub(super) fn foreign(&mut self, name: &str, value: &str) {
        self.separate();
        string(name, self.out);
        self.out.push(b':');
        string(value, self.out);
    }

    pub(super) fn string(&mut self, name: &'static str, value: &str) {
        string(value, self.field(name));
    }

    /// Writes a text of which it is known that it needs no escaping.
    pub(super) fn plain(&mut self, name: &'static str, value: impl fmt::Display) {
        let out = self.field(name);
        out.push(b'"');
        write!(Appended(out), "{value}").expect("appending to bytes cannot fail");
        out.push(b'"');
    }

    pub(super) fn number(&mut self, name: &'static str, value: u64) {
        number(value, self.field(name));
    }

    pub(super) fn boolean(&mut self, name: &'static str, value: bool) {
        self.field(name)
            .extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// Writes a value that is JSON already.
    pub(super) fn json(&mut self, name: &'static str, value: &[u8]) {
        self.field(name).extend_from_slice(value);
    }

    fn separate(&mut self) {
        if !std::mem::take(&mut self.empty) {
            self.out.push(b',');
        }
    }
}

/// Writes an array, each of its elements by `write`.
pub(super) fn array<T>(items: &[T], out: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    out.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest
        .iter()
        .position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\')
    {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            byte @ (b'"' | b'\\') => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            byte => {
                let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
                out.extend_from_slice(&[
                    b'\\',
                    b'u',
                    b'0',
                    b'0',
                    digit(byte >> 4),
                    digit(byte & 0xF),
                ]);
            }
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn number(mut value: u64, out: &mut Vec<u8>) {
    // The largest has twenty digits.
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

struct Appended<'a>(&'a mut Vec<u8>);

impl Write for Appended<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn strings_and_numbers_read_back_the_same(text in "(\\PC|[\\x00-\\x22\\\\\u{2028}])*", value: u64) {
            let mut out = Vec::new();
            let mut object = Object::open(&mut out);
            object.foreign(&text, &text);
            object.number("number of it", value);
            object.close();
            prop_assert!(!out.iter().any(|&byte| byte < 0x20));
            let read: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(read[&text].as_str(), Some(&*text));
            prop_assert_eq!(read["number of it"].as_u64(), Some(value));
        }
    }
}
