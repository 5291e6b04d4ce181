//! The opening handshake, seen from the server (RFC 6455, section 4.2), on plain strings.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha1::{Digest, Sha1};

const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The parts of a request that the handshake looks at. A header sent in several lines is given joined by `, `.
#[derive(Debug, Clone, Copy, Default)]
pub struct UpgradeRequest<'a> {
    /// For example `GET`.
    pub method: &'a str,
    /// `Upgrade`.
    pub upgrade: Option<&'a str>,
    /// `Connection`.
    pub connection: Option<&'a str>,
    /// `Sec-WebSocket-Version`.
    pub version: Option<&'a str>,
    /// `Sec-WebSocket-Key`.
    pub key: Option<&'a str>,
}

/// Why a request does not become a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The method is not GET.
    #[error("a WebSocket is opened with GET")]
    Method,
    /// `Upgrade: websocket` or `Connection: Upgrade` is missing: an ordinary request, or a proxy that removed them.
    #[error("not a WebSocket upgrade: `Upgrade: websocket` and `Connection: Upgrade` are needed")]
    NotUpgrade,
    /// A version other than 13, or none.
    #[error("only version 13 of the WebSocket protocol is spoken here")]
    Version,
    /// No key, or one that is not 16 bytes in base64.
    #[error("Sec-WebSocket-Key must be 16 bytes in base64")]
    Key,
}

impl HandshakeError {
    /// The HTTP status of the refusal, for example 426.
    pub fn status(self) -> u16 {
        match self {
            Self::Method => 405,
            Self::NotUpgrade | Self::Version => 426,
            Self::Key => 400,
        }
    }

    /// The headers that this status obliges the server to send, as names in lower case and values.
    pub fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Method => &[("allow", "GET")],
            Self::NotUpgrade | Self::Version => {
                &[("upgrade", "websocket"), ("sec-websocket-version", "13")]
            }
            Self::Key => &[],
        }
    }
}

/// Checks a request and gives the `Sec-WebSocket-Accept` of the answer.
///
/// # Errors
///
/// The first of [`HandshakeError`]'s variants, in their order, that applies.
pub fn accept(request: &UpgradeRequest<'_>) -> Result<String, HandshakeError> {
    if request.method != "GET" {
        return Err(HandshakeError::Method);
    }
    if !has_token(request.upgrade, "websocket") || !has_token(request.connection, "upgrade") {
        return Err(HandshakeError::NotUpgrade);
    }
    if request.version.map(str::trim) != Some("13") {
        return Err(HandshakeError::Version);
    }
    let key = request.key.map(str::trim).ok_or(HandshakeError::Key)?;
    match BASE64_STANDARD.decode(key) {
        Ok(bytes) if bytes.len() == 16 => Ok(accept_key(key)),
        _ => Err(HandshakeError::Key),
    }
}

/// Derives `Sec-WebSocket-Accept` from `Sec-WebSocket-Key`.
pub fn accept_key(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(GUID.as_bytes());
    BASE64_STANDARD.encode(hash.finalize())
}

fn has_token(header: Option<&str>, token: &str) -> bool {
    header.is_some_and(|list| {
        list.split(',')
            .any(|item| item.trim().eq_ignore_ascii_case(token))
    })
}

#[cfg(test)]
mod tests {
    use super::{HandshakeError, UpgradeRequest, accept, accept_key};

    const GOOD: UpgradeRequest<'static> = UpgradeRequest {
        method: "GET",
        upgrade: Some("websocket"),
        connection: Some("Upgrade"),
        version: Some("13"),
        key: Some("dGhlIHNhbXBsZSBub25jZQ=="),
    };

    #[track_caller]
    fn refused(request: UpgradeRequest<'_>, error: HandshakeError, status: u16) {
        assert_eq!(accept(&request), Err(error), "{request:?}");
        assert_eq!(error.status(), status);
    }

    #[test]
    fn key_of_the_rfc() {
        assert_eq!(
            accept_key("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
        assert_eq!(accept(&GOOD).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn tokens_are_lists_in_any_case() {
        let request = UpgradeRequest {
            upgrade: Some("h2c , WebSocket"),
            connection: Some("keep-alive, UPGRADE"),
            ..GOOD
        };
        assert!(accept(&request).is_ok());
    }

    #[test]
    fn each_fault_has_its_status() {
        refused(
            UpgradeRequest {
                method: "POST",
                ..GOOD
            },
            HandshakeError::Method,
            405,
        );
        for upgrade in [None, Some("h2c"), Some("websockets")] {
            refused(
                UpgradeRequest { upgrade, ..GOOD },
                HandshakeError::NotUpgrade,
                426,
            );
        }
        for connection in [None, Some("close"), Some("no-upgrade")] {
            refused(
                UpgradeRequest { connection, ..GOOD },
                HandshakeError::NotUpgrade,
                426,
            );
        }
        for version in [None, Some("8"), Some("13, 8"), Some("")] {
            refused(
                UpgradeRequest { version, ..GOOD },
                HandshakeError::Version,
                426,
            );
        }
        for key in [
            None,
            Some(""),
            Some("c2hvcnQ="),
            Some("not base64!"),
            Some("dGhlIHNhbXBsZSBub25jZQ"),
        ] {
            refused(UpgradeRequest { key, ..GOOD }, HandshakeError::Key, 400);
        }
    }

    #[test]
    fn refused_version_names_the_one_spoken() {
        assert!(
            HandshakeError::Version
                .headers()
                .contains(&("sec-websocket-version", "13"))
        );
        assert!(
            HandshakeError::NotUpgrade
                .headers()
                .contains(&("upgrade", "websocket"))
        );
    }
}
