//! Writing to the terminal. What was asked for goes to standard output, remarks to standard error.

use std::borrow::Cow;
use std::fmt::{Arguments, Write as _};
use std::io::{self, Write};

/// Writes a line to standard output, at once: whoever reads a pipe waits for it.
///
/// # Errors
/// Nobody reads any more, most often.
pub(super) fn line(text: Arguments<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_fmt(text)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Writes a remark to standard error, as [`plain`] text. That nobody reads remarks is no failure.
pub(super) fn note(text: Arguments<'_>) {
    let text = text.to_string();
    let mut out = io::stderr().lock();
    drop(
        out.write_all(plain(&text).as_bytes())
            .and_then(|()| out.write_all(b"\n")),
    );
}

/// The text without what a terminal would obey: names and reasons are other people's, and may hold escape sequences.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(obeyed) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if obeyed(c) {
            let _ = write!(plain, "{}", c.escape_default());
        } else {
            plain.push(c);
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_finds_nothing_to_obey() {
        assert_eq!(plain("two\n\tlines, \u{e4}"), "two\n\tlines, \u{e4}");
        assert_eq!(
            plain("\u{1b}[2Jgone\u{9b}1m\r\u{7}"),
            "\\u{1b}[2Jgone\\u{9b}1m\\r\\u{7}"
        );
    }
}
