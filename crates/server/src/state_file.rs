//! What a running hub tells other programs of itself: in development mode a file in a place that the command line tools
//! know, and, where asked for, a file for whoever started it (`--ready-file`).
//!
//! The two have one form:
//!
//! ```json
//! {"pid": 4711, "version": "0.1.0", "node": "8f03aa12", "development": true,
//!  "clients": "127.0.0.1:8000", "grpc": "127.0.0.1:9000", "admin": "127.0.0.1:9100",
//!  "api_key": "sk_dev_…", "secret": "…", "key_id": "development"}
//! ```
//!
//! The last three are there in development mode only; `secret` signs tokens (HS256).

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::process::{Pid, getuid, test_kill_process};
use serde::{Deserialize, Serialize};
use switchboard_node::Node;

use crate::development::{Development, KEY_ID};
use crate::listeners::Addresses;

/// Overrides the directory of the state file.
pub(crate) const STATE_DIR_VARIABLE: &str = "SWITCHBOARD_STATE_DIR";

const FILE_NAME: &str = "development.json";

/// A running hub.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Hub {
    /// Its process.
    pub(crate) pid: u32,
    /// The program's version.
    pub(crate) version: String,
    /// The node's id.
    pub(crate) node: String,
    /// Whether it runs in development mode.
    pub(crate) development: bool,
    /// Where clients connect.
    pub(crate) clients: SocketAddr,
    /// Where services connect.
    pub(crate) grpc: SocketAddr,
    /// Where operators look.
    pub(crate) admin: SocketAddr,
    /// An API key with every scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) api_key: Option<String>,
    /// What tokens are signed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<String>,
    /// What tokens name that secret by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key_id: Option<String>,
}

impl Hub {
    /// This process's hub.
    pub(crate) fn of(node: &Node, addresses: Addresses, development: Option<&Development>) -> Self {
        Self {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: node.id().to_string(),
            development: development.is_some(),
            clients: addresses.clients,
            grpc: addresses.api,
            admin: addresses.admin,
            api_key: development.map(|development| development.api_key.clone()),
            secret: development.map(|development| development.secret.clone()),
            key_id: development.map(|_| KEY_ID.to_owned()),
        }
    }

    /// Writes it where only this user can read it, whole or not at all.
    ///
    /// # Errors
    /// The system refused.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let mut name = path
            .file_name()
            .ok_or(io::ErrorKind::InvalidInput)?
            .to_owned();
        name.push(format!(".{}", self.pid));
        let beside = path.with_file_name(name);
        // One of a process that had our pid and died half way.
        drop(fs::remove_file(&beside));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(serde_json::to_string(self)?.as_bytes())?;
        file.write_all(b"\n")?;
        drop(file);
        fs::rename(&beside, path)
    }

    /// The development hub that runs on this machine for this user, if one does.
    pub(crate) fn find() -> Option<Self> {
        let directory = directory();
        check_private(&directory).ok()?;
        let hub: Self =
            serde_json::from_str(&fs::read_to_string(directory.join(FILE_NAME)).ok()?).ok()?;
        hub.is_alive().then_some(hub)
    }

    /// Whether its process is there; a file can outlive it.
    fn is_alive(&self) -> bool {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        pid.is_some_and(|pid| match test_kill_process(pid) {
            Ok(()) => true,
            // There, but of another user.
            Err(error) => error == rustix::io::Errno::PERM,
        })
    }
}

/// The state file of this process; removed when dropped.
pub(crate) struct StateFile {
    path: PathBuf,
}

impl StateFile {
    /// Writes the file. A hub works without one, only the tools then have to be told where it is: so a failure is a
    /// warning. Where several run, the tools find the one that started last.
    pub(crate) fn announce(hub: &Hub) -> Option<Self> {
        let directory = directory();
        let path = directory.join(FILE_NAME);
        let written = create_private(&directory).and_then(|()| hub.write(&path));
        match written {
            Ok(()) => Some(Self { path }),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "could not write the state file");
                None
            }
        }
    }
}

impl Drop for StateFile {
    fn drop(&mut self) {
        let ours = fs::read_to_string(&self.path)
            .ok()
            .and_then(|text| serde_json::from_str::<Hub>(&text).ok())
            .is_some_and(|hub| hub.pid == std::process::id());
        if ours {
            drop(fs::remove_file(&self.path));
        }
    }
}

fn directory() -> PathBuf {
    let variable = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    variable(STATE_DIR_VARIABLE)
        .or_else(|| variable("XDG_RUNTIME_DIR").map(|directory| directory.join("switchboard")))
        .unwrap_or_else(|| std::env::temp_dir().join(format!("switchboard-{}", getuid().as_raw())))
}

fn create_private(directory: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    check_private(directory)
}

/// In a shared temporary directory anybody could have made a directory of this name, to read our secrets or to have us
/// talk to a hub of theirs.
fn check_private(directory: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(directory)?;
    if metadata.is_dir() && metadata.uid() == getuid().as_raw() && metadata.mode() & 0o022 == 0 {
        Ok(())
    } else {
        let message = format!(
            "{} is not a directory that only this user can write to",
            directory.display()
        );
        Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn hub(pid: u32) -> Hub {
        let address = "127.0.0.1:1".parse().unwrap();
        Hub {
            pid,
            version: "0".to_owned(),
            node: "n".to_owned(),
            development: false,
            clients: address,
            grpc: address,
            admin: address,
            api_key: None,
            secret: Some("s".to_owned()),
            key_id: None,
        }
    }

    #[test]
    fn the_file_is_private_and_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ready.json");
        hub(7).write(&path).unwrap();
        hub(8).write(&path).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let read: Hub = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!((read.pid, read.secret.as_deref()), (8, Some("s")));
        assert_eq!(
            fs::read_dir(directory.path()).unwrap().count(),
            1,
            "nothing is left beside it"
        );
    }

    #[test]
    fn a_dead_process_is_told_from_a_living_one() {
        assert!(hub(std::process::id()).is_alive());
        assert!(!hub(u32::MAX).is_alive());
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert!(!hub(child.id()).is_alive());
    }

    #[test]
    fn a_directory_that_others_can_write_to_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let open = directory.path().join("open");
        create_private(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(create_private(&open).is_err());
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(directory.path(), &link).unwrap();
        assert!(check_private(&link).is_err());
    }
}
