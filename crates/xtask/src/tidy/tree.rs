//! The files that the checks look at.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::source;
use crate::process;
use crate::workspace::Workspace;

/// A file with its text.
pub(super) struct File {
    /// Relative to the root, with `/` between its parts.
    pub(super) path: String,
    pub(super) text: String,
    /// Rust only: the text with comments and the insides of literals blanked, line for line.
    pub(super) code: String,
}

impl File {
    /// The file's name without its directory.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Lines of code, counted from 1.
    pub(super) fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.code.lines())
    }
}

/// Everything that git knows of or would take in, and the text of what the checks read.
pub(super) struct Tree {
    paths: BTreeSet<String>,
    files: Vec<File>,
}

/// The kinds of files whose text some check reads.
const READ: &[&str] = &[".rs", ".toml", ".md", ".json"];

impl Tree {
    /// Reads the checkout: files that git tracks, and new ones that it would not ignore.
    pub(super) fn read(workspace: &Workspace) -> Result<Self> {
        let mut git = workspace.git([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ]);
        let listed = process::output(&mut git).context("tidy asks git for the files")?;
        let mut tree = Self {
            paths: BTreeSet::new(),
            files: Vec::new(),
        };
        for path in listed.split('\0').filter(|path| !path.is_empty()) {
            let place = workspace.root.join(path);
            if !place.is_file() {
                continue; // deleted, and git has not been told yet
            }
            let text = if READ.iter().any(|kind| path.ends_with(kind)) {
                Some(fs::read_to_string(&place).with_context(|| format!("cannot read {path}"))?)
            } else {
                None
            };
            tree.add(path, text);
        }
        Ok(tree)
    }

    /// A tree made up for a test.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let mut tree = Self {
            paths: BTreeSet::new(),
            files: Vec::new(),
        };
        for (path, text) in files {
            tree.add(path, Some((*text).to_owned()));
        }
        tree
    }

    fn add(&mut self, path: &str, text: Option<String>) {
        self.paths.insert(path.to_owned());
        for (slash, _) in path.match_indices('/') {
            self.paths.insert(path[..slash].to_owned());
        }
        if let Some(text) = text {
            let code = if Path::new(path).extension().is_some_and(|kind| kind == "rs") {
                source::code_only(&text)
            } else {
                String::new()
            };
            self.files.push(File {
                path: path.to_owned(),
                text,
                code,
            });
        }
    }

    pub(super) fn file_count(&self) -> usize {
        self.files.len()
    }

    /// Whether there is such a file or directory.
    pub(super) fn has(&self, path: &str) -> bool {
        path.is_empty() || self.paths.contains(path)
    }

    /// The file at this path, if it is one whose text is read.
    pub(super) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Files whose names end so.
    pub(super) fn ending<'a>(&'a self, end: &'a str) -> impl Iterator<Item = &'a File> {
        self.files
            .iter()
            .filter(move |file| file.path.ends_with(end))
    }
}
