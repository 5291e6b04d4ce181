//! Section 5.5: pings, pongs, and what control frames may not be.

use anyhow::{Context, Result, ensure};
use switchboard_tests::raw::{Out, opcode};

use crate::peer::{Peer, ping, ping_of_length};

async fn pong(peer: &mut Peer, payload: &[u8]) -> Result<()> {
    let frame = peer.raw.frame().await?.context("the connection ended")?;
    ensure!(
        frame.first == 0x80 | opcode::PONG && frame.payload == payload,
        "a pong was expected, not {frame:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_ping_is_answered_with_its_payload() -> Result<()> {
    let mut peer = Peer::open().await?;
    let longest: Vec<u8> = (0..125).collect();
    for payload in [&b""[..], b"hello", &[0, 0xff, 0xfe, 0x80], &longest] {
        peer.raw.send(&Out::new(opcode::PING, payload)).await?;
        pong(&mut peer, payload).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_ping_that_comes_byte_by_byte_is_answered() -> Result<()> {
    let mut peer = Peer::open().await?;
    for byte in Out::new(opcode::PING, [7; 125]).bytes() {
        peer.raw.write(&[byte]).await?;
    }
    pong(&mut peer, &[7; 125]).await
}

#[tokio::test]
async fn many_pings_at_once_are_answered_in_order() -> Result<()> {
    let mut peer = Peer::open().await?;
    let bytes: Vec<u8> = (0..20)
        .flat_map(|n: u8| Out::new(opcode::PING, [n]).bytes())
        .collect();
    peer.raw.write(&bytes).await?;
    for n in 0..20 {
        pong(&mut peer, &[n]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_unasked_pong_is_passed_over() -> Result<()> {
    let mut peer = Peer::open().await?;
    for payload in ["", "never asked for"] {
        peer.raw.send(&Out::new(opcode::PONG, payload)).await?;
    }
    peer.alive().await
}

#[tokio::test]
async fn control_frames_over_125_bytes_are_refused() -> Result<()> {
    let mut peer = Peer::open().await?;
    for opcode in [opcode::PING, opcode::PONG, opcode::CLOSE] {
        let mut payload = vec![b'x'; 126];
        payload[..2].copy_from_slice(&1000_u16.to_be_bytes());
        peer.refused(&[Out::new(opcode, payload)], 1002).await?;
        peer.again().await?;
    }
    Ok(())
}

#[tokio::test]
async fn control_frames_in_fragments_are_refused() -> Result<()> {
    let mut peer = Peer::open().await?;
    for opcode in [opcode::PING, opcode::PONG, opcode::CLOSE] {
        peer.refused(&[Out::new(opcode, "").unfinished()], 1002)
            .await?;
        peer.again().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_ping_between_fragments_is_answered_at_once() -> Result<()> {
    let mut peer = Peer::open().await?;
    let command = ping_of_length(9, 60);
    peer.raw
        .send(&Out::new(opcode::TEXT, &command[..30]).unfinished())
        .await?;
    peer.raw.send(&Out::new(opcode::PING, "between")).await?;
    pong(&mut peer, b"between").await?;
    peer.raw
        .send(&Out::new(opcode::CONTINUATION, &command[30..]))
        .await?;
    peer.pinged(9).await
}

#[tokio::test]
async fn messages_and_pings_are_answered_in_the_order_of_their_coming() -> Result<()> {
    let mut peer = Peer::open().await?;
    let frames = [
        Out::new(opcode::PING, "1"),
        Out::new(opcode::TEXT, ping(2)),
        Out::new(opcode::PING, "3"),
    ];
    peer.raw
        .write(&frames.iter().flat_map(Out::bytes).collect::<Vec<_>>())
        .await?;
    let (mut pongs, mut replied) = (Vec::new(), false);
    for _ in 0..3 {
        let frame = peer.raw.frame().await?.context("the connection ended")?;
        if frame.opcode() == opcode::PONG {
            pongs.push(frame.payload);
        } else {
            replied = frame.text()?.contains("\"id\":2");
        }
    }
    ensure!(
        pongs == [b"1", b"3"] && replied,
        "{pongs:?}, replied: {replied}"
    );
    Ok(())
}
