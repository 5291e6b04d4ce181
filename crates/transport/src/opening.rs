//! What must hold before a session exists: the same checks, in the same order, whichever way the client comes.
//!
//! The query first (400), then who asks (401, 403), then whether that one may have what it asks for (403, 404), then
//! whether there is room (429, 503). Nothing is sent or registered before all of them have passed.

use std::net::IpAddr;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderName, header};
use switchboard_auth::{CredentialInput, Source, check_origin, extract};
use switchboard_core::{ClientError, ErrorCode, Identity};
use switchboard_node::{Opening, Transport};
use switchboard_protocol::Wire;

use crate::clients::Shared;
use crate::query::Query;
use crate::requests::Peer;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Checks all of an opening but whether there is room for it, which is the part that takes something
/// (`Node::admit`).
///
/// # Errors
/// `unauthenticated`, `token_expired`, `permission_denied`, `unknown_namespace`, `limit_exceeded`, and `unavailable` when the
/// token could not be checked.
pub(crate) async fn check(
    shared: &Shared,
    head: &Parts,
    query: Query,
    transport: Transport,
    wire: Wire,
) -> Result<Opening, ClientError> {
    let identity = identify(shared, head, query.token.as_deref()).await?;
    let opening = Opening {
        identity,
        transport,
        wire,
        channels: query.channels,
        rewind: query.rewind,
        cursor: query.cursor,
        heartbeat: query.heartbeat,
        client_ip: client_ip(shared, head),
    };
    shared.node.check_opening(&opening)?;
    Ok(opening)
}

/// Where the client is; nothing when the request came by no socket.
pub(crate) fn client_ip(shared: &Shared, head: &Parts) -> Option<IpAddr> {
    let Peer(peer) = head.extensions.get()?;
    let forwarded_for = texts(&head.headers, &FORWARDED_FOR);
    Some(
        shared
            .config
            .trusted_proxies
            .client_ip(peer.ip(), forwarded_for.into_iter()),
    )
}

async fn identify(
    shared: &Shared,
    head: &Parts,
    query_token: Option<&str>,
) -> Result<Arc<Identity>, ClientError> {
    let authorization = texts(&head.headers, &header::AUTHORIZATION);
    let subprotocols = texts(&head.headers, &header::SEC_WEBSOCKET_PROTOCOL);
    let cookies = texts(&head.headers, &header::COOKIE);
    let input = CredentialInput {
        authorization: &authorization,
        subprotocols: &subprotocols,
        cookies: &cookies,
        cookie_name: shared.config.cookie_name.as_deref(),
        query_token,
    };
    let found = extract(&input)
        .map_err(|error| ClientError::new(ErrorCode::Unauthenticated, error.to_string()))?;
    let Some(credential) = found else {
        return anonymous(shared);
    };
    if credential.source == Source::Cookie {
        let origin = texts(&head.headers, &header::ORIGIN).first().copied();
        let fetch_site = texts(&head.headers, &FETCH_SITE).first().copied();
        check_origin(origin, fetch_site, &shared.config.allowed_origins)
            .map_err(|error| ClientError::new(ErrorCode::PermissionDenied, error.to_string()))?;
    }
    let verified = shared.verifier.verify(credential.text).await;
    verified.map_err(|error| ClientError::new(error.code, error.message))
}

fn anonymous(shared: &Shared) -> Result<Arc<Identity>, ClientError> {
    let Some(grants) = &shared.config.anonymous else {
        let message = "no credential: bring a token in `Authorization: Bearer`, the subprotocol \
                       `switchboard.token.<jwt>`, the cookie or `token=`";
        return Err(ClientError::new(ErrorCode::Unauthenticated, message));
    };
    let grants = Arc::clone(grants);
    Ok(Arc::new(Identity {
        user: None,
        info: None,
        grants,
        expires_at_ms: None,
        token_id: None,
        issued_at_ms: None,
    }))
}

/// All values of a header. One that is no text stands as an empty one: it is there, and malformed.
pub(crate) fn texts<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    headers
        .get_all(name)
        .iter()
        .map(|value| value.to_str().unwrap_or_default())
        .collect()
}
