//! Finds the credential among the parts of a request, in the order of the protocol: `Authorization: Bearer`, the
//! subprotocol `switchboard.token.<jwt>`, the cookie, `token=` in the query.
//!
//! The first place that has one decides. One that is there but malformed is an error, not a reason to look further: else a
//! client's mistake would be answered with somebody else's rights.

use std::fmt;

/// What a subprotocol that carries a token begins with. The hub must never choose such a one as the subprotocol of the
/// connection.
pub const TOKEN_SUBPROTOCOL_PREFIX: &str = "switchboard.token.";

/// The parts of a request that may carry a credential, as plain texts. `Default` has none.
#[derive(Clone, Copy, Default)]
pub struct CredentialInput<'a> {
    /// The values of all `Authorization` headers.
    pub authorization: &'a [&'a str],
    /// The values of all `Sec-WebSocket-Protocol` headers, each a list with commas.
    pub subprotocols: &'a [&'a str],
    /// The values of all `Cookie` headers (HTTP/2 may split them).
    pub cookies: &'a [&'a str],
    /// The name of the cookie that carries tokens; without one, cookies are not looked at.
    pub cookie_name: Option<&'a str>,
    /// The query's `token`, percent-decoded.
    pub query_token: Option<&'a str>,
}

/// Where a credential was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// `Authorization: Bearer`.
    Authorization,
    /// The subprotocol `switchboard.token.<jwt>`.
    Subprotocol,
    /// The cookie. Browsers send it by themselves, so the origin must be checked
    /// ([`check_origin`](crate::check_origin)).
    Cookie,
    /// `token=` in the query.
    Query,
}

impl Source {
    /// The source's name, for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Authorization => "authorization",
            Self::Subprotocol => "subprotocol",
            Self::Cookie => "cookie",
            Self::Query => "query",
        }
    }

    /// Tells whether browsers send the credential without the page knowing it.
    pub fn needs_origin_check(self) -> bool {
        self == Self::Cookie
    }
}

/// A credential that was found; nothing of it is to be believed yet. Its `Debug` does not show it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Credential<'a> {
    /// The token.
    pub text: &'a str,
    /// Where it was.
    pub source: Source,
}

/// A credential that is there but malformed. The message does not quote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message is its documentation")]
pub enum CredentialError {
    #[error("the Authorization header must be `Bearer <token>`")]
    Authorization,
    #[error("there is more than one Authorization header")]
    ManyAuthorizations,
    #[error("the subprotocol `switchboard.token.` must end with the token")]
    Subprotocol,
    #[error("there is more than one `switchboard.token.` subprotocol")]
    ManySubprotocols,
    #[error("the cookie is no token")]
    Cookie,
    #[error("the query's `token` is no token")]
    Query,
}

/// Finds the credential, if there is one.
///
/// # Errors
/// See [`CredentialError`]: an HTTP 401 (a malformed credential is none).
pub fn extract<'a>(input: &CredentialInput<'a>) -> Result<Option<Credential<'a>>, CredentialError> {
    let found = |text, source| Ok(Some(Credential { text, source }));
    match input.authorization {
        [] => {}
        [header] => return found(bearer(header)?, Source::Authorization),
        _ => return Err(CredentialError::ManyAuthorizations),
    }
    if let Some(token) = find_subprotocol(input.subprotocols)? {
        return found(token, Source::Subprotocol);
    }
    if let Some(token) = find_cookie(input.cookies, input.cookie_name) {
        return if is_credential(token) {
            found(token, Source::Cookie)
        } else {
            Err(CredentialError::Cookie)
        };
    }
    match input.query_token {
        Some(token) if is_credential(token) => found(token, Source::Query),
        Some(_) => Err(CredentialError::Query),
        None => Ok(None),
    }
}

/// Takes the credential out of the value of an `Authorization` header (RFC 6750, section 2.1).
///
/// # Errors
/// [`CredentialError::Authorization`] when it is not `Bearer` and one credential.
pub fn bearer(header: &str) -> Result<&str, CredentialError> {
    let (scheme, credential) = header
        .trim()
        .split_once(' ')
        .ok_or(CredentialError::Authorization)?;
    let credential = credential.trim_start();
    if scheme.eq_ignore_ascii_case("bearer") && is_credential(credential) {
        Ok(credential)
    } else {
        Err(CredentialError::Authorization)
    }
}

fn find_subprotocol<'a>(headers: &[&'a str]) -> Result<Option<&'a str>, CredentialError> {
    let mut tokens = headers
        .iter()
        .flat_map(|header| header.split(','))
        .filter_map(|offer| offer.trim().strip_prefix(TOKEN_SUBPROTOCOL_PREFIX));
    match (tokens.next(), tokens.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(CredentialError::ManySubprotocols),
        (Some(token), None) if is_credential(token) => Ok(Some(token)),
        (Some(_), None) => Err(CredentialError::Subprotocol),
    }
}

