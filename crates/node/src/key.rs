//! Session keys: what POST and poll name a session by. A key says where the session is and proves the right to it.

use switchboard_core::SessionId;

/// A key, taken apart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) session: SessionId,
    pub(crate) secret: [u8; 16],
}

impl Key {
    /// The text form: the session's id, a dot, and the secret in hex.
    pub(crate) fn to_text(self) -> String {
        use std::fmt::Write;
        let mut text = format!("{}.", self.session);
        for byte in self.secret {
            write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        }
        text
    }

    /// Parses the text form.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (session, hex) = text.split_once('.')?;
        if hex.len() != 32 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let mut secret = [0; 16];
        for (byte, digits) in secret.iter_mut().zip(hex.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self {
            session: SessionId::parse(session)?,
            secret,
        })
    }

    /// Whether it proves the right to a session with this secret; a session without one is nobody's to command. Compares
    /// in constant time: keys are secrets.
    pub(crate) fn proves(&self, secret: Option<&[u8; 16]>) -> bool {
        use subtle::ConstantTimeEq;
        secret.is_some_and(|secret| self.secret.ct_eq(secret).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchboard_core::NodeId;

    #[test]
    fn keys_survive_their_text_form_and_garbage_is_refused() {
        let session = SessionId {
            node: NodeId(0x8f03_aa12),
            shard: 1,
            slot: 44,
            generation: 5,
        };
        let key = Key {
            session,
            secret: *b"0123456789abcdef",
        };
        assert!(Key::parse(&key.to_text()).is_some_and(|k| k == key));
        for bad in [
            "",
            ".",
            "x",
            "8f03aa12-1-2c-5.zz",
            "8f03aa12-1-2c-5.30",
            &format!("{}0", key.to_text()),
        ] {
            assert!(Key::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_key_proves_its_secret_and_nothing_else() {
        let session = SessionId {
            node: NodeId(1),
            shard: 0,
            slot: 0,
            generation: 0,
        };
        let zeros = Key {
            session,
            secret: [0; 16],
        };
        assert!(zeros.proves(Some(&[0; 16])));
        assert!(!zeros.proves(Some(&[1; 16])));
        assert!(!zeros.proves(None), "a session without a secret was opened");
    }
}
