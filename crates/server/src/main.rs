//! The binary `switchboard`: the hub, and small tools that speak to one.
//!
//! Reading order: this file, [`cli`] (what can be asked for, one command a file), [`serve`] (the story of the hub's
//! process), then what it is told with: [`config`], [`development`], [`listeners`], [`tls`], [`telemetry`], [`admin`],
//! [`page`], [`signals`], [`shutdown`], [`descriptors`].
//!
//! Deliberately absent: everything a hub decides. This crate picks implementations, and is the only one that reads files,
//! environment and signals.

mod admin;
mod cli;
mod config;
mod descriptors;
mod development;
mod listeners;
mod page;
mod serve;
mod shutdown;
mod signals;
mod state_file;
mod telemetry;
mod tls;

use std::process::ExitCode;

/// Millions of small frames, made on one thread and freed on another, are what it is good at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tls::install_provider();
    cli::run()
}