/// The value of the cookie (RFC 6265, section 5.4). The first of several of a name is the one with the longest path. An empty
/// one is what a log-out leaves behind, so it counts as none.
fn find_cookie<'a>(headers: &[&'a str], name: Option<&str>) -> Option<&'a str> {
    let name = name?;
    headers
        .iter()
        .flat_map(|header| header.split(';'))
        .filter_map(|pair| pair.split_once('='))
        .find(|(found, _)| found.trim() == name)
        .map(|(_, value)| unquote(value.trim()))
        .filter(|value| !value.is_empty())
}

fn unquote(value: &str) -> &str {
    value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(value)
}

/// A `b64token` of RFC 6750: what a JWT and every sane API key is written in, and nothing that ends a header.
fn is_credential(text: &str) -> bool {
    let allowed = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
    };
    !text.is_empty() && text.bytes().all(allowed)
}

impl fmt::Debug for CredentialInput<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialInput")
            .field("cookie_name", &self.cookie_name)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: CredentialInput<'_> = CredentialInput {
        authorization: &["Bearer a.a.a"],
        subprotocols: &["switchboard.v1.json, switchboard.token.b.b.b"],
        cookies: &["theme=dark; session=c.c.c"],
        cookie_name: Some("session"),
        query_token: Some("d.d.d"),
    };

    fn check(
        input: CredentialInput<'_>,
        expected: Result<Option<(&str, Source)>, CredentialError>,
    ) {
        let found = extract(&input).map(|found| found.map(|found| (found.text, found.source)));
        assert_eq!(found, expected);
    }

    #[test]
    fn places_are_looked_at_in_the_order_of_the_protocol() {
        let mut input = FULL;
        check(input, Ok(Some(("a.a.a", Source::Authorization))));
        input.authorization = &[];
        check(input, Ok(Some(("b.b.b", Source::Subprotocol))));
        input.subprotocols = &["switchboard.v1.json"];
        check(input, Ok(Some(("c.c.c", Source::Cookie))));
        input.cookie_name = None;
        check(input, Ok(Some(("d.d.d", Source::Query))));
        input.query_token = None;
        check(input, Ok(None));
    }

    #[test]
    fn a_malformed_credential_is_an_error_and_not_skipped() {
        for bad in [
            "",
            "Bearer",
            "Bearer ",
            "Basic dXNlcjpwdw==",
            "a.a.a",
            "Bearer a b",
            "Bearer a,b",
            "Bearer\ta",
            "Bearer ü",
        ] {
            check(
                CredentialInput {
                    authorization: &[bad],
                    ..FULL
                },
                Err(CredentialError::Authorization),
            );
        }
        let two = &["Bearer a", "Bearer a"];
        check(
            CredentialInput {
                authorization: two,
                ..FULL
            },
            Err(CredentialError::ManyAuthorizations),
        );
        let rest = CredentialInput {
            authorization: &[],
            ..FULL
        };
        check(
            CredentialInput {
                subprotocols: &["switchboard.token."],
                ..rest
            },
            Err(CredentialError::Subprotocol),
        );
        let two = &["switchboard.token.a", "x, switchboard.token.b"];
        check(
            CredentialInput {
                subprotocols: two,
                ..rest
            },
            Err(CredentialError::ManySubprotocols),
        );
        let rest = CredentialInput {
            subprotocols: &[],
            ..rest
        };
        check(
            CredentialInput {
                cookies: &["session=a b"],
                ..rest
            },
            Err(CredentialError::Cookie),
        );
        let rest = CredentialInput {
            cookies: &[],
            ..rest
        };
        for bad in ["", "a b", "a\"b"] {
            check(
                CredentialInput {
                    query_token: Some(bad),
                    ..rest
                },
                Err(CredentialError::Query),
            );
        }
    }

    #[test]
    fn the_scheme_is_read_without_regard_to_case() {
        for good in [
            "Bearer a.b.c",
            "bearer a.b.c",
            "BEARER   a.b.c",
            " Bearer a.b.c ",
        ] {
            assert_eq!(bearer(good), Ok("a.b.c"), "{good:?}");
        }
    }

    #[test]
    fn cookies_are_found_wherever_they_stand() {
        let rest = CredentialInput {
            cookie_name: Some("session"),
            ..CredentialInput::default()
        };
        for cookies in [
            &["session=c.c.c"][..],
            &["a=b;session=c.c.c;session=d"],
            &["a=b", " session = \"c.c.c\" "],
            &["xsession=x; session=c.c.c"],
            &["Session=x; session=c.c.c"],
        ] {
            check(
                CredentialInput { cookies, ..rest },
                Ok(Some(("c.c.c", Source::Cookie))),
            );
        }
        for cookies in [
            &["session="][..],
            &["session=\"\""],
            &["session"],
            &["sessions=x"],
            &[],
        ] {
            check(CredentialInput { cookies, ..rest }, Ok(None));
        }
    }

    #[test]
    fn debug_shows_no_credential() {
        let shown = format!("{FULL:?} {:?}", extract(&FULL));
        assert!(
            !["a.a.a", "b.b.b", "c.c.c", "d.d.d"]
                .iter()
                .any(|token| shown.contains(token)),
            "{shown}"
        );
    }
}
