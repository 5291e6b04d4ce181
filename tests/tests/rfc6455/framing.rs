//! Sections 5.1 and 5.2: lengths, masks, reserved bits, opcodes, limits.

use anyhow::{Result, ensure};
use switchboard_tests::raw::{Out, opcode};

use crate::peer::{Peer, ping, ping_of_length};

/// What a message may have by default.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

#[tokio::test]
async fn messages_of_every_form_of_length_are_read() -> Result<()> {
    let mut peer = Peer::open().await?;
    for (id, length) in (1..).zip([18, 125, 126, 127, 128, 65535, MESSAGE_BYTES_MAX]) {
        peer.raw
            .send(&Out::new(opcode::TEXT, ping_of_length(id, length)))
            .await?;
        peer.pinged(id).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_message_is_read_however_its_bytes_are_cut() -> Result<()> {
    let mut peer = Peer::open().await?;
    for (id, step) in (1..).zip([1, 2, 3, 7, 100]) {
        let bytes = Out::new(opcode::TEXT, ping_of_length(id, 300)).bytes();
        for part in bytes.chunks(step) {
            peer.raw.write(part).await?;
        }
        peer.pinged(id).await?;
    }
    Ok(())
}

#[tokio::test]
async fn many_messages_in_one_write_are_all_answered_in_order() -> Result<()> {
    let mut peer = Peer::open().await?;
    let bytes: Vec<u8> = (0..100)
        .flat_map(|id| Out::new(opcode::TEXT, ping(id)).bytes())
        .collect();
    peer.raw.write(&bytes).await?;
    for id in 0..100 {
        peer.pinged(id).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_frame_without_a_mask_is_refused() -> Result<()> {
    let mut peer = Peer::open().await?;
    for opcode in [opcode::TEXT, opcode::PING, opcode::CLOSE] {
        peer.refused(&[Out::new(opcode, "").unmasked()], 1002)
            .await?;
        peer.again().await?;
    }
    Ok(())
}

#[tokio::test]
async fn reserved_bits_without_an_extension_are_refused() -> Result<()> {
    let mut peer = Peer::open().await?;
    for bit in 1..=3 {
        for opcode in [opcode::TEXT, opcode::PING, opcode::CLOSE] {
            peer.refused(&[Out::new(opcode, "").rsv(bit)], 1002).await?;
            peer.again().await?;
        }
    }
    peer.refused(
        &[Out::new(opcode::TEXT, ping(1)).rsv(1).rsv(2).rsv(3)],
        1002,
    )
    .await
}

#[tokio::test]
async fn reserved_opcodes_are_refused() -> Result<()> {
    let mut peer = Peer::open().await?;
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        peer.refused(&[Out::new(opcode, "")], 1002).await?;
        peer.again().await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_came_before_a_violation_is_answered() -> Result<()> {
    let mut peer = Peer::open().await?;
    let bytes = [
        Out::new(opcode::TEXT, ping(1)).bytes(),
        Out::new(3, "").bytes(),
    ]
    .concat();
    peer.raw.write(&bytes).await?;
    peer.pinged(1).await?;
    peer.raw.closed(1002).await
}

#[tokio::test]
async fn bytes_on_a_json_socket_are_refused() -> Result<()> {
    let mut peer = Peer::open().await?;
    peer.refused(&[Out::new(opcode::BINARY, ping(1))], 1003)
        .await
}

#[tokio::test]
async fn a_length_beyond_the_limit_is_refused_before_its_bytes_come() -> Result<()> {
    let mut peer = Peer::open().await?;
    let too_long = MESSAGE_BYTES_MAX as u64 + 1;
    for length in [too_long, 1 << 32, (1 << 63) - 1] {
        peer.refused(&[Out::new(opcode::TEXT, "").length64(length)], 1009)
            .await?;
        peer.again().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_length_with_its_highest_bit_set_is_refused() -> Result<()> {
    let mut peer = Peer::open().await?;
    let frame = Out::new(opcode::TEXT, "").length64(1 << 63);
    peer.raw.send(&frame).await?;
    let close = peer.raw.control().await?;
    ensure!(matches!(close.close_code(), Some(1002 | 1009)), "{close:?}");
    Ok(())
}

#[tokio::test]
async fn a_length_in_more_bytes_than_it_needs_is_refused() -> Result<()> {
    let mut peer = Peer::open().await?;
    let command = ping_of_length(1, 100);
    peer.refused(
        &[Out::new(opcode::TEXT, command.clone()).length16(100)],
        1002,
    )
    .await?;
    peer.again().await?;
    peer.refused(&[Out::new(opcode::TEXT, command).length64(100)], 1002)
        .await?;
    peer.again().await?;
    peer.refused(
        &[Out::new(opcode::TEXT, ping_of_length(1, 300)).length64(300)],
        1002,
    )
    .await
}
