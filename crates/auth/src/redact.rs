//! Takes secrets out of a text that goes to a log.

/// What stands where a secret was.
const MARK: &str = "[redacted]";

/// What comes before a secret, in lower case; the secret goes on to the next character that ends a value.
///
/// `token=` also ends `access_token=`; `key=` is a session's key, which lets its bearer send that session's commands.
const BEFORE: [&str; 10] = [
    "bearer ",
    "switchboard.token.",
    "token=",
    "token%3d",
    "key=",
    "key%3d",
    "\"token\":\"",
    "\"token\": \"",
    "\"key\":\"",
    "\"key\": \"",
];

/// What every JWT begins with: `{"` in base64.
const JWT_START: &str = "eyJ";

/// A text without its tokens: values of `token=` and `key=`, bearer credentials, token subprotocols, and whatever looks like
/// a JWT, wherever it stands.
///
/// ```
/// assert_eq!(switchboard_auth::redact("/v1/sse?token=eyJhbGciOi.e30.c2ln&channel=a"), "/v1/sse?token=[redacted]&channel=a");
/// ```
pub fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(before) = BEFORE.iter().find(|before| starts_with(rest, before)) {
            let (kept, value) = rest.split_at(before.len());
            let value = value.trim_start_matches(' ');
            let end = value.find(ends_value).unwrap_or(value.len());
            out.push_str(kept);
            if end > 0 {
                out.push_str(MARK);
            }
            rest = &value[end..];
        } else if rest.starts_with(JWT_START) {
            out.push_str(MARK);
            rest = &rest[rest.find(|c: char| !is_jwt(c)).unwrap_or(rest.len())..];
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

fn starts_with(text: &str, lower: &str) -> bool {
    text.as_bytes()
        .get(..lower.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(lower.as_bytes()))
}

fn ends_value(c: char) -> bool {
    c.is_whitespace() || matches!(c, '&' | '#' | '"' | '\'' | ';' | ',' | '<' | '>' | '\\')
}

fn is_jwt(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl-_";

    #[test]
    fn secrets_go_and_the_rest_stays() {
        let check = |text: &str, expected: &str| {
            let text = text.replace("JWT", JWT);
            assert_eq!(redact(&text), expected);
            assert_eq!(
                redact(expected),
                expected,
                "redacting twice is redacting once"
            );
        };
        check(
            "GET /v1/ws?token=JWT&channel=a HTTP/1.1",
            "GET /v1/ws?token=[redacted]&channel=a HTTP/1.1",
        );
        check(
            "/v1/ws?channel=a&Token=opaque",
            "/v1/ws?channel=a&Token=[redacted]",
        );
        check(
            "/x?access_token=opaque#frag",
            "/x?access_token=[redacted]#frag",
        );
        check("/x?token=", "/x?token=");
        check("/x?a=1&token=&b=2", "/x?a=1&token=&b=2");
        check(
            "/x?next=%2Fy%3Ftoken%3Dopaque%26b",
            "/x?next=%2Fy%3Ftoken%3D[redacted]",
        );
        check(
            "POST /v1/commands?key=8f03aa12-0-1 ok",
            "POST /v1/commands?key=[redacted] ok",
        );
        check(
            "authorization: Bearer sk_live~1+/= next",
            "authorization: Bearer [redacted] next",
        );
        check(
            "authorization: BEARER   JWT",
            "authorization: BEARER [redacted]",
        );
        check(
            "offers switchboard.v1.json, switchboard.token.JWT, x",
            "offers switchboard.v1.json, switchboard.token.[redacted], x",
        );
        check(
            "cookie: s=JWT; theme=dark",
            "cookie: s=[redacted]; theme=dark",
        );
        check("got 'JWT'", "got '[redacted]'");
        check(
            r#"{"refresh":{"token":"opaque"}}"#,
            r#"{"refresh":{"token":"[redacted]"}}"#,
        );
        check(
            r#"{"open": {"key": "8f03aa12-0-1", "token": "opaque"}}"#,
            r#"{"open": {"key": "[redacted]", "token": "[redacted]"}}"#,
        );
        check(
            "/x?next=%2Fv1%2Fpoll%3Fkey%3D8f03aa12-0-1%26wait",
            "/x?next=%2Fv1%2Fpoll%3Fkey%3D[redacted]",
        );
        check("two JWT and JWT.", "two [redacted] and [redacted]");
        check("nothing to hide: grüße 👋", "nothing to hide: grüße 👋");
        check("token=ü👋&ö", "token=[redacted]&ö");
        check("", "");
    }

    #[test]
    fn no_part_of_a_token_survives_any_cut() {
        for start in 0..JWT.len() / 3 {
            for prefix in ["token=", "Bearer ", "switchboard.token."] {
                let text = format!("a {prefix}{}", &JWT[start..]);
                assert_eq!(redact(&text), format!("a {prefix}[redacted]"));
            }
        }
    }
}
