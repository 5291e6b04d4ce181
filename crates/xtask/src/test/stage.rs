//! The stages: their order, what each is for, and what each needs.

use std::fmt;

use clap::ValueEnum;

/// A part of `cargo xtask test`. The order of the variants is the order of the run: what is quick to say no comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Stage {
    Tools,
    Fmt,
    Tidy,
    Clippy,
    Proto,
    Unit,
    Instructions,
    Build,
    Blackbox,
    Redis,
    Clients,
}

impl Stage {
    /// What the stage does, for people.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Tools => "find or install what the tests use from outside",
            Self::Fmt => "cargo fmt --check",
            Self::Tidy => "rules of the design that the compiler can't check",
            Self::Clippy => "all lints, warnings are errors",
            Self::Proto => "buf lint, and buf breaking against what was there before",
            Self::Unit => "tests inside the crates",
            Self::Instructions => "what a delivery costs, against what it cost before",
            Self::Build => "the server's binary for the black-box tests",
            Self::Blackbox => "the built server, tested from outside",
            Self::Redis => "every scenario once more, on the Redis engine",
            Self::Clients => {
                "the clients' own checks, at the built server: in Node.js and Chromium, Python, Go, Rust"
            }
        }
    }

    /// The stages that must have passed for this one to make sense.
    pub(crate) fn needs(self) -> &'static [Stage] {
        match self {
            Self::Proto | Self::Instructions => &[Self::Tools],
            Self::Blackbox | Self::Redis | Self::Clients => &[Self::Tools, Self::Build],
            Self::Tools | Self::Fmt | Self::Tidy | Self::Clippy | Self::Unit | Self::Build => &[],
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("no stage is hidden");
        f.pad(value.get_name())
    }
}

/// The stages to run, in order: those asked for (all, if none) and what they need.
pub(crate) fn plan(only: &[Stage]) -> Vec<Stage> {
    let asked = |stage: Stage| only.is_empty() || only.contains(&stage);
    let needed = |stage: Stage| only.iter().any(|asked| asked.needs().contains(&stage));
    let all = Stage::value_variants().iter().copied();
    all.filter(|stage| asked(*stage) || needed(*stage))
        .collect()
}

/// Prints every stage with what it is for.
pub(crate) fn print_list() {
    for stage in Stage::value_variants() {
        print!("{stage:<10} {}", stage.about());
        if !stage.needs().is_empty() {
            let needs: Vec<String> = stage.needs().iter().map(Stage::to_string).collect();
            print!(" (needs {})", needs.join(", "));
        }
        println!();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_asked_for_means_all_stages() {
        assert_eq!(plan(&[]), Stage::value_variants());
    }

    #[test]
    fn what_a_stage_needs_comes_before_it() {
        assert_eq!(
            plan(&[Stage::Blackbox]),
            [Stage::Tools, Stage::Build, Stage::Blackbox]
        );
        for stage in Stage::value_variants() {
            assert!(
                stage.needs().iter().all(|needed| needed < stage),
                "{stage} needs a later stage"
            );
            let deep = stage
                .needs()
                .iter()
                .flat_map(|needed| needed.needs())
                .count();
            assert_eq!(deep, 0, "plan() looks one level deep");
        }
    }
}
