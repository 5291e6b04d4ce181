//! Section 4: the opening handshake.

use anyhow::{Result, ensure};
use switchboard_tests::Hub;
use switchboard_tests::raw::{ACCEPT, Head, Raw, websocket_request};

use crate::peer::Peer;

async fn answer(hub: &Hub, request: &str) -> Result<Head> {
    let mut raw = Raw::connect(hub.clients).await?;
    raw.write(request.as_bytes()).await?;
    raw.head().await
}

fn good(hub: &Hub) -> String {
    websocket_request(
        "/v1/ws",
        &format!("Authorization: Bearer {}\r\n", hub.token("alice")),
    )
}

#[tokio::test]
async fn the_key_is_answered_as_the_rfc_says() -> Result<()> {
    let peer = Peer::open().await?;
    ensure!(
        peer.head.status == 101 && peer.head.header("sec-websocket-accept") == Some(ACCEPT),
        "{:?}",
        peer.head
    );
    let upgrade = peer.head.header("upgrade").unwrap_or_default();
    let connection = peer.head.header("connection").unwrap_or_default();
    ensure!(
        upgrade.eq_ignore_ascii_case("websocket") && connection.eq_ignore_ascii_case("upgrade"),
        "{:?}",
        peer.head
    );
    ensure!(
        peer.head.header("sec-websocket-extensions").is_none(),
        "nobody offered an extension"
    );
    ensure!(
        peer.head.header("sec-websocket-protocol").is_none(),
        "nobody offered a subprotocol"
    );
    Ok(())
}

#[tokio::test]
async fn each_fault_has_its_status() -> Result<()> {
    let hub = Hub::start().await?;
    let good = good(&hub);
    let cases = [
        ("Upgrade: websocket\r\n", "", 426),
        ("Connection: Upgrade\r\n", "", 426),
        ("Upgrade: websocket\r\n", "Upgrade: h2c\r\n", 426),
        ("Sec-WebSocket-Version: 13\r\n", "", 426),
        (
            "Sec-WebSocket-Version: 13\r\n",
            "Sec-WebSocket-Version: 8\r\n",
            426,
        ),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 400),
        ("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ=", 400),
        ("GET ", "POST ", 405),
    ];
    for (part, instead, status) in cases {
        let request = good.replacen(part, instead, 1);
        ensure!(request != good, "{part} is not in the request");
        let head = answer(&hub, &request).await?;
        ensure!(head.status == status, "{part:?} as {instead:?}: {head:?}");
        if status == 426 {
            ensure!(
                head.header("sec-websocket-version") == Some("13"),
                "{head:?}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn header_names_and_tokens_come_in_any_case_and_in_lists() -> Result<()> {
    let hub = Hub::start().await?;
    let request = good(&hub)
        .replace("Upgrade: websocket", "uPgRaDe: WebSocket")
        .replace("Connection: Upgrade", "CONNECTION: keep-alive, upgrade");
    let head = answer(&hub, &request).await?;
    ensure!(head.status == 101, "{head:?}");
    Ok(())
}

#[tokio::test]
async fn a_subprotocol_is_chosen_only_from_those_offered() -> Result<()> {
    let mut peer = Peer::open().await?;
    for (offer, chosen) in [
        ("switchboard.v1.json", Some("switchboard.v1.json")),
        (
            "graphql-ws, switchboard.v1.json",
            Some("switchboard.v1.json"),
        ),
        ("graphql-ws", None),
    ] {
        peer.again_with(&format!("Sec-WebSocket-Protocol: {offer}\r\n"))
            .await?;
        ensure!(
            peer.head.header("sec-websocket-protocol") == chosen,
            "{offer}: {:?}",
            peer.head
        );
        peer.alive().await?;
    }
    Ok(())
}

#[tokio::test]
async fn frames_that_come_with_the_handshake_are_read() -> Result<()> {
    use switchboard_tests::raw::{Out, opcode};
    let hub = Hub::start().await?;
    let mut raw = Raw::connect(hub.clients).await?;
    let mut bytes = good(&hub).into_bytes();
    bytes.extend(Out::new(opcode::TEXT, crate::peer::ping(1)).bytes());
    raw.write(&bytes).await?;
    ensure!(raw.head().await?.status == 101, "no upgrade");
    let open = raw.frame().await?;
    ensure!(
        open.is_some_and(|frame| frame
            .text()
            .is_ok_and(|text| text.starts_with(r#"{"open""#))),
        "no `open`"
    );
    let reply = raw.frame().await?;
    ensure!(
        reply.is_some_and(|frame| frame.text().is_ok_and(|text| text.contains(r#""id":1"#))),
        "no reply"
    );
    Ok(())
}
