//! `GET /v1/ws`: the WebSocket handshake, by HTTP/1.1 (RFC 6455) or by extended CONNECT over HTTP/2 (RFC 8441).
//!
//! Everything is checked before the handshake itself is looked at. So a plain GET of the same URL is refused for the
//! same reason as the upgrade was, which a browser does not tell its page; when nothing is wrong it gets a 426.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode, Version, header};
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use switchboard_core::{ClientError, ErrorCode};
use switchboard_node::Transport;
use switchboard_protocol::Wire;
use switchboard_protocol::websocket::extensions;
use switchboard_protocol::websocket::handshake::{self, HandshakeError, UpgradeRequest};

use crate::clients::Shared;
use crate::opening::{self, texts};
use crate::pump;
use crate::query::Query;
use crate::refusal::Refusal;
use crate::requests::Busy;
use crate::takeover::{Handover, Slot};

/// The subprotocols that are spoken here, and what each is on the wire.
const SUBPROTOCOLS: [(&str, Wire); 2] = [
    ("switchboard.v1.json", Wire::WebSocketJson),
    ("switchboard.v1.protobuf", Wire::WebSocketProtobuf),
];

/// Opens a WebSocket session.
pub(crate) async fn open(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (mut head, _) = request.into_parts();
    match attempt(&shared, &mut head).await {
        Ok(response) => response,
        Err(refusal) => shared.refuse(&head, Some(Transport::WebSocket), refusal),
    }
}

async fn attempt(shared: &Arc<Shared>, head: &mut Parts) -> Result<Response, Refusal> {
    let is_http2 = head.version == Version::HTTP_2;
    let is_connect = is_http2 && head.method == Method::CONNECT;
    if head.method != Method::GET && !is_connect {
        return Err(Refusal::method("GET"));
    }
    let query = Query::parse(head.uri.query(), shared.node.limits())?;
    let terms = Terms::agree(shared, head)?;
    let opening = opening::check(shared, head, query, Transport::WebSocket, terms.wire).await?;
    let admission = shared.node.admit(&opening).await?;
    let response = if is_http2 {
        let upgrade = check_connect(head)?;
        let handover = Handover {
            opening,
            admission,
            pair: Some(shared.pair()?),
        };
        let busy = head.extensions.get().cloned();
        spawn_tunnel(shared, upgrade, busy, handover);
        // RFC 8441, section 5: a 200, without the key's echo.
        Response::new(Body::empty())
    } else {
        let accept = check_upgrade(head)?;
        let slot: &Arc<Slot> = head
            .extensions
            .get()
            .ok_or_else(|| refusal(HandshakeError::NotUpgrade))?;
        slot.fill(Handover {
            opening,
            admission,
            pair: slot.pair(shared)?,
        });
        switching_protocols(&accept)
    };
    Ok(terms.write(response))
}

/// What client and hub agree on beside the upgrade.
struct Terms {
    wire: Wire,
    subprotocol: Option<&'static str>,
    extensions: Option<&'static str>,
}

impl Terms {
    fn agree(shared: &Shared, head: &Parts) -> Result<Self, ClientError> {
        let offers = texts(&head.headers, &header::SEC_WEBSOCKET_PROTOCOL);
        let chosen = choose_subprotocol(&offers);
        let plain = chosen.map_or(Wire::WebSocketJson, |(_, wire)| wire);
        let offers = texts(&head.headers, &header::SEC_WEBSOCKET_EXTENSIONS).join(", ");
        let extensions = extensions::negotiate(&offers)
            .map_err(|error| ClientError::new(ErrorCode::BadRequest, error.to_string()))?
            .filter(|_| shared.config.compression);
        let wire = match (plain, extensions) {
            (Wire::WebSocketJson, Some(_)) => Wire::WebSocketJsonDeflate,
            (Wire::WebSocketProtobuf, Some(_)) => Wire::WebSocketProtobufDeflate,
            (plain, _) => plain,
        };
        Ok(Self {
            wire,
            subprotocol: chosen.map(|(name, _)| name),
            extensions,
        })
    }

    fn write(self, mut response: Response) -> Response {
        let headers = response.headers_mut();
        if let Some(subprotocol) = self.subprotocol {
            headers.insert(
                header::SEC_WEBSOCKET_PROTOCOL,
                HeaderValue::from_static(subprotocol),
            );
        }
        if let Some(extensions) = self.extensions {
            headers.insert(
                header::SEC_WEBSOCKET_EXTENSIONS,
                HeaderValue::from_static(extensions),
            );
        }
        response
    }
}

