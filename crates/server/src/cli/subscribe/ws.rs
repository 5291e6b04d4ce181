//! Over WebSocket.

use anyhow::{Context, Result};
use futures_util::StreamExt;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{Target, refusal};
use crate::cli::frames::{End, Frame, Printer};

/// Follows the target's channels until the end.
pub(super) async fn follow(target: &Target, printer: &mut Printer) -> Result<End> {
    let url = reqwest::Url::parse_with_params(&format!("{}/v1/ws", target.url), target.query())?;
    let socket_url = url.as_str().replacen("http", "ws", 1);
    let mut request = socket_url.into_client_request()?;
    let bearer = HeaderValue::from_str(&format!("Bearer {}", target.token)).context("--token")?;
    request.headers_mut().insert(AUTHORIZATION, bearer);
    request.headers_mut().insert(
        SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static("switchboard.v1.json"),
    );
    let mut socket = match tokio_tungstenite::connect_async(request).await {
        Ok((socket, _)) => socket,
        Err(Error::Http(_)) => {
            // The same GET without the upgrade says why.
            let response = reqwest::Client::new()
                .get(url)
                .bearer_auth(&target.token)
                .send()
                .await?;
            return Err(refusal(response).await);
        }
        Err(error) => return Err(error).with_context(|| format!("no hub at {}", target.url)),
    };
    while let Some(message) = socket.next().await {
        match message {
            // Pings are answered by the library.
            Ok(Message::Text(text)) => {
                // A `close` frame is followed by the WebSocket's own, which ends it.
                if let Some(end) = printer.print(&Frame::parse(&text)?)? {
                    drop(socket.close(None).await);
                    return Ok(end);
                }
            }
            Ok(Message::Close(Some(close))) => {
                return Ok(End::Closed {
                    code: close.code.into(),
                    reason: close.reason.to_string(),
                });
            }
            Ok(_) => {}
            Err(_) => return Ok(End::Lost),
        }
    }
    Ok(End::Lost)
}
