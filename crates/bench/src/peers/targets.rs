//! Who is compared, and how its clients come to a channel. Every target is spoken to by WebSocket, in the protocol its
//! users' clients speak.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::builder::PossibleValuesParser;

use crate::fleet::switchboard;
use crate::hub::token;
use crate::load::{Framing, Group};
use crate::scenario::Setting;

/// The name of the hub among its peers.
pub(crate) const SWITCHBOARD: &str = "switchboard";

/// A server that is measured.
#[derive(Debug)]
pub(crate) struct Target {
    /// Its name, and its folder's.
    pub(crate) name: &'static str,
    /// How it is given publications.
    pub(crate) publishing: Publishing,
    /// The target of the upgrade request.
    path: &'static str,
    /// What a client sends once it is upgraded.
    then_send: &'static [&'static str],
    /// What tells a client that it is subscribed.
    ready: &'static str,
    /// The server says nothing to who subscribes, but gives everybody the last publication, if there was one.
    pub(crate) greets_with_last: bool,
}

/// How a target is given publications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Publishing {
    /// The control API, gRPC: `Publish`, and `PublishBatch`.
    Grpc,
    /// The payload as the body of `POST /publish`.
    Body,
    /// Signed requests of Pusher's HTTP API: `events`, and `batch_events`.
    Pusher,
}

const PUSHER_SUBSCRIBE: &[&str] = &[r#"{"event":"pusher:subscribe","data":{"channel":"bench"}}"#];

/// A server that broadcasts to all its connections and greets each when it belongs to them.
const fn plain(name: &'static str) -> Target {
    Target {
        name,
        publishing: Publishing::Body,
        path: "/ws",
        then_send: &[],
        ready: "hello",
        greets_with_last: false,
    }
}

/// A server of the Pusher protocol.
const fn pusher(name: &'static str) -> Target {
    Target {
        name,
        publishing: Publishing::Pusher,
        path: "/app/bench-key?protocol=7&client=bench&version=1.0&flash=false",
        then_send: PUSHER_SUBSCRIBE,
        ready: "pusher_internal:subscription_succeeded",
        greets_with_last: false,
    }
}

/// All that can be measured, in the order of a repetition.
pub(crate) const TARGETS: &[Target] = &[
    Target {
        name: SWITCHBOARD,
        publishing: Publishing::Grpc,
        path: "",
        then_send: &[],
        ready: "",
        greets_with_last: false,
    },
    plain("uws"),
    Target {
        name: "nchan",
        publishing: Publishing::Body,
        path: "/ws",
        then_send: &[],
        // any mark
        ready: "~",
        greets_with_last: true,
    },
    Target {
        name: "centrifuge",
        publishing: Publishing::Body,
        path: "/connection/websocket",
        then_send: &[
            r#"{"id":1,"connect":{}}"#,
            r#"{"id":2,"subscribe":{"channel":"bench"}}"#,
        ],
        ready: r#""id":2,"subscribe""#,
        greets_with_last: false,
    },
    pusher("sockudo"),
    pusher("soketi"),
    plain("ws"),
    Target {
        name: "socketio",
        publishing: Publishing::Body,
        path: "/socket.io/?EIO=4&transport=websocket",
        // Engine.IO's "message" and Socket.IO's "connect"
        then_send: &["40"],
        ready: r#"42["hello"]"#,
        greets_with_last: false,
    },
    plain("fastapi"),
];

/// The names, for the command line.
pub(crate) fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(TARGETS.iter().map(|target| target.name))
}

impl Target {
    /// The target of this name.
    pub(crate) fn of(name: &str) -> &'static Self {
        let found = TARGETS.iter().find(|target| target.name == name);
        found.expect("names come from the list")
    }

    /// The program that becomes the server when it is given a port.
    pub(crate) fn program(&self, peers: &Path) -> PathBuf {
        peers.join(self.name).join("run")
    }

    /// Its version, in the words of whoever installed it.
    ///
    /// # Errors
    /// It is not there.
    pub(crate) fn version(&self, setting: &Setting, peers: &Path) -> Result<String> {
        if self.publishing == Publishing::Grpc {
            let output = std::process::Command::new(&setting.hub)
                .arg("--version")
                .output()?;
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        let program = self.program(peers);
        ensure!(
            program.is_file(),
            "there is no {}/run in the folder of the peers",
            self.name
        );
        let version = program.with_file_name("version");
        let text = fs::read_to_string(&version)
            .with_context(|| format!("{}/version does not say what it is", self.name))?;
        Ok(text.trim().to_owned())
    }

    /// Its clients.
    pub(crate) fn clients(&self, clients: usize) -> Result<Group> {
        if self.publishing == Publishing::Grpc {
            let channels = [super::publish::HUB_CHANNEL.to_owned()];
            return Ok(switchboard(
                Framing::WebSocket,
                clients,
                &channels,
                &token("bench")?,
            ));
        }
        Ok(Group {
            clients,
            framing: Framing::WebSocket,
            request: format!(
                "GET {} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c3dpdGNoYm9hcmQtMTIzNA==\r\n\r\n",
                self.path
            ),
            first: 0,
            modulus: 1,
            then_send: self.then_send.iter().map(ToString::to_string).collect(),
            ready: self.ready.to_owned(),
            ready_count: 1,
            stalled: false,
        })
    }
}
