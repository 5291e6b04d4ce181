//! Which pages may use a cookie: the defence against cross-site WebSocket hijacking.
//!
//! A browser sends the user's cookie with a WebSocket or an EventSource of *any* page, and no same-origin policy keeps that
//! page from reading what comes back (for a WebSocket). What it cannot forge is the `Origin` header.

use std::fmt;

/// The most entries of a list of origins.
pub const ORIGINS_MAX: usize = 256;

/// Origins whose pages may use the cookie.
///
/// An entry is an exact origin (`https://app.example.com`, with `:port` unless it is the scheme's own) or has `*` for the first
/// label of the host (`https://*.example.com`), which stands for exactly one label: `a.example.com`, but neither `example.com`
/// nor `a.b.example.com`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedOrigins {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Exact(ParsedOrigin),
    /// The host without its first label, with the dot before it.
    OneLabel {
        suffix: ParsedOrigin,
    },
}

/// Why a list of origins was refused at configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginConfigError {
    /// An entry lets every page in.
    #[error("`*` would let every page use its visitor's cookie: name the origins")]
    Any,
    /// An entry is no origin.
    #[error(
        "{0:?} is no origin: write `https://host`, `https://host:port` or `https://*.host`, without a path"
    )]
    NoOrigin(String),
    /// There are too many entries.
    #[error("there are more than {ORIGINS_MAX} origins")]
    TooMany,
}

/// Why a request that came with a cookie is refused: an HTTP 403.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// There is no `Origin`, and nothing else shows that the page is ours.
    #[error("a request with a cookie must come with an Origin header")]
    Missing,
    /// The `Origin` is not in the list.
    #[error("pages of this origin may not use the cookie: it is not among the allowed origins")]
    NotAllowed,
}

impl AllowedOrigins {
    /// Parses a list of origins. An empty one allows none.
    ///
    /// # Errors
    /// See [`OriginConfigError`].
    pub fn parse<T: AsRef<str>>(entries: &[T]) -> Result<Self, OriginConfigError> {
        if entries.len() > ORIGINS_MAX {
            return Err(OriginConfigError::TooMany);
        }
        let entries = entries
            .iter()
            .map(|entry| parse_entry(entry.as_ref()))
            .collect::<Result<_, _>>()?;
        Ok(Self { entries })
    }

    /// Tells whether `origin`, an `Origin` header's value, is in the list. `null` never is.
    pub fn contains(&self, origin: &str) -> bool {
        ParsedOrigin::parse(origin)
            .is_some_and(|origin| self.entries.iter().any(|entry| entry.matches(&origin)))
    }
}

/// Checks where a request that came with a cookie comes from.
///
/// `origin` is the `Origin` header. `fetch_site` is `Sec-Fetch-Site`: browsers leave `Origin` out of a GET to the page's own
/// origin (an EventSource, a poll), and say `same-origin` there instead; no page can set that header.
///
/// # Errors
/// See [`OriginError`].
pub fn check_origin(
    origin: Option<&str>,
    fetch_site: Option<&str>,
    allowed: &AllowedOrigins,
) -> Result<(), OriginError> {
    match origin {
        Some(origin) if allowed.contains(origin) => Ok(()),
        Some(_) => Err(OriginError::NotAllowed),
        None if fetch_site == Some("same-origin") => Ok(()),
        None => Err(OriginError::Missing),
    }
}

impl Entry {
    fn matches(&self, origin: &ParsedOrigin) -> bool {
        match self {
            Self::Exact(exact) => exact == origin,
            Self::OneLabel { suffix } => {
                let label = origin.host.strip_suffix(suffix.host.as_str());
                (&suffix.scheme, suffix.port) == (&origin.scheme, origin.port)
                    && label.is_some_and(|label| !label.is_empty() && !label.contains('.'))
            }
        }
    }
}

fn parse_entry(text: &str) -> Result<Entry, OriginConfigError> {
    if text == "*" {
        return Err(OriginConfigError::Any);
    }
    let bad = || OriginConfigError::NoOrigin(text.to_owned());
    let Some((scheme, host)) = text.split_once("://*.") else {
        return ParsedOrigin::parse(text).map(Entry::Exact).ok_or_else(bad);
    };
    let mut suffix = ParsedOrigin::parse(&format!("{scheme}://{host}")).ok_or_else(bad)?;
    suffix.host.insert(0, '.');
    Ok(Entry::OneLabel { suffix })
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ParsedOrigin {
    scheme: String,
    host: String,
    /// Nothing for the scheme's own port, as browsers write it.
    port: Option<u16>,
}

impl ParsedOrigin {
    /// Parses `scheme://host[:port]` (RFC 6454, section 6.2).
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (address, rest) = rest.split_once(']')?;
                let address: std::net::Ipv6Addr = address.parse().ok()?;
                (format!("[{address}]"), rest)
            }
            None => match rest.find(':') {
                Some(at) => (rest[..at].to_ascii_lowercase(), &rest[at..]),
                None => (rest.to_ascii_lowercase(), ""),
            },
        };
        let port = match port.strip_prefix(':') {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse::<u16>().ok()?)
            }
            None if port.is_empty() => None,
            _ => return None,
        };
        let scheme_good = !scheme.is_empty()
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let label_good = |label: &str| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        let host_good = host.starts_with('[') || host.split('.').all(label_good);
        if !scheme_good || !host_good {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        let own_port = match scheme.as_str() {
            "https" => Some(443),
            "http" => Some(80),
            _ => None,
        };
        Some(Self {
            scheme,
            host,
            port: port.filter(|_| port != own_port),
        })
    }
}

