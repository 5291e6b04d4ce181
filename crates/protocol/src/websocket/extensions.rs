//! `Sec-WebSocket-Extensions`: which offer of permessage-deflate is taken (RFC 6455, section 9.1; RFC 7692, section 7).

use super::deflate::WINDOW_BITS;

const ACCEPTED: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
const ACCEPTED_WITH_WINDOW: &str = "permessage-deflate; server_no_context_takeover; \
     client_no_context_takeover; server_max_window_bits=15";

/// The header breaks its grammar, which RFC 6455 has the server answer with a 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed Sec-WebSocket-Extensions")]
pub struct MalformedExtensions;

/// Chooses among the client's offers and gives the header of the answer, or `None` to go without compression.
///
/// `offers` is the request's header; several lines are given joined by `, `. The first offer that can be met is taken,
/// always without context takeover on either side. An offer with an unknown, repeated or ill-valued parameter is
/// declined, as is one that wants a smaller window of the server than the frames shared by all its clients need.
///
/// # Errors
///
/// [`MalformedExtensions`] when `offers` is not a list of extensions.
pub fn negotiate(offers: &str) -> Result<Option<&'static str>, MalformedExtensions> {
    let mut parser = Parser { rest: offers };
    let mut answer = None;
    loop {
        // The list rule of HTTP allows empty elements.
        parser.skip_blank();
        if !parser.eat(',') {
            if parser.rest.is_empty() {
                return Ok(answer);
            }
            // The whole header must be well-formed, also what comes after the offer that was taken.
            let offered = parse_offer(&mut parser)?;
            answer = answer.or(offered);
            parser.skip_blank();
            if !parser.rest.is_empty() && !parser.eat(',') {
                return Err(MalformedExtensions);
            }
        }
    }
}

/// Reads one extension with its parameters; gives the answer if it can be accepted.
fn parse_offer(parser: &mut Parser<'_>) -> Result<Option<&'static str>, MalformedExtensions> {
    let deflate = parser.token()?.eq_ignore_ascii_case("permessage-deflate");
    let mut parameters = Parameters::default();
    let mut acceptable = deflate;
    loop {
        parser.skip_blank();
        if !parser.eat(';') {
            break;
        }
        parser.skip_blank();
        let name = parser.token()?;
        parser.skip_blank();
        let value = if parser.eat('=') {
            parser.skip_blank();
            Some(parser.value()?)
        } else {
            None
        };
        acceptable &= parameters.admit(name, value.as_deref());
    }
    Ok(acceptable.then_some(if parameters.server_max_window_bits {
        ACCEPTED_WITH_WINDOW
    } else {
        ACCEPTED
    }))
}

/// Which parameters an offer has had.
#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one for each parameter of the RFC"
)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: bool,
    client_max_window_bits: bool,
}

impl Parameters {
    /// Notes a parameter and says whether the offer can still be accepted.
    fn admit(&mut self, name: &str, value: Option<&str>) -> bool {
        let (seen, fits) = match (name, value) {
            ("server_no_context_takeover", None) => (&mut self.server_no_context_takeover, true),
            ("client_no_context_takeover", None) => (&mut self.client_no_context_takeover, true),
            ("server_max_window_bits", Some(value)) => (
                &mut self.server_max_window_bits,
                window_bits(value) == Some(WINDOW_BITS),
            ),
            // A hint, and any window the client may choose is one that this side can inflate.
            ("client_max_window_bits", None) => (&mut self.client_max_window_bits, true),
            ("client_max_window_bits", Some(value)) => (
                &mut self.client_max_window_bits,
                window_bits(value).is_some(),
            ),
            _ => return false,
        };
        let repeated = std::mem::replace(seen, true);
        fits && !repeated
    }
}

