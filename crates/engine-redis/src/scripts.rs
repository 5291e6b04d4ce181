//! The scripts that the server runs: each is one command and one round trip, and atomic.
//!
//! Called by their digest; a server that does not know it yet (a new one, a restarted one) is sent the source, once.

use std::fmt::Write;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use sha1::{Digest, Sha1};

/// A script.
pub(crate) struct Script {
    pub(crate) source: Bytes,
    pub(crate) digest: Bytes,
}

impl Script {
    fn of(parts: &[&str]) -> Self {
        let source = parts.concat();
        let mut digest = String::with_capacity(40);
        for byte in Sha1::digest(source.as_bytes()) {
            // Writing to a string does not fail.
            let _ = write!(digest, "{byte:02x}");
        }
        Self {
            source: source.into(),
            digest: digest.into(),
        }
    }
}

macro_rules! scripts {
    ($($(#[$docs:meta])* $name:ident = $($file:literal)+;)*) => {
        $($(#[$docs])* pub(crate) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::of(&[$(include_str!(concat!("scripts/", $file))),+]));)*
    };
}

scripts! {
    PUBLISH = "lib.lua" "publish.lua";
    READ = "lib.lua" "read.lua";
    REMOVE = "remove.lua";
    NAMES = "names.lua";
    LIST = "list.lua";
    MARK = "lib.lua" "mark.lua";
    CANARY = "canary.lua";
    COMPARE = "lib.lua" "compare.lua";
    JOIN = "lib.lua" "presence.lua" "join.lua";
    LEAVE = "lib.lua" "presence.lua" "leave.lua";
    GRACE = "lib.lua" "presence.lua" "grace.lua";
    MEMBERS = "lib.lua" "presence.lua" "members.lua";
    COUNT = "count.lua";
    SWEEP = "lib.lua" "presence.lua" "sweep.lua";
    LEASE = "lib.lua" "lease.lua";
    CLAIM = "claim.lua";
    FORGET = "forget.lua";
    NODES = "lib.lua" "nodes.lua";
    DEPART = "depart.lua";
    TELL = "tell.lua";
    REVOKE = "lib.lua" "revoke.lua";
    REVOCATIONS = "revocations.lua";
    TAKE = "take.lua";
}

/// A number, as an argument.
pub(crate) fn number(number: u64) -> Bytes {
    Bytes::from(number.to_string())
}

/// A time, as an argument.
pub(crate) fn millis(duration: Duration) -> Bytes {
    number(milliseconds(duration))
}

/// Milliseconds, at most a century: what is longer is for ever, and scripts add it to the time of day.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    const CENTURY: Duration = Duration::from_hours(100 * 365 * 24);
    duration.min(CENTURY).as_millis() as u64
}
