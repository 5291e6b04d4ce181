//! RFC 7692: permessage-deflate, as negotiated and as abused.

use std::io::{Read, Write};

use anyhow::{Context, Result, ensure};
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde_json::{Value, json};
use switchboard_tests::raw::{In, Out, opcode};

use crate::peer::{Peer, ping, ping_of_length};

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";

/// Compresses as RFC 7692, section 7.2.1, says: the last four bytes of a sync flush are left out.
fn deflate(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    encoder.flush()?;
    let mut compressed = encoder.get_ref().clone();
    ensure!(compressed.ends_with(&[0, 0, 0xff, 0xff]), "no sync flush");
    compressed.truncate(compressed.len() - 4);
    Ok(compressed)
}

fn inflate(frame: &In) -> Result<Value> {
    ensure!(frame.compressed(), "not compressed: {:?}", frame.first);
    let mut bytes = frame.payload.clone();
    bytes.extend([0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff]);
    let mut text = String::new();
    DeflateDecoder::new(&bytes[..]).read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text)?)
}

async fn compressed() -> Result<Peer> {
    let peer = Peer::open_with(OFFER).await?;
    let answer = peer
        .head
        .header("sec-websocket-extensions")
        .context("no extension was agreed")?;
    ensure!(answer.starts_with("permessage-deflate"), "{answer}");
    ensure!(answer.contains("server_no_context_takeover"), "{answer}");
    Ok(peer)
}

#[tokio::test]
async fn compressed_messages_are_understood() -> Result<()> {
    let mut peer = compressed().await?;
    for id in 1..=3 {
        peer.raw
            .send(&Out::new(opcode::TEXT, deflate(&ping_of_length(id, 5000))?).rsv(1))
            .await?;
        peer.pinged(id).await?;
    }
    peer.raw.send(&Out::new(opcode::TEXT, ping(4))).await?;
    peer.pinged(4).await
}

#[tokio::test]
async fn a_compressed_message_may_come_in_fragments() -> Result<()> {
    let mut peer = compressed().await?;
    let bytes = deflate(&ping_of_length(1, 3000))?;
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    peer.raw
        .send(&Out::new(opcode::TEXT, first).rsv(1).unfinished())
        .await?;
    peer.raw.send(&Out::new(opcode::PING, "between")).await?;
    peer.raw.send(&Out::new(opcode::CONTINUATION, rest)).await?;
    let pong = peer.raw.control().await?;
    ensure!(pong.payload == b"between", "{pong:?}");
    peer.pinged(1).await
}

#[tokio::test]
async fn only_large_messages_are_compressed() -> Result<()> {
    let mut peer = compressed().await?;
    let subscribe = json!({"id": 0, "subscribe": {"channel": "chat:1"}}).to_string();
    peer.raw.send(&Out::new(opcode::TEXT, subscribe)).await?;
    peer.text().await?;
    let services = peer.hub.services().await?;
    let large = json!({"text": "the same again and ".repeat(200)});
    for data in [json!("small"), large.clone(), json!("small"), large] {
        services.publish("chat:1", &data).await?;
        let frame = peer.raw.frame().await?.context("the connection ended")?;
        let message = if data == "small" {
            ensure!(!frame.compressed(), "a small message is compressed");
            serde_json::from_str(frame.text()?)?
        } else {
            ensure!(frame.payload.len() < 1000, "{} bytes", frame.payload.len());
            // Each stands for itself: there is no context from the one before.
            inflate(&frame)?
        };
        ensure!(message["message"]["data"] == data, "{message}");
    }
    Ok(())
}

#[tokio::test]
async fn the_bit_is_refused_where_it_may_not_be() -> Result<()> {
    let mut peer = compressed().await?;
    peer.refused(&[Out::new(opcode::PING, "").rsv(1)], 1002)
        .await?;
    peer.again_with(OFFER).await?;
    let bytes = deflate(&ping(1))?;
    let frames = [
        Out::new(opcode::TEXT, &bytes[..3]).rsv(1).unfinished(),
        Out::new(opcode::CONTINUATION, &bytes[3..]).rsv(1),
    ];
    peer.refused(&frames, 1002).await?;
    peer.again_with(OFFER).await?;
    peer.refused(&[Out::new(opcode::TEXT, bytes).rsv(2)], 1002)
        .await
}

#[tokio::test]
async fn what_does_not_inflate_is_refused() -> Result<()> {
    let mut peer = compressed().await?;
    peer.refused(&[Out::new(opcode::TEXT, [0xff; 40]).rsv(1)], 1007)
        .await?;
    peer.again_with(OFFER).await?;
    peer.refused(
        &[Out::new(opcode::TEXT, deflate(b"hello \xff")?).rsv(1)],
        1007,
    )
    .await
}

#[tokio::test]
async fn a_bomb_is_refused_and_costs_no_memory() -> Result<()> {
    let mut peer = compressed().await?;
    let bomb = deflate(&vec![b' '; 40 * 1024 * 1024])?;
    ensure!(bomb.len() < 60_000, "the bomb has {} bytes", bomb.len());
    let before = peer.hub.memory_kib()?;
    peer.refused(&[Out::new(opcode::TEXT, bomb).rsv(1)], 1009)
        .await?;
    let grown = peer.hub.memory_kib()?.saturating_sub(before);
    ensure!(grown < 8 * 1024, "{grown} KiB for a bomb of 40 MiB");
    Ok(())
}

#[tokio::test]
async fn offers_that_cannot_be_met_are_declined_or_refused() -> Result<()> {
    let mut peer = Peer::open().await?;
    for (offer, agreed) in [
        ("permessage-deflate", true),
        (
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            true,
        ),
        ("permessage-deflate; server_max_window_bits=15", true),
        ("permessage-deflate; server_max_window_bits=9", false),
        (
            "permessage-deflate; server_max_window_bits=9, permessage-deflate",
            true,
        ),
        ("permessage-deflate; unknown_parameter", false),
        (
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            false,
        ),
        ("x-webkit-deflate-frame", false),
    ] {
        peer.again_with(&format!("Sec-WebSocket-Extensions: {offer}\r\n"))
            .await?;
        let answer = peer.head.header("sec-websocket-extensions");
        ensure!(
            answer.is_some() == agreed,
            "{offer} was answered by {answer:?}"
        );
        peer.alive().await?;
    }
    Ok(())
}
