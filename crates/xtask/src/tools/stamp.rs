//! Stamps: how a second run knows that an installation is whole and still the right one.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The record of what a directory was installed from, kept beside that directory.
///
/// The stamp is the very text that the installation depends on (a lock file, a version), not a hash of it: it is short,
/// and a person can see what changed.
pub(crate) struct Stamp {
    path: PathBuf,
    inputs: String,
}

impl Stamp {
    /// The stamp of `directory`, for an installation from `inputs`.
    pub(crate) fn new(directory: &Path, inputs: &[&str]) -> Self {
        Self {
            path: directory.with_extension("stamp"),
            inputs: inputs.join("\n---\n"),
        }
    }

    /// Whether the directory was installed from the same inputs, to the end.
    pub(crate) fn holds(&self) -> bool {
        fs::read_to_string(&self.path).is_ok_and(|found| found == self.inputs)
    }

    /// Makes an empty directory to install into. An installation that is cut short leaves no stamp.
    pub(crate) fn clear(&self, directory: &Path) -> Result<()> {
        for outcome in [fs::remove_file(&self.path), fs::remove_dir_all(directory)] {
            match outcome {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error)
                        .with_context(|| format!("cannot clear {}", directory.display()));
                }
                _ => {}
            }
        }
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot create {}", directory.display()))
    }

    /// Records that the installation is whole.
    pub(crate) fn set(&self) -> Result<()> {
        fs::write(&self.path, &self.inputs)
            .with_context(|| format!("cannot write {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_holds_only_for_a_whole_installation_from_the_same_inputs() {
        let base = std::env::temp_dir().join(format!("xtask-stamp-{}", std::process::id()));
        let directory = base.join("tool");
        let stamp = Stamp::new(&directory, &["lock 1"]);
        assert!(!stamp.holds());
        stamp.clear(&directory).unwrap();
        assert!(directory.is_dir() && !stamp.holds());
        stamp.set().unwrap();
        assert!(stamp.holds());
        assert!(!Stamp::new(&directory, &["lock 2"]).holds());
        stamp.clear(&directory).unwrap();
        assert!(!stamp.holds());
        fs::remove_dir_all(base).unwrap();
    }
}
