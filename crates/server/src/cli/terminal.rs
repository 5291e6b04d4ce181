//! Writing to the terminal. What was asked for goes to standard output, remarks to standard error.

use std::fmt::Arguments;
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

/// Writes a remark to standard error. That nobody reads remarks is no failure.
pub(super) fn note(text: Arguments<'_>) {
    let mut out = io::stderr().lock();
    drop(out.write_fmt(text).and_then(|()| out.write_all(b"\n")));
}
