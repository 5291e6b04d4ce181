//! A raw connection that has opened a WebSocket and read its `open` frame.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use switchboard_tests::Hub;
use switchboard_tests::raw::{Head, Out, Raw, opcode};

/// The hub, and a raw WebSocket to it.
pub(crate) struct Peer {
    pub(crate) hub: Hub,
    pub(crate) raw: Raw,
    pub(crate) head: Head,
}

impl Peer {
    /// A hub of its own and a connection without extensions.
    pub(crate) async fn open() -> Result<Self> {
        Self::open_with("").await
    }

    /// The same with further header lines.
    pub(crate) async fn open_with(headers: &str) -> Result<Self> {
        let hub = Hub::start_with(|config| {
            // So that no ping of the hub's own comes between what is tested.
            config.set("limits.ping_interval_s", "300");
        })
        .await?;
        let (raw, head) = connect(&hub, headers).await?;
        Ok(Self { hub, raw, head })
    }

    /// Another connection to the same hub, in place of this one.
    pub(crate) async fn again(&mut self) -> Result<()> {
        self.again_with("").await
    }

    /// The same with further header lines.
    pub(crate) async fn again_with(&mut self, headers: &str) -> Result<()> {
        (self.raw, self.head) = connect(&self.hub, headers).await?;
        Ok(())
    }

    /// Sends frames in one write, and awaits a close with this code and the end of the connection.
    pub(crate) async fn refused(&mut self, frames: &[Out], code: u16) -> Result<()> {
        let bytes: Vec<u8> = frames.iter().flat_map(Out::bytes).collect();
        self.raw.write(&bytes).await?;
        self.raw.closed(code).await
    }

    /// Awaits the reply to a ping command of this id.
    pub(crate) async fn pinged(&mut self, id: u64) -> Result<()> {
        let reply = self.text().await?;
        ensure!(
            reply["reply"]["id"] == id && reply["reply"]["ping"].is_object(),
            "{reply}"
        );
        Ok(())
    }

    /// The next frame, which must be a whole text that is not compressed.
    pub(crate) async fn text(&mut self) -> Result<Value> {
        let frame = self.raw.frame().await?.context("the connection ended")?;
        ensure!(
            frame.first == 0x80 | opcode::TEXT,
            "a whole text was expected, not {frame:?}"
        );
        Ok(serde_json::from_str(frame.text()?)?)
    }

    /// Tells that the connection is as good as before.
    pub(crate) async fn alive(&mut self) -> Result<()> {
        self.raw.send(&Out::new(opcode::TEXT, ping(4711))).await?;
        self.pinged(4711).await
    }
}

async fn connect(hub: &Hub, headers: &str) -> Result<(Raw, Head)> {
    let headers = format!("Authorization: Bearer {}\r\n{headers}", hub.token("alice"));
    let (mut raw, head) = Raw::websocket(hub.clients, "/v1/ws", &headers).await?;
    let open = raw.frame().await?.context("the connection ended")?;
    ensure!(
        open.opcode() == opcode::TEXT,
        "`open` was expected, not {open:?}"
    );
    Ok((raw, head))
}

/// A ping command.
pub(crate) fn ping(id: u64) -> Vec<u8> {
    json!({"id": id, "ping": {}}).to_string().into_bytes()
}

/// A ping command of exactly this many bytes.
pub(crate) fn ping_of_length(id: u64, length: usize) -> Vec<u8> {
    let mut bytes = ping(id);
    assert!(
        bytes.len() <= length,
        "a command has {} bytes at least",
        bytes.len()
    );
    bytes.resize(length, b' ');
    bytes
}
