//! What is measured, one kind of question a file. Each starts hubs of its own and leaves nothing behind.

pub(crate) mod crowd;
pub(crate) mod fan_out;
pub(crate) mod interference;
pub(crate) mod latency;
pub(crate) mod memory;
pub(crate) mod opening;
pub(crate) mod outcome;
pub(crate) mod publishing;
pub(crate) mod saturated;
pub(crate) mod stage;

use std::path::PathBuf;

/// What all scenarios are given.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// The hub's binary, built with the feature `bench`.
    pub(crate) hub: PathBuf,
    /// The node's benchmark without sockets.
    pub(crate) null_sink: Option<PathBuf>,
    /// Fewer and shorter blocks: for a look, not for the record.
    pub(crate) quick: bool,
}

/// The names of the channels of a scenario.
pub(crate) fn channels(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("b:{n}")).collect()
}
