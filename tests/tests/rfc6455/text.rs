//! Section 8.1: text is UTF-8, whole or in pieces, and what is not is refused at the first byte that shows it.

use anyhow::{Result, ensure};
use serde_json::json;
use switchboard_tests::raw::{Out, opcode};

use crate::peer::Peer;

/// A publish command with this text in it.
fn publish(text: &str) -> Vec<u8> {
    json!({"id": 1, "publish": {"channel": "chat:1", "data": text}})
        .to_string()
        .into_bytes()
}

/// Text from every length of character, and the edges between them.
const TEXT: &str =
    "\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{fffd}\u{ffff}\u{10000}\u{10ffff} κόσμε 😀";

async fn heard(peer: &mut Peer, text: &str) -> Result<()> {
    let (mut replied, mut came) = (false, false);
    while !(replied && came) {
        let frame = peer.text().await?;
        if frame["reply"].is_object() {
            ensure!(frame["reply"]["publish"].is_object(), "{frame}");
            replied = true;
        } else {
            ensure!(frame["message"]["data"] == text, "{frame}");
            came = true;
        }
    }
    Ok(())
}

async fn subscribed() -> Result<Peer> {
    let mut peer = Peer::open().await?;
    let subscribe = json!({"id": 0, "subscribe": {"channel": "chat:1"}}).to_string();
    peer.raw.send(&Out::new(opcode::TEXT, subscribe)).await?;
    let reply = peer.text().await?;
    ensure!(reply["reply"]["subscribe"].is_object(), "{reply}");
    Ok(peer)
}

#[tokio::test]
async fn characters_of_every_length_pass() -> Result<()> {
    let mut peer = subscribed().await?;
    peer.raw
        .send(&Out::new(opcode::TEXT, publish(TEXT)))
        .await?;
    heard(&mut peer, TEXT).await
}

#[tokio::test]
async fn characters_may_be_cut_by_fragments_and_by_writes() -> Result<()> {
    let mut peer = subscribed().await?;
    let command = publish(TEXT);
    for size in 1..=4 {
        let parts: Vec<&[u8]> = command.chunks(size).collect();
        for (index, part) in parts.iter().enumerate() {
            let frame = Out::new(
                if index == 0 {
                    opcode::TEXT
                } else {
                    opcode::CONTINUATION
                },
                *part,
            );
            let frame = if index + 1 == parts.len() {
                frame
            } else {
                frame.unfinished()
            };
            peer.raw.send(&frame).await?;
        }
        heard(&mut peer, TEXT).await?;
    }
    for byte in Out::new(opcode::TEXT, command).bytes() {
        peer.raw.write(&[byte]).await?;
    }
    heard(&mut peer, TEXT).await
}

#[tokio::test]
async fn what_is_no_utf8_is_refused() -> Result<()> {
    let mut peer = Peer::open().await?;
    let bad: [&[u8]; 15] = [
        b"\x80",
        b"\xbf",
        b"\xc0\x80",
        b"\xc1\xbf",
        b"\xe0\x80\x80",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xf0\x80\x80\x80",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xfe",
        b"\xff",
        b"\xc3\x28",
        b"\xe2\x82",
    ];
    for bytes in bad {
        let payload = [&b"hello "[..], bytes, b" world"].concat();
        peer.refused(&[Out::new(opcode::TEXT, payload)], 1007)
            .await?;
        peer.again().await?;
    }
    // Cut off within a character at the end of the message.
    peer.refused(&[Out::new(opcode::TEXT, b"hello \xe2\x82")], 1007)
        .await
}

#[tokio::test]
async fn bad_text_is_refused_before_its_message_ends() -> Result<()> {
    let mut peer = Peer::open().await?;
    peer.refused(
        &[Out::new(opcode::TEXT, b"hello \xf4\x90").unfinished()],
        1007,
    )
    .await?;
    peer.again().await?;
    let frames = [
        Out::new(opcode::TEXT, b"hello \xf4").unfinished(),
        Out::new(opcode::CONTINUATION, b"\x90").unfinished(),
    ];
    peer.refused(&frames, 1007).await
}
