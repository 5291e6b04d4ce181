//! What the tests use from outside: found where it is, else installed, and always told.
//!
//! Programs come from the machine's packages, Python and Node packages go into the target directory. A second run finds
//! all of it and takes about a second.

mod go;
mod node;
mod python;
mod stamp;
mod system;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use self::system::Program;
use crate::workspace::Workspace;

/// Everything found.
pub(crate) struct Tools {
    programs: Vec<(&'static Program, PathBuf)>,
    /// The Python of the virtual environment with the packages of `tests/python/requirements.txt`.
    python: PathBuf,
    node: node::Node,
}

impl Tools {
    /// Finds the tools, and installs those that are missing.
    ///
    /// # Errors
    /// If something can be neither found nor installed; the error says what to run by hand.
    pub(crate) fn find_or_install(workspace: &Workspace) -> Result<Self> {
        let programs = system::find_or_install()?;
        let python3 = by_package(&programs, "python3");
        let tests = workspace.root.join("tests");
        let requirements = tests.join("python/requirements.txt");
        let python =
            python::environment(python3, &workspace.tools().join("python"), &requirements)?;
        let node = node::find_or_install(python3, &workspace.tools(), &tests.join("node"))?;
        Ok(Self {
            programs,
            python,
            node,
        })
    }

    /// The buf program.
    pub(crate) fn buf(&self) -> &Path {
        &self.node.buf
    }

    /// The Python of an environment of its own, with the packages that a client pins.
    pub(crate) fn client_python(&self, workspace: &Workspace, package: &Path) -> Result<PathBuf> {
        let directory = workspace.tools().join("python-client");
        let python3 = self.program("python3");
        python::environment(python3, &directory, &package.join("requirements.txt"))
    }

    /// The go program, for a module.
    pub(crate) fn go(&self, workspace: &Workspace, module: &Path) -> Result<PathBuf> {
        go::find_or_install(self.program("python3"), &workspace.tools(), module)
    }

    /// npm, to be told what to do.
    pub(crate) fn npm(&self) -> Command {
        self.node.npm()
    }

    /// The program that npm is, or its script.
    pub(crate) fn npm_program(&self) -> &Path {
        self.node.npm_program()
    }

    /// Node.js, to be given a script.
    pub(crate) fn node(&self) -> Command {
        Command::new(&self.node.program)
    }

    fn program(&self, package: &str) -> &Path {
        by_package(&self.programs, package)
    }

    /// Tells a command where everything is, by variables of the environment.
    ///
    /// `SWITCHBOARD_REDIS_SERVER`, `SWITCHBOARD_NGINX`, `SWITCHBOARD_HAPROXY`, `SWITCHBOARD_CHROMIUM`,
    /// `SWITCHBOARD_CURL`, `SWITCHBOARD_VALGRIND`: programs. `SWITCHBOARD_PYTHON`: the Python that has the packages. `SWITCHBOARD_NODE`: the
    /// Node.js program, which is also the one in `PATH`. `SWITCHBOARD_NODE_MODULES`: the directory `node_modules`.
    pub(crate) fn tell(&self, command: &mut Command) -> Result<()> {
        for (program, path) in &self.programs {
            if let Some(variable) = program.variable {
                command.env(variable, path);
            }
        }
        command.env("SWITCHBOARD_PYTHON", &self.python);
        command.env("SWITCHBOARD_NODE", &self.node.program);
        command.env("SWITCHBOARD_NODE_MODULES", &self.node.modules);
        command.env("PATH", path_with(&[&self.node.program])?);
        Ok(())
    }

    /// The same, with another program in `PATH` beside Node.js.
    pub(crate) fn tell_with(&self, command: &mut Command, program: &Path) -> Result<()> {
        self.tell(command)?;
        command.env("PATH", path_with(&[&self.node.program, program])?);
        Ok(())
    }
}

fn by_package<'a>(programs: &'a [(&Program, PathBuf)], package: &str) -> &'a Path {
    let found = programs
        .iter()
        .find(|(program, _)| program.package == package);
    let (_, path) = found.expect("it is in the table of programs");
    path
}

/// The valgrind program, for a chore that needs nothing else.
pub(crate) fn valgrind() -> Result<PathBuf> {
    system::find_or_install_one("valgrind")
}

/// `PATH`, with the directories of these programs in front if they are not in there already.
fn path_with(programs: &[&Path]) -> Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for program in programs {
        let own = program.parent().context("a program is in a directory")?;
        if !directories.iter().any(|directory| directory == own) {
            directories.insert(0, own.to_path_buf());
        }
    }
    std::env::join_paths(directories).context("a directory in PATH has a colon in its name")
}
