//! Opening a WebSocket: one HTTP request, whose answer may be a refusal with its reason.
//!
//! hyper reads the answer, for a refusal's body tells the code that decides whether to come back; the WebSocket library would keep only
//! as much of it as came with the head.

use std::pin::pin;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, RETRY_AFTER,
    SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::dial::{Address, Wire};
use crate::timing::{MESSAGE_BYTES_MAX, PROBLEM_BYTES_MAX, Timing};
use crate::verdict::{Loss, retry_after};

const SUBPROTOCOL: &str = "switchboard.v1.json";

/// Opens a WebSocket at the hub.
pub(crate) async fn open(
    address: &Address,
    token: Option<&str>,
    timing: &Timing,
) -> Result<WebSocketStream<Wire>, Loss> {
    let key = generate_key();
    let request = request(address, token, timing, &key)?;
    let wire = TokioIo::new(address.dial().await?);
    let (mut sender, connection) = http1::handshake(wire).await.map_err(Loss::broken)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(Loss::broken)?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(refusal(response).await);
        }
        let accepted = response.headers().get(SEC_WEBSOCKET_ACCEPT);
        if accepted.map(HeaderValue::as_bytes) != Some(derive_accept_key(key.as_bytes()).as_bytes())
        {
            return Err(Loss::broken("whoever answered speaks no WebSocket"));
        }
        hyper::upgrade::on(response).await.map_err(Loss::broken)
    };
    // The connection is driven here, and not by a task of its own: what drops this future drops all of it.
    let mut exchange = pin!(exchange);
    let mut connection = pin!(connection.with_upgrades());
    let mut is_driven = true;
    let upgraded = loop {
        tokio::select! {
            outcome = &mut exchange => break outcome?,
            // Its failure fails the exchange too.
            _ = &mut connection, if is_driven => is_driven = false,
        }
    };
    let parts = upgraded
        .downcast::<TokioIo<Wire>>()
        .map_err(|_| Loss::broken("the connection is another one after the upgrade"))?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let (wire, read) = (parts.io.into_inner(), parts.read_buf.to_vec());
    Ok(WebSocketStream::from_partially_read(wire, read, Role::Client, Some(config)).await)
}

fn request(
    address: &Address,
    token: Option<&str>,
    timing: &Timing,
    key: &str,
) -> Result<Request<Empty<Bytes>>, Loss> {
    let heartbeat = timing.heartbeat.as_secs_f64().max(1.0);
    let mut request = Request::get(format!("{}/v1/ws?heartbeat={heartbeat}", address.path))
        .header(HOST, &address.authority)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, key)
        .header(SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL);
    if let Some(token) = token {
        let mut bearer = HeaderValue::try_from(format!("Bearer {token}")).map_err(Loss::broken)?;
        bearer.set_sensitive(true);
        request = request.header(AUTHORIZATION, bearer);
    }
    request.body(Empty::new()).map_err(Loss::broken)
}

/// What an answer that gives no session says.
async fn refusal(response: http::Response<Incoming>) -> Loss {
    let (head, body) = response.into_parts();
    let is_problem = text_of(&head.headers, CONTENT_TYPE.as_str())
        .is_some_and(|kind| kind.starts_with("application/problem+json"));
    let mut problem = Problem::default();
    if is_problem
        // Cut on its way, the status alone has to do.
        && let Ok(body) = Limited::new(body, PROBLEM_BYTES_MAX).collect().await
    {
        problem = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
    }
    let wait = text_of(&head.headers, RETRY_AFTER.as_str());
    Loss::Refused {
        status: head.status.as_u16(),
        code: problem.code,
        message: problem.detail,
        retry_after: wait.and_then(|text| retry_after(text, SystemTime::now())),
    }
}

fn text_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// `application/problem+json` (RFC 9457), as the hub writes it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    code: Option<String>,
    detail: String,
}
