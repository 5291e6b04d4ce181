//! A hold on a session that stands: its `open` frame has come.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::dial::{Address, Wire};
use crate::events::Session;
use crate::frames::{Close, Frame};
use crate::handshake;
use crate::outbox::Outbox;
use crate::timing::{GOODBYE, Timing};
use crate::verdict::Loss;

pub(crate) struct Link {
    pub(crate) opened: Session,
    pub(crate) opened_at: Instant,
    socket: WebSocketStream<Wire>,
    heard_at: Instant,
    /// The socket takes no more; the loss is told by reading, which may still find the hub's word.
    is_deaf: bool,
}

impl Link {
    /// Opens a session, within the time for it.
    pub(crate) async fn open(
        address: Address,
        token: Option<String>,
        timing: Timing,
    ) -> Result<Box<Self>, Loss> {
        let opening = async {
            let socket = handshake::open(&address, token.as_deref(), &timing).await?;
            Self::greet(socket).await
        };
        let late = |_| Loss::broken("no session opened in time");
        timeout(timing.open, opening).await.map_err(late)?
    }

    async fn greet(socket: WebSocketStream<Wire>) -> Result<Box<Self>, Loss> {
        let mut link = Box::new(Self {
            opened: Session::default(),
            opened_at: Instant::now(),
            socket,
            heard_at: Instant::now(),
            is_deaf: false,
        });
        let first = link.next(&mut Outbox::default()).await?;
        let opened = first
            .open
            .ok_or_else(|| Loss::broken("the first frame is not `open`"))?;
        link.opened = opened;
        link.opened_at = link.heard_at;
        Ok(link)
    }

    /// Waits for the next frame, and sends what is in the outbox meanwhile.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(crate) async fn next(&mut self, outbox: &mut Outbox) -> Result<Box<Frame>, Loss> {
        poll_fn(|context| {
            self.poll_send(context, outbox);
            self.poll_receive(context)
        })
        .await
    }

    fn poll_send(&mut self, context: &mut Context<'_>, outbox: &mut Outbox) {
        while !self.is_deaf && !outbox.is_empty() {
            match self.socket.poll_ready_unpin(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => self.is_deaf = true,
                Poll::Pending => break,
            }
            if !self.is_deaf
                && let Some(text) = outbox.pop()
            {
                self.is_deaf = self.socket.start_send_unpin(Message::text(text)).is_err();
            }
        }
        if !self.is_deaf {
            self.is_deaf = matches!(self.socket.poll_flush_unpin(context), Poll::Ready(Err(_)));
        }
    }

    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<Box<Frame>, Loss>> {
        loop {
            let Some(message) = ready!(self.socket.poll_next_unpin(context)) else {
                return Poll::Ready(Err(Loss::broken("the connection ended")));
            };
            self.heard_at = Instant::now();
            let outcome = match message {
                Ok(Message::Text(text)) => Frame::read(&text).and_then(|frame| match frame.close {
                    Some(told) => Err(Loss::Closed { told, framed: true }),
                    None => Ok(Box::new(frame)),
                }),
                Ok(Message::Close(Some(close))) => Err(Loss::Closed {
                    told: Close {
                        code: close.code.into(),
                        reason: close.reason.to_string(),
                        ..Close::default()
                    },
                    framed: false,
                }),
                Ok(Message::Close(None)) => Err(Loss::broken("closed without a reason")),
                Ok(Message::Binary(_)) => Err(Loss::broken("a binary message came")),
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => continue,
                Err(error) => Err(Loss::broken(error)),
            };
            return Poll::Ready(outcome);
        }
    }

    /// When the connection has been silent for too long.
    pub(crate) fn silent_at(&self, silence: Duration) -> Instant {
        self.heard_at + silence
    }

    /// Says goodbye, so that members leave at once, and gives the hub a moment to answer.
    pub(crate) async fn leave(mut self) {
        let goodbye = async {
            let close = CloseFrame {
                code: CloseCode::Normal,
                reason: "".into(),
            };
            if self.socket.close(Some(close)).await.is_ok() {
                while let Some(Ok(_)) = self.socket.next().await {}
            }
        };
        // A hub that does not answer hears the end of the connection.
        drop(timeout(GOODBYE, goodbye).await);
    }
}
