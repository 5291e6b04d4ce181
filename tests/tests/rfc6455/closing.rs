//! Section 7: the closing handshake.

use anyhow::{Result, ensure};
use switchboard_tests::raw::{Out, opcode};

use crate::peer::{Peer, ping};

fn close(code: u16, reason: &[u8]) -> Out {
    Out::new(opcode::CLOSE, [&code.to_be_bytes()[..], reason].concat())
}

#[tokio::test]
async fn a_close_is_answered_with_its_code() -> Result<()> {
    let mut peer = Peer::open().await?;
    for code in [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000,
        4999,
    ] {
        peer.raw.send(&close(code, b"")).await?;
        let answer = peer.raw.control().await?;
        ensure!(
            answer.opcode() == opcode::CLOSE && answer.close_code() == Some(code),
            "{code}: {answer:?}"
        );
        peer.raw.ended().await?;
        peer.again().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_close_without_a_code_is_answered() -> Result<()> {
    let mut peer = Peer::open().await?;
    peer.raw.send(&Out::new(opcode::CLOSE, "")).await?;
    let answer = peer.raw.control().await?;
    ensure!(
        answer.opcode() == opcode::CLOSE && matches!(answer.close_code(), None | Some(1000)),
        "{answer:?}"
    );
    peer.raw.ended().await
}

#[tokio::test]
async fn a_close_with_a_reason_is_taken() -> Result<()> {
    let mut peer = Peer::open().await?;
    for reason in ["bye", "κόσμε", &"x".repeat(123)] {
        peer.raw.send(&close(1000, reason.as_bytes())).await?;
        peer.raw.closed(1000).await?;
        peer.again().await?;
    }
    Ok(())
}

#[tokio::test]
async fn codes_that_nobody_may_send_are_refused() -> Result<()> {
    let mut peer = Peer::open().await?;
    for code in [
        0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535,
    ] {
        peer.refused(&[close(code, b"")], 1002).await?;
        peer.again().await?;
    }
    Ok(())
}

#[tokio::test]
async fn half_a_code_is_refused() -> Result<()> {
    Peer::open()
        .await?
        .refused(&[Out::new(opcode::CLOSE, [3])], 1002)
        .await
}

#[tokio::test]
async fn a_reason_that_is_no_utf8_is_refused() -> Result<()> {
    Peer::open()
        .await?
        .refused(
            &[close(
                1000,
                b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80",
            )],
            1007,
        )
        .await
}

#[tokio::test]
async fn nothing_after_a_close_is_heard() -> Result<()> {
    let mut peer = Peer::open().await?;
    let frames = [
        close(1000, b""),
        Out::new(opcode::TEXT, ping(1)),
        Out::new(opcode::PING, "late"),
        close(1001, b""),
    ];
    peer.refused(&frames, 1000).await
}

#[tokio::test]
async fn a_clean_close_leaves_nothing_behind() -> Result<()> {
    let mut peer = Peer::open().await?;
    peer.hub
        .await_metric("sessions", |count| count > 0.5)
        .await?;
    peer.raw.send(&close(1000, b"")).await?;
    peer.raw.closed(1000).await?;
    peer.hub
        .await_metric("sessions", |count| count < 0.5)
        .await?;
    let closes = peer
        .hub
        .metrics()
        .await?
        .labelled("session_closes_total", "code=\"1000\"");
    ensure!((closes - 1.0).abs() < 0.1, "{closes} closes with 1000");
    Ok(())
}

#[tokio::test]
async fn a_connection_that_breaks_without_a_close_leaves_nothing_behind() -> Result<()> {
    let mut peer = Peer::open().await?;
    peer.raw
        .write(&Out::new(opcode::TEXT, ping(1)).bytes()[..4])
        .await?;
    let Peer { hub, raw, .. } = peer;
    drop(raw);
    hub.await_metric("sessions", |count| count < 0.5).await?;
    Ok(())
}
