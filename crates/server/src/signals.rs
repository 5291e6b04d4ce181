//! SIGTERM and SIGINT: the first asks for a drain, the second for the end.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Both signals, heard from the moment this is made.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

/// A signal that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// SIGTERM: a supervisor.
    Terminate,
    /// SIGINT: a person at the terminal.
    Interrupt,
}

impl Asked {
    /// Its name in logs.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
        }
    }

    /// What a process that it ended at once exits with, by the shell's convention: 128 and its number.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Terminate => 143,
            Self::Interrupt => 130,
        }
    }
}

impl Signals {
    /// Starts to listen: from here on neither signal ends the process by itself.
    ///
    /// # Errors
    /// The system refused the handler.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one.
    ///
    /// # Cancel safety
    /// Cancel safe: a signal that came is given to the next call.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Terminate,
            _ = self.interrupt.recv() => Asked::Interrupt,
        }
    }
}
