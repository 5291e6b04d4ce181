//! `cargo xtask`: the chores of the project, as code.
//!
//! CI runs `cargo xtask test` and nothing else, so whatever CI says can be seen again on any machine by the same
//! command. The rules of the design that no compiler checks are checks in `tidy`.
//!
//! Deliberately absent: code generation (the proto crate's build script does it) and any knowledge of how the product
//! works inside. This crate depends on no other of the workspace.
//!
//! Reading order: [`cli`], [`test`] (the stages), [`tools`] (what the tests need from outside), [`tidy`] (the checks),
//! [`proto`], [`instructions`], [`bench`], [`faults`], [`process`] and [`workspace`].
//!
//! To add a stage: a variant of `test::stage::Stage`, its arm in `test::Run::carry_out`. To add a check: a file in
//! `tidy/` with a function from the tree to its findings, a line in `tidy::CHECKS`, and a test that sees it go red.

#![allow(clippy::print_stdout, reason = "a command line tool talks on stdout")]

mod bench;
mod cli;
mod faults;
mod instructions;
mod process;
mod proto;
mod test;
mod tidy;
mod tools;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