/// The client's first offer that is spoken here. With none of ours among them, the connection goes without a subprotocol and
/// speaks JSON; a subprotocol that carries a token is never chosen.
fn choose_subprotocol(offers: &[&str]) -> Option<(&'static str, Wire)> {
    let mut offered = offers
        .iter()
        .flat_map(|list| list.split(','))
        .map(str::trim);
    offered.find_map(|offer| SUBPROTOCOLS.into_iter().find(|(name, _)| *name == offer))
}

fn check_upgrade(head: &Parts) -> Result<String, Refusal> {
    let joined = |name: &HeaderName| {
        let values = texts(&head.headers, name);
        (!values.is_empty()).then(|| values.join(", "))
    };
    let (upgrade, connection) = (joined(&header::UPGRADE), joined(&header::CONNECTION));
    let (version, key) = (
        joined(&header::SEC_WEBSOCKET_VERSION),
        joined(&header::SEC_WEBSOCKET_KEY),
    );
    let request = UpgradeRequest {
        method: head.method.as_str(),
        // HTTP/1.0 has no upgrades.
        upgrade: upgrade
            .as_deref()
            .filter(|_| head.version == Version::HTTP_11),
        connection: connection.as_deref(),
        version: version.as_deref(),
        key: key.as_deref(),
    };
    handshake::accept(&request).map_err(refusal)
}

fn check_connect(head: &mut Parts) -> Result<OnUpgrade, Refusal> {
    let protocol = head.extensions.get::<Protocol>();
    if !protocol.is_some_and(|protocol| protocol.as_str().eq_ignore_ascii_case("websocket")) {
        return Err(refusal(HandshakeError::NotUpgrade));
    }
    if texts(&head.headers, &header::SEC_WEBSOCKET_VERSION) != ["13"] {
        return Err(refusal(HandshakeError::Version));
    }
    head.extensions
        .remove()
        .ok_or_else(|| refusal(HandshakeError::NotUpgrade))
}

fn refusal(error: HandshakeError) -> Refusal {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let refusal = Refusal::with_status(status, ErrorCode::BadRequest, error.to_string());
    let refusal = match error {
        HandshakeError::NotUpgrade => refusal.counted_as("upgrade_required"),
        _ => refusal,
    };
    error
        .headers()
        .iter()
        .fold(refusal, |refusal, (name, value)| {
            refusal.header(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
}

fn switching_protocols(accept: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    let accept = HeaderValue::from_str(accept).expect("base64 is a header value");
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    response
}

/// Connects a stream of HTTP/2, once it is open, to the node.
fn spawn_tunnel(shared: &Arc<Shared>, upgrade: OnUpgrade, busy: Option<Busy>, handover: Handover) {
    let node = shared.node.clone();
    shared.spawn(async move {
        let Handover {
            opening,
            admission,
            pair,
        } = handover;
        match (upgrade.await, pair) {
            (Ok(upgraded), Some((near, far))) => {
                let write_timeout = node.limits().outbox_age_max;
                node.adopt(opening, admission, near, bytes::Bytes::new());
                pump::run(far, TokioIo::new(upgraded), write_timeout).await;
            }
            (Err(error), _) => tracing::debug!(%error, "tunnel could not be opened"),
            (Ok(_), None) => tracing::error!("a tunnel was opened without a pair"),
        }
        drop(busy);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subprotocols_are_chosen_by_the_client_and_tokens_never() {
        let check = |offers: &[&str], expected: Option<&str>| {
            assert_eq!(
                choose_subprotocol(offers).map(|(name, _)| name),
                expected,
                "{offers:?}"
            );
        };
        check(&[], None);
        check(&["switchboard.v1.json"], Some("switchboard.v1.json"));
        check(
            &["switchboard.token.a.b.c, switchboard.v1.protobuf"],
            Some("switchboard.v1.protobuf"),
        );
        check(
            &["x", "switchboard.v1.protobuf,switchboard.v1.json"],
            Some("switchboard.v1.protobuf"),
        );
        check(&["switchboard.token.a.b.c"], None);
        check(&["graphql-ws"], None);
    }
}
