//! Other servers side by side: the same clients, the same payloads and the same questions, in alternating whole processes.
//!
//! Reading order: this file; [`targets`] (who is compared and how its clients speak), [`server`] (a target's process),
//! [`publish`] (how it is given publications), [`tree`] (what it costs), [`measure`] (one run), [`table`] (what is told).
//!
//! A peer is a folder below `--peers DIR` with an executable `run`, which gets a port and becomes the server. `PEERS.md`
//! has one for each peer. Nothing of a peer is in this repository, and the bench installs nothing.

mod measure;
mod publish;
mod server;
mod table;
mod targets;
mod tree;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;

use crate::scenario::Setting;
use measure::Run;
use targets::{TARGETS, Target};

/// What is compared.
#[derive(Args, Clone, Debug)]
pub(crate) struct PeersArgs {
    /// The folder of the peers, one folder each with a program `run` in it (see PEERS.md)
    #[arg(long, value_name = "DIR")]
    peers: PathBuf,
    /// Only these targets
    #[arg(long, value_delimiter = ',', value_parser = targets::names())]
    only: Vec<String>,
    /// Subscribers of the one channel; several numbers make a row each
    #[arg(long, value_delimiter = ',', default_value = "1000,10000")]
    subscribers: Vec<usize>,
    /// How often each target is started and measured; the median counts
    #[arg(long, default_value_t = 3)]
    repetitions: usize,
}

/// All runs of a target with so many subscribers.
#[derive(Serialize)]
struct Entry {
    target: &'static str,
    version: String,
    subscribers: usize,
    runs: Vec<Run>,
    /// Why runs gave no figures: what was lost, or what did not start.
    failures: Vec<String>,
}

/// Measures all targets and tells it; false where the hub itself lost something.
///
/// # Errors
/// Nothing could be measured at all.
pub(crate) async fn run(setting: &Setting, arguments: &PeersArgs, json: bool) -> Result<bool> {
    ensure!(arguments.repetitions > 0, "at least one repetition");
    let peers = arguments.peers.canonicalize()?;
    let (mut present, mut skipped) = (Vec::new(), Vec::new());
    for target in TARGETS {
        if !arguments.only.is_empty() && !arguments.only.iter().any(|name| name == target.name) {
            continue;
        }
        match target.version(setting, &peers) {
            Ok(version) => present.push((target, version)),
            Err(why) => {
                eprintln!("skipped: {}: {why:#}", target.name);
                skipped.push((target.name, format!("{why:#}")));
            }
        }
    }
    ensure!(!present.is_empty(), "no target is there to be measured");
    let mut entries: Vec<Entry> = arguments
        .subscribers
        .iter()
        .flat_map(|&subscribers| {
            present.iter().map(move |(target, version)| Entry {
                target: target.name,
                version: version.clone(),
                subscribers,
                runs: Vec::new(),
                failures: Vec::new(),
            })
        })
        .collect();
    for repetition in 1..=arguments.repetitions {
        for entry in &mut entries {
            let target = Target::of(entry.target);
            match measure::run(setting, &peers, target, entry.subscribers).await {
                Ok(run) => {
                    eprintln!(
                        "{repetition}/{} {:<12} {:>6}: {run}",
                        arguments.repetitions, target.name, entry.subscribers
                    );
                    entry.runs.push(run);
                }
                Err(error) => {
                    eprintln!(
                        "{repetition}/{} {:<12} {:>6}: FAILED: {error:#}",
                        arguments.repetitions, target.name, entry.subscribers
                    );
                    entry.failures.push(format!("{error:#}"));
                }
            }
        }
    }
    if json {
        let object = table::json(setting, &entries, &skipped)?;
        println!("{}", serde_json::to_string_pretty(&object)?);
    } else {
        print!("{}", table::text(&entries, &skipped));
    }
    let own = entries
        .iter()
        .filter(|entry| entry.target == targets::SWITCHBOARD);
    Ok(own.into_iter().all(|entry| entry.failures.is_empty()))
}
