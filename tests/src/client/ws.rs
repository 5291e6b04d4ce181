//! The client over WebSocket.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::timeout_at;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::{Ended, Frame, Opening, Refused, Step};
use crate::door::Door;
use crate::waiting::SOON;

/// A WebSocket that speaks JSON.
pub struct Ws {
    /// The headers of the answer to the handshake.
    pub response: HeaderMap,
    /// Pings that came so far.
    pub pings: u64,
    socket: WebSocketStream<TcpStream>,
}

impl Ws {
    /// Opens a WebSocket.
    ///
    /// # Errors
    /// [`Refused`] when the hub answers otherwise than with 101.
    pub async fn open(hub: impl Into<Door>, opening: &Opening) -> Result<Self> {
        let hub = hub.into();
        let address = format!("ws://{}/v1/ws{}", hub.clients, opening.query(&[]));
        let mut request = address.into_client_request()?;
        for (name, value) in opening.all_headers() {
            request.headers_mut().append(
                HeaderName::from_bytes(name.as_bytes())?,
                HeaderValue::from_str(&value)?,
            );
        }
        let stream = TcpStream::connect(hub.clients).await?;
        stream.set_nodelay(true)?;
        match tokio::time::timeout(SOON, client_async(request, stream))
            .await
            .context("the handshake")?
        {
            Ok((socket, response)) => Ok(Self {
                response: response.headers().clone(),
                pings: 0,
                socket,
            }),
            Err(Error::Http(response)) => {
                let body = response.body().as_deref().unwrap_or_default();
                bail!(Refused::read(
                    response.status().as_u16(),
                    response.headers(),
                    body
                ))
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn step(&mut self, deadline: Instant) -> Result<Option<Step>> {
        loop {
            let Some(message) = self.message(deadline).await? else {
                return Ok(None);
            };
            match message {
                Ok(Message::Text(text)) => {
                    let json =
                        serde_json::from_str(&text).with_context(|| format!("no JSON: {text}"))?;
                    return Ok(Some(Step::Frame(Frame::read(&json)?)));
                }
                Ok(Message::Ping(_)) => self.pings += 1,
                Ok(Message::Close(close)) => {
                    // Reading on sends the answering close.
                    let _ = self.message(deadline).await;
                    let ended = close.map_or_else(
                        || Ended::broken("a close without a code"),
                        |close| Ended {
                            code: Some(close.code.into()),
                            reason: close.reason.to_string(),
                        },
                    );
                    return Ok(Some(Step::Ended(ended)));
                }
                Ok(Message::Pong(_) | Message::Frame(_)) => {}
                Ok(Message::Binary(_)) => bail!("a binary message came to a JSON client"),
                Err(error) => return Ok(Some(Step::Ended(Ended::broken(error)))),
            }
        }
    }

    /// The next message as it came; nothing at the deadline.
    async fn message(&mut self, deadline: Instant) -> Result<Option<Result<Message, Error>>> {
        match timeout_at(deadline.into(), self.socket.next()).await {
            Ok(Some(message)) => Ok(Some(message)),
            Ok(None) => Ok(Some(Err(Error::ConnectionClosed))),
            Err(_) => Ok(None),
        }
    }

    /// The next binary message.
    ///
    /// # Errors
    /// Something else comes, or nothing.
    pub async fn binary(&mut self) -> Result<bytes::Bytes> {
        loop {
            match self
                .message(Instant::now() + SOON)
                .await?
                .context("no binary message came")??
            {
                Message::Binary(bytes) => return Ok(bytes),
                Message::Ping(_) | Message::Pong(_) => {}
                other => bail!("a binary message was expected, not {other:?}"),
            }
        }
    }

    /// The next text message.
    ///
    /// # Errors
    /// Something else comes, or nothing.
    pub async fn text(&mut self) -> Result<String> {
        loop {
            match self
                .message(Instant::now() + SOON)
                .await?
                .context("no text message came")??
            {
                Message::Text(text) => return Ok(text.to_string()),
                Message::Ping(_) | Message::Pong(_) => {}
                other => bail!("a text message was expected, not {other:?}"),
            }
        }
    }

    /// Sends a text message.
    ///
    /// # Errors
    /// The socket is gone.
    pub async fn send(&mut self, text: String) -> Result<()> {
        Ok(self.socket.send(Message::text(text)).await?)
    }

    /// Sends a binary message.
    ///
    /// # Errors
    /// The socket is gone.
    pub async fn send_binary(&mut self, bytes: Vec<u8>) -> Result<()> {
        Ok(self.socket.send(Message::binary(bytes)).await?)
    }

    /// Resets the connection: the hub is told nothing but that it is gone.
    pub fn reset(self) {
        let stream = self.socket.into_inner();
        let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    }

    pub(super) async fn leave(mut self) -> Result<()> {
        let close = CloseFrame {
            code: CloseCode::Normal,
            reason: "".into(),
        };
        self.socket.send(Message::Close(Some(close))).await?;
        let deadline = Instant::now() + SOON;
        while let Some(Ok(_)) = self.message(deadline).await? {}
        Ok(())
    }
}
