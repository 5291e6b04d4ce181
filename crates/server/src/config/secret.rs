//! A text that no output shows.

use std::fmt;

use serde::Deserialize;

/// What stands where a secret would.
pub(crate) const REDACTED: &str = "[redacted]";

/// A secret of the configuration. Its `Debug` does not show it, and it has no `Display`.
#[derive(Clone, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub(crate) struct Secret(String);

impl Secret {
    /// The secret itself, for whoever checks or signs with it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}
