//! Section 5.4: messages in several frames.

use anyhow::Result;
use switchboard_tests::raw::{Out, opcode};

use crate::peer::{Peer, ping, ping_of_length};

fn fragments(command: &[u8], cuts: &[usize]) -> Vec<Out> {
    let mut parts: Vec<&[u8]> = Vec::new();
    let mut rest = command;
    for cut in cuts {
        let (part, left) = rest.split_at(*cut);
        parts.push(part);
        rest = left;
    }
    parts.push(rest);
    let last = parts.len() - 1;
    parts
        .into_iter()
        .enumerate()
        .map(|(index, part)| {
            let frame = Out::new(
                if index == 0 {
                    opcode::TEXT
                } else {
                    opcode::CONTINUATION
                },
                part,
            );
            if index == last {
                frame
            } else {
                frame.unfinished()
            }
        })
        .collect()
}

#[tokio::test]
async fn fragments_are_joined() -> Result<()> {
    let mut peer = Peer::open().await?;
    for (id, cuts) in (1..).zip([&[5][..], &[1, 1, 1, 1], &[0], &[0, 0, 4, 0], &[18, 0]]) {
        for frame in fragments(&ping_of_length(id, 18), cuts) {
            peer.raw.send(&frame).await?;
        }
        peer.pinged(id).await?;
    }
    Ok(())
}

#[tokio::test]
async fn fragments_in_one_write_or_byte_by_byte_are_joined() -> Result<()> {
    let mut peer = Peer::open().await?;
    let bytes: Vec<u8> = fragments(&ping_of_length(1, 40), &[10, 10, 10])
        .iter()
        .flat_map(Out::bytes)
        .collect();
    peer.raw.write(&bytes).await?;
    peer.pinged(1).await?;
    for byte in &bytes {
        peer.raw.write(&[*byte]).await?;
    }
    peer.pinged(1).await
}

#[tokio::test]
async fn a_continuation_of_nothing_is_refused() -> Result<()> {
    let mut peer = Peer::open().await?;
    peer.refused(&[Out::new(opcode::CONTINUATION, ping(1))], 1002)
        .await?;
    peer.again().await?;
    peer.refused(
        &[Out::new(opcode::CONTINUATION, ping(1)).unfinished()],
        1002,
    )
    .await?;
    peer.again().await?;
    peer.raw.send(&Out::new(opcode::TEXT, ping(1))).await?;
    peer.pinged(1).await?;
    peer.refused(&[Out::new(opcode::CONTINUATION, ping(1))], 1002)
        .await
}

#[tokio::test]
async fn a_new_message_inside_another_is_refused() -> Result<()> {
    let mut peer = Peer::open().await?;
    for opcode in [opcode::TEXT, opcode::BINARY] {
        let frames = [
            Out::new(opcode::TEXT, ping(1)).unfinished(),
            Out::new(opcode, ping(2)),
        ];
        peer.refused(&frames, 1002).await?;
        peer.again().await?;
    }
    Ok(())
}

#[tokio::test]
async fn fragments_that_add_up_beyond_the_limit_are_refused() -> Result<()> {
    let mut peer = Peer::open().await?;
    let mut frames = vec![Out::new(opcode::TEXT, vec![b' '; 30_000]).unfinished()];
    frames.extend((0..2).map(|_| Out::new(opcode::CONTINUATION, vec![b' '; 30_000]).unfinished()));
    peer.refused(&frames, 1009).await
}

#[tokio::test]
async fn endless_empty_fragments_are_refused() -> Result<()> {
    let mut peer = Peer::open().await?;
    let mut bytes = Out::new(opcode::TEXT, "").unfinished().bytes();
    let empty = Out::new(opcode::CONTINUATION, "").unfinished().bytes();
    for _ in 0..5000 {
        bytes.extend_from_slice(&empty);
    }
    peer.raw.write(&bytes).await?;
    let close = peer.raw.control().await?;
    anyhow::ensure!(
        matches!(close.close_code(), Some(1002 | 1008 | 1009)),
        "{close:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_close_inside_a_message_is_taken() -> Result<()> {
    let mut peer = Peer::open().await?;
    let frames = [
        Out::new(opcode::TEXT, ping(1)).unfinished(),
        Out::new(opcode::CLOSE, 1000_u16.to_be_bytes()),
    ];
    peer.refused(&frames, 1000).await
}
