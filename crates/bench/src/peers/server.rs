//! A target's process: started on a free port, ready once it can be connected to, ended by its process id.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::publish::Sender;
use super::targets::{Publishing, Target};
use super::tree;
use crate::hub::Hub;
use crate::scenario::Setting;

const START_MAX: Duration = Duration::from_secs(20);
const STOP_MAX: Duration = Duration::from_secs(10);

/// A running target.
pub(crate) enum Server {
    Hub(Hub),
    Peer(Peer),
}

/// A running peer.
pub(crate) struct Peer {
    child: Child,
    pid: u32,
    address: SocketAddr,
    log: TempDir,
}

impl Server {
    /// Starts a target and waits until it can be connected to.
    pub(crate) async fn start(setting: &Setting, peers: &Path, target: &Target) -> Result<Self> {
        if target.publishing == Publishing::Grpc {
            return Ok(Self::Hub(Hub::start(&setting.hub).await?));
        }
        Ok(Self::Peer(Peer::start(&target.program(peers)).await?))
    }

    /// Where its clients connect.
    pub(crate) fn clients(&self) -> SocketAddr {
        match self {
            Self::Hub(hub) => hub.clients,
            Self::Peer(peer) => peer.address,
        }
    }

    /// A way to publish to it.
    pub(crate) async fn sender(&self, publishing: Publishing) -> Result<Sender> {
        match self {
            Self::Hub(hub) => Sender::grpc(hub.api).await,
            Self::Peer(peer) => Sender::http(peer.address, publishing),
        }
    }

    /// The root of its processes.
    pub(crate) fn pid(&self) -> u32 {
        match self {
            Self::Hub(hub) => hub.process().pid,
            Self::Peer(peer) => peer.pid,
        }
    }

    /// Ends it.
    pub(crate) async fn stop(self) -> Result<()> {
        match self {
            // It ends with its owner.
            Self::Hub(_) => Ok(()),
            Self::Peer(peer) => peer.stop().await,
        }
    }

    /// What a peer has logged, for a failure's story; of the hub the failure itself says enough.
    pub(crate) fn log(&self) -> String {
        match self {
            Self::Hub(_) => String::new(),
            Self::Peer(peer) => peer.log(),
        }
    }
}

impl Peer {
    async fn start(program: &Path) -> Result<Self> {
        // The port is free now; nothing else on the machine asks for one in the moment until the peer has it.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let folder = program.parent().context("a program is in a folder")?;
        let log = TempDir::with_prefix("switchboard-bench-")?;
        let output = File::create(log.path().join("log"))?;
        let begun = Instant::now();
        let child = Command::new(program)
            .arg(port.to_string())
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let pid = child.id().context("it has ended already")?;
        let mut peer = Self {
            child,
            pid,
            address,
            log,
        };
        while TcpStream::connect(address).is_err() {
            if peer.child.try_wait()?.is_some() || begun.elapsed() > START_MAX {
                bail!("it did not start:\n{}", peer.log());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(peer)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log.path().join("log")).unwrap_or_default()
    }

    /// Asks it to end, and ends it and its children where it does not.
    async fn stop(mut self) -> Result<()> {
        signal(self.pid, Signal::TERM)?;
        if tokio::time::timeout(STOP_MAX, self.child.wait())
            .await
            .is_err()
        {
            // They are its children for as long as it lives, whatever else the machine starts meanwhile.
            for process in tree::processes(self.pid)?.into_iter().rev() {
                signal(process.pid, Signal::KILL)?;
            }
            self.child.wait().await?;
        }
        Ok(())
    }
}

fn signal(pid: u32, signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(i32::try_from(pid)?).context("a process id")?;
    match kill_process(pid, signal) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
