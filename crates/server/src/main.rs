//! The binary `switchboard`: the hub, and small tools that speak to one.
//!
//! Reading order: this file, [`cli`] (what can be asked for, one command a file), [`serve`] (the story of the hub's
//! process), then what it is told with: [`config`], [`development`], [`listeners`], [`tls`], [`telemetry`], [`admin`],
//! [`page`], [`signals`], [`shutdown`], [`descriptors`].
//!
//! Deliberately absent: everything a hub decides. This crate picks implementations, and is the only one that reads files,
//! environment and signals.

mod admin;
#[cfg(feature = "bench")]
mod bench;
mod cli;
mod config;
mod descriptors;
mod development;
mod engine;
mod listeners;
mod page;
mod script;
mod serve;
mod shutdown;
mod signals;
mod state_file;
mod telemetry;
mod tls;

use std::process::ExitCode;

/// Millions of small frames, made on one thread and freed on another, are what it is good at. It asks for no huge pages
/// (its feature `no_thp`): with them the kernel rounds every arena up to 2 MiB, which made of an idle hub's 2 MiB of heap
/// 13, of an idle session's 2.4 KiB 5.2, and gave little back when sessions went.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tls::install_provider();
    cli::run()
}

#[cfg(test)]
mod tests {
    /// Linux marks memory for which huge pages were asked for with `hg`.
    #[test]
    fn the_allocator_asks_for_no_huge_pages() {
        let kept: Vec<Vec<u8>> = (0..1000).map(|_| vec![1; 4096]).collect();
        let Ok(maps) = std::fs::read_to_string("/proc/self/smaps") else {
            return;
        };
        let marked = |line: &&str| line.starts_with("VmFlags:") && line.contains(" hg");
        assert_eq!(maps.lines().filter(marked).count(), 0);
        drop(kept);
    }
}
