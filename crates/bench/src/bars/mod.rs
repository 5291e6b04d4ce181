//! The bars: every figure that the project demands of itself, measured, and whether it holds.

mod measure;
mod row;

use anyhow::Result;
use clap::ValueEnum;

pub(crate) use row::{Row, short};

use crate::report;
use crate::scenario::Setting;

/// A question whose answer is one or several rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bar {
    /// One publication at a time, 1,000 and 10,000 WebSockets
    FanOut,
    /// Bursts of 8 on one channel
    Burst,
    /// Bursts of 8 over 8 channels
    BurstChannels,
    /// One publication at a time to event streams
    Sse,
    /// Polls at saturation against event streams
    Poll,
    /// The ratio to the bare loop from 100 to 19,000 subscribers
    Flatness,
    /// User space per delivery without sockets
    NullSink,
    /// Bytes of a quiet session, a subscription, a channel
    Memory,
    /// CPU of 10,000 silent sessions
    IdleCpu,
    /// A publication among 1 and among 1,000,000 channels
    Channels,
    /// PublishStream to nobody
    Stream,
    /// Unary Publish against an empty call
    Unary,
    /// Publish to delivery against an echo
    Latency,
    /// One reader in a hundred stalls
    Stalled,
    /// A small channel beside a fan-out to 15,000
    Beside,
    /// New sessions
    Opening,
    /// Start of the process
    Start,
}

/// Measures the bars asked for (all, or of a quick run those that a minute has room for) and prints them.
///
/// # Errors
/// A scenario could not be run, or the hub lost something.
pub(crate) async fn run(setting: &Setting, only: &[Bar], json: bool) -> Result<bool> {
    let all: Vec<Bar> = if only.is_empty() {
        let quick = |bar: &&Bar| !setting.quick || bar.is_quick();
        Bar::value_variants()
            .iter()
            .filter(quick)
            .copied()
            .collect()
    } else {
        only.to_vec()
    };
    let mut rows = Vec::new();
    for (index, bar) in all.iter().enumerate() {
        eprintln!("[{}/{}] {}", index + 1, all.len(), bar.what());
        let measured = measure::measure(*bar, setting).await?;
        for row in &measured {
            eprintln!("  {row}");
        }
        rows.extend(measured);
    }
    print(setting, &rows, json)
}

/// Prints rows; false where one does not hold.
pub(crate) fn print(setting: &Setting, rows: &[Row], json: bool) -> Result<bool> {
    if json {
        let object = report::bars(setting, rows)?;
        println!("{}", serde_json::to_string_pretty(&object)?);
    } else {
        println!("{}", row::table(rows));
    }
    Ok(rows.iter().all(Row::holds))
}

impl Bar {
    /// Whether a quick run has room for it.
    fn is_quick(self) -> bool {
        matches!(
            self,
            Self::FanOut
                | Self::Burst
                | Self::BurstChannels
                | Self::Sse
                | Self::Stream
                | Self::Unary
                | Self::Latency
                | Self::Start
        )
    }

    fn what(self) -> String {
        let value = self.to_possible_value();
        let help = value.as_ref().and_then(|value| value.get_help());
        help.map(ToString::to_string).unwrap_or_default()
    }
}
