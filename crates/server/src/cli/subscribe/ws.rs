//! Over WebSocket.

use std::sync::Arc;

use anyhow::{Context, Result};
use futures_util::StreamExt;
use reqwest::Url;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::either::Either;

use super::{Target, refusal};
use crate::cli::frames::{End, Frame, Printer};

/// Follows the target's channels until the end.
pub(super) async fn follow(target: &Target, printer: &mut Printer) -> Result<End> {
    let url = Url::parse_with_params(&format!("{}/v1/ws", target.url), target.query())?;
    let socket_url = url.as_str().replacen("http", "ws", 1);
    let mut request = socket_url.into_client_request()?;
    let bearer = HeaderValue::from_str(&format!("Bearer {}", target.token)).context("--token")?;
    request.headers_mut().insert(AUTHORIZATION, bearer);
    request.headers_mut().insert(
        SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static("switchboard.v1.json"),
    );
    let connection = connect(&url, target.tls.as_ref())
        .await
        .with_context(|| format!("no hub at {}", target.url))?;
    let mut socket = match tokio_tungstenite::client_async(request, connection).await {
        Ok((socket, _)) => socket,
        Err(Error::Http(_)) => {
            // The same GET without the upgrade says why.
            let response = target
                .http()?
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

/// A connection to the URL's host, encrypted where there is a configuration for that.
async fn connect(
    url: &Url,
    tls: Option<&rustls::ClientConfig>,
) -> Result<Either<TcpStream, TlsStream<TcpStream>>> {
    let host = url.host_str().context("the URL names no host")?;
    // An IPv6 address stands in brackets there.
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = url.port_or_known_default().context("no port")?;
    let socket = TcpStream::connect((host, port)).await?;
    let Some(tls) = tls else {
        return Ok(Either::Left(socket));
    };
    let name = ServerName::try_from(host.to_owned())?;
    let connector = TlsConnector::from(Arc::new(tls.clone()));
    Ok(Either::Right(connector.connect(name, socket).await?))
}