impl fmt::Display for AllowedOrigins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, entry) in self.entries.iter().enumerate() {
            let (origin, star) = match entry {
                Entry::Exact(origin) => (origin, ""),
                Entry::OneLabel { suffix } => (suffix, "*"),
            };
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{}://{star}{}", origin.scheme, origin.host)?;
            if let Some(port) = origin.port {
                write!(f, ":{port}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_origins_match_themselves_only() {
        let allowed = AllowedOrigins::parse(&[
            "https://app.example.com",
            "http://localhost:3000",
            "http://[::1]:80",
        ])
        .unwrap();
        for yes in [
            "https://app.example.com",
            "https://APP.example.com:443",
            "http://localhost:3000",
            "http://[::1]",
        ] {
            assert!(allowed.contains(yes), "{yes}");
        }
        for no in [
            "null",
            "",
            "https://app.example.com.evil.com",
            "https://evil.com",
            "http://app.example.com",
            "https://app.example.com:8443",
            "https://xapp.example.com",
            "https://app.example.com/",
            "app.example.com",
            "https://app.example.com@evil.com",
            "https://app.example.com evil",
            "http://localhost",
            "http://[::2]",
            "https://app.example.com:+443",
            "https://app.example.com:99999",
            "http://[::1]x",
        ] {
            assert!(!allowed.contains(no), "{no}");
        }
        assert_eq!(
            allowed.to_string(),
            "https://app.example.com, http://localhost:3000, http://[::1]"
        );
    }

    #[test]
    fn a_wildcard_stands_for_one_label() {
        let allowed = AllowedOrigins::parse(&["https://*.example.com"]).unwrap();
        for yes in ["https://a.example.com", "https://pr-12.example.com"] {
            assert!(allowed.contains(yes), "{yes}");
        }
        for no in [
            "https://example.com",
            "https://.example.com",
            "https://a.b.example.com",
            "https://evilexample.com",
            "http://a.example.com",
            "https://a.example.com:8443",
            "https://a.example.com.evil.com",
            "https://*.example.com",
        ] {
            assert!(!allowed.contains(no), "{no}");
        }
        assert_eq!(allowed.to_string(), "https://*.example.com");
    }

    #[test]
    fn entries_that_are_no_origins_are_refused() {
        assert_eq!(AllowedOrigins::parse(&["*"]), Err(OriginConfigError::Any));
        for bad in [
            "",
            "null",
            "example.com",
            "https://",
            "https://*",
            "https://*.",
            "https://a.*.com",
            "https://*a.com",
            "https://a.com/x",
            "https://a.com:",
            "://a",
        ] {
            assert_eq!(
                AllowedOrigins::parse(&[bad]),
                Err(OriginConfigError::NoOrigin(bad.to_owned())),
                "{bad:?}"
            );
        }
        assert_eq!(
            AllowedOrigins::parse(&["https://a.com"; ORIGINS_MAX + 1]),
            Err(OriginConfigError::TooMany)
        );
    }

    #[test]
    fn a_cookie_needs_an_origin_or_the_browsers_word_that_the_page_is_ours() {
        let allowed = AllowedOrigins::parse(&["https://app.example.com"]).unwrap();
        let check = |origin, fetch_site| check_origin(origin, fetch_site, &allowed);
        assert_eq!(
            check(Some("https://app.example.com"), Some("same-site")),
            Ok(())
        );
        assert_eq!(
            check(Some("https://evil.com"), Some("cross-site")),
            Err(OriginError::NotAllowed)
        );
        assert_eq!(
            check(Some("https://evil.com"), Some("same-origin")),
            Err(OriginError::NotAllowed)
        );
        assert_eq!(check(Some("null"), None), Err(OriginError::NotAllowed));
        assert_eq!(check(None, None), Err(OriginError::Missing));
        for site in ["cross-site", "same-site", "none", ""] {
            assert_eq!(check(None, Some(site)), Err(OriginError::Missing), "{site}");
        }
        assert_eq!(check(None, Some("same-origin")), Ok(()));
        assert_eq!(
            check_origin(
                Some("https://app.example.com"),
                None,
                &AllowedOrigins::default()
            ),
            Err(OriginError::NotAllowed)
        );
    }
}
