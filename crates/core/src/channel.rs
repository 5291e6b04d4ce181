//! Channel names and the patterns that grants and API keys match them with.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The longest channel name, in bytes. Names travel in every message and in cursors, which become HTTP headers.
pub const CHANNEL_NAME_BYTES_MAX: usize = 255;

/// A valid channel name, `namespace:rest`, for example `chat:42`.
///
/// Visible ASCII but `"`, `\`, `*` and `,`, at most [`CHANNEL_NAME_BYTES_MAX`] bytes, no empty segment between colons.
/// So a name needs no escaping in JSON, in an SSE field, in a list with commas or in a log line (in a URL it may). A name
/// without a colon is in the namespace of that whole name. Cloning is a reference count.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChannelName(Arc<str>);

/// Why a text is no channel name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelNameError {
    /// The text is empty, or has an empty segment between colons.
    #[error("channel name is empty or has an empty segment")]
    Empty,
    /// The text is longer than [`CHANNEL_NAME_BYTES_MAX`].
    #[error("channel name is longer than {CHANNEL_NAME_BYTES_MAX} bytes")]
    TooLong,
    /// The text has a character that names may not have.
    #[error("channel name has {0:?}, which is not allowed: use visible ASCII except \" \\ * ,")]
    Character(char),
}

impl ChannelName {
    /// Parses a channel name.
    ///
    /// # Errors
    /// See [`ChannelNameError`].
    pub fn parse(text: &str) -> Result<Self, ChannelNameError> {
        check_segments(text, |c| c == '*').map(|()| Self(Arc::from(text)))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The namespace: what stands before the first colon.
    pub fn namespace(&self) -> &str {
        self.0.split(':').next().unwrap_or(&self.0)
    }
}

fn check_segments(text: &str, refused: impl Fn(char) -> bool) -> Result<(), ChannelNameError> {
    if text.len() > CHANNEL_NAME_BYTES_MAX {
        return Err(ChannelNameError::TooLong);
    }
    let bad = |c: char| !c.is_ascii_graphic() || matches!(c, '"' | '\\' | ',') || refused(c);
    if let Some(c) = text.chars().find(|&c| bad(c)) {
        return Err(ChannelNameError::Character(c));
    }
    if text.split(':').any(str::is_empty) {
        Err(ChannelNameError::Empty)
    } else {
        Ok(())
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// Hashes as its text, so that maps keyed by names are searched by `&str`.
impl Hash for ChannelName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Borrow<str> for ChannelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A pattern over channel names, for example `chat:*`, `doc:*:cursors` or `*`.
///
/// Segments are separated by colons. `*` stands for exactly one whole segment; as the last segment it stands for one or
/// more. So `*` matches every channel and `chat:*` matches `chat:42` and `chat:42:typing`, but not `chat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelPattern(Box<str>);

/// Why a text is no channel pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The text breaks the rules of channel names.
    #[error(transparent)]
    Name(#[from] ChannelNameError),
    /// A `*` stands beside other characters of its segment.
    #[error("`*` must be a whole segment of the pattern")]
    PartialWildcard,
}

impl ChannelPattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// See [`PatternError`].
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        check_segments(text, |_| false)?;
        if text
            .split(':')
            .any(|segment| segment.len() > 1 && segment.contains('*'))
        {
            return Err(PatternError::PartialWildcard);
        }
        Ok(Self(text.into()))
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether `channel` matches.
    pub fn matches(&self, channel: &ChannelName) -> bool {
        let mut wanted = self.0.split(':').peekable();
        let mut given = channel.as_str().split(':');
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return true,
                (Some("*"), Some(_)) if wanted.peek().is_none() => return true,
                (Some("*"), Some(_)) => {}
                (Some(w), Some(g)) if w == g => {}
                _ => return false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_need_escaping_or_are_empty_are_refused() {
        for bad in [
            "", ":", "a:", ":a", "a::b", "a b", "a\"b", "a\\b", "chat:*", "ü", "a,b", "a\nb",
        ] {
            assert!(ChannelName::parse(bad).is_err(), "{bad:?} was accepted");
        }
        assert_eq!(
            ChannelName::parse(&"x".repeat(256)),
            Err(ChannelNameError::TooLong)
        );
        for good in ["chat:42", "a", "doc:7:cursors", "user:a@b.c", "x/y+z=~$"] {
            assert_eq!(ChannelName::parse(good).expect(good).as_str(), good);
        }
    }

    #[test]
    fn namespace_is_what_stands_before_the_first_colon() {
        assert_eq!(ChannelName::parse("chat:a:b").unwrap().namespace(), "chat");
        assert_eq!(ChannelName::parse("lobby").unwrap().namespace(), "lobby");
    }

    #[test]
    fn patterns_match_segments() {
        let check = |pattern: &str, yes: &[&str], no: &[&str]| {
            let pattern = ChannelPattern::parse(pattern).unwrap();
            for name in yes {
                assert!(
                    pattern.matches(&ChannelName::parse(name).unwrap()),
                    "{pattern:?} {name}"
                );
            }
            for name in no {
                assert!(
                    !pattern.matches(&ChannelName::parse(name).unwrap()),
                    "{pattern:?} {name}"
                );
            }
        };
        check("*", &["a", "a:b", "a:b:c"], &[]);
        check(
            "chat:*",
            &["chat:1", "chat:1:typing"],
            &["chat", "chatter:1", "other:1"],
        );
        check(
            "doc:*:cursors",
            &["doc:7:cursors"],
            &["doc:cursors", "doc:7:8:cursors", "doc:7:cursors:x"],
        );
        check("chat:42", &["chat:42"], &["chat:421", "chat:42:x"]);
        assert_eq!(
            ChannelPattern::parse("chat:4*"),
            Err(PatternError::PartialWildcard)
        );
        assert!(ChannelPattern::parse("chat::*").is_err());
    }
}
