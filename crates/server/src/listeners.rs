//! The three listening sockets, bound before anything else starts: what cannot be bound is told at once, and no task
//! ever runs in a process that will not serve.

use std::net::{SocketAddr, TcpListener};

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::file::File;

/// Connections that may wait to be accepted: after a deploy thousands come in one moment, and what does not fit is
/// dropped by the kernel and retried seconds later. The kernel lowers it to its own bound (net.core.somaxconn).
const BACKLOG_MAX: i32 = 4096;

/// The bound sockets, non-blocking.
pub(crate) struct Listeners {
    /// For clients.
    pub(crate) clients: TcpListener,
    /// For services.
    pub(crate) api: TcpListener,
    /// For operators.
    pub(crate) admin: TcpListener,
}

/// Where they listen: the ports that were picked, where 0 was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    /// For clients.
    pub(crate) clients: SocketAddr,
    /// For services.
    pub(crate) api: SocketAddr,
    /// For operators.
    pub(crate) admin: SocketAddr,
}

impl Listeners {
    /// Binds all three.
    ///
    /// # Errors
    /// An address is taken or not of this machine; the error names the option.
    pub(crate) fn bind(file: &File) -> Result<Self> {
        Ok(Self {
            clients: bind("clients.listen", file.clients.listen)?,
            api: bind("api.listen", file.api.listen)?,
            admin: bind("admin.listen", file.admin.listen)?,
        })
    }

    /// Where they listen.
    ///
    /// # Errors
    /// The system does not tell.
    pub(crate) fn addresses(&self) -> Result<Addresses> {
        Ok(Addresses {
            clients: self.clients.local_addr()?,
            api: self.api.local_addr()?,
            admin: self.admin.local_addr()?,
        })
    }
}

fn bind(option: &str, address: SocketAddr) -> Result<TcpListener> {
    let listen = || -> std::io::Result<TcpListener> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        // A restart must not wait for the old process's connections to time out.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG_MAX)?;
        Ok(socket.into())
    };
    listen().with_context(|| format!("{option} = {address}: cannot listen there"))
}
