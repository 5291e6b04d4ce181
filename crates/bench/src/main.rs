//! `switchboard-bench`: what the hub costs, measured so that anyone can measure it again.
//!
//! Purpose: a load generator for thousands of clients, a bare loop to compare with, scenarios, the bars of the project,
//! and other hubs side by side.
//!
//! Reading order: this file; [`hub`], [`fleet`] and [`publisher`] (the three parties of every run), [`load`] (a load
//! process), [`process`] and [`paired`] (what is measured and how it is compared), [`scenario`] (the questions), [`bars`]
//! (the answers that are demanded), [`nodes`] (several over one Redis), [`peers`] (other servers), [`report`] and [`plot`].
//!
//! Deliberately absent: the code of other servers, and everything inside the hub: it is built with its feature `bench`,
//! which adds the bare loop to its admin listener, and is otherwise what everybody runs.

#![allow(clippy::print_stdout, reason = "a command line tool talks on stdout")]

mod bars;
mod cli;
mod fleet;
mod hub;
mod load;
mod marker;
mod nodes;
mod paired;
mod peers;
mod plot;
mod process;
mod publisher;
mod report;
mod scenario;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