/// 8 to 15, without leading zeros.
fn window_bits(value: &str) -> Option<u8> {
    match value {
        "8" => Some(8),
        "9" => Some(9),
        "10" => Some(10),
        "11" => Some(11),
        "12" => Some(12),
        "13" => Some(13),
        "14" => Some(14),
        "15" => Some(15),
        _ => None,
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn skip_blank(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn eat(&mut self, expected: char) -> bool {
        match self.rest.strip_prefix(expected) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn token(&mut self) -> Result<&'a str, MalformedExtensions> {
        let end = self
            .rest
            .find(|c| !is_token_char(c))
            .unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        if token.is_empty() {
            Err(MalformedExtensions)
        } else {
            Ok(token)
        }
    }

    /// A token, or one in quotes (RFC 6455: the unquoted value must be a token).
    fn value(&mut self) -> Result<String, MalformedExtensions> {
        if !self.eat('"') {
            return self.token().map(str::to_owned);
        }
        let mut value = String::new();
        let mut chars = self.rest.chars();
        loop {
            match chars.next().ok_or(MalformedExtensions)? {
                '"' => break,
                '\\' => value.push(chars.next().ok_or(MalformedExtensions)?),
                other => value.push(other),
            }
        }
        self.rest = chars.as_str();
        if value.is_empty() || !value.chars().all(is_token_char) {
            return Err(MalformedExtensions);
        }
        Ok(value)
    }
}

fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::{ACCEPTED, ACCEPTED_WITH_WINDOW, MalformedExtensions, negotiate};

    #[track_caller]
    fn check(offers: &str, expected: Option<&str>) {
        assert_eq!(negotiate(offers), Ok(expected), "{offers}");
    }

    #[test]
    fn usual_offers_are_accepted() {
        check("permessage-deflate", Some(ACCEPTED));
        check("Permessage-Deflate", Some(ACCEPTED));
        check("permessage-deflate; client_max_window_bits", Some(ACCEPTED));
        check(
            "permessage-deflate;client_max_window_bits=10 ; server_no_context_takeover",
            Some(ACCEPTED),
        );
        check(
            "permessage-deflate; client_no_context_takeover; client_max_window_bits=\"12\"",
            Some(ACCEPTED),
        );
        check(
            "permessage-deflate; client_max_window_bits=\"1\\2\"",
            Some(ACCEPTED),
        );
    }

    #[test]
    fn window_of_the_server_is_answered_when_it_was_offered() {
        check(
            "permessage-deflate; server_max_window_bits=15",
            Some(ACCEPTED_WITH_WINDOW),
        );
        check(
            "permessage-deflate; server_max_window_bits=\"15\"",
            Some(ACCEPTED_WITH_WINDOW),
        );
        check("permessage-deflate; server_max_window_bits=10", None);
    }

    #[test]
    fn first_offer_that_can_be_met_wins() {
        check(
            "x-webkit-deflate-frame, permessage-deflate; server_max_window_bits=9, permessage-deflate",
            Some(ACCEPTED),
        );
        check(
            "permessage-deflate; server_max_window_bits=15, permessage-deflate",
            Some(ACCEPTED_WITH_WINDOW),
        );
        check(
            "permessage-bzip2; x=\"a\", ,permessage-deflate,",
            Some(ACCEPTED),
        );
    }

    #[test]
    fn offers_with_bad_parameters_are_declined() {
        for offer in [
            "permessage-deflate; mystery",
            "permessage-deflate; mystery=1",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover=true",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=015",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_max_window_bits=+9",
            "permessage-deflate-ish",
            "",
            " , ",
        ] {
            check(offer, None);
        }
    }

    #[test]
    fn broken_grammar_is_an_error() {
        for offers in [
            "permessage-deflate;",
            "permessage-deflate; =1",
            "permessage-deflate; a=",
            "permessage-deflate; a=\"",
            "permessage-deflate; a=\"\"",
            "permessage-deflate; a=\"b c\"",
            "permessage-deflate client_max_window_bits",
            "permessage-deflate, @",
            "; x",
            "permessage-deflate; a=\"b\\",
        ] {
            assert_eq!(negotiate(offers), Err(MalformedExtensions), "{offers}");
        }
    }
}
