//! The page to play with, in development mode only: its files, and `/dev/session.json`, which hands out tokens. What speaks to the hub
//! is no file of its own: it uses the client that the hub serves to everybody (`script.rs`).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use switchboard_auth::Issuer;

use crate::development::{self, CHANNEL, Commands};
use crate::listeners::Addresses;

/// Nothing but the page's own files: no inline script, nothing from elsewhere.
const CONTENT_POLICY: &str =
    "default-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'";

/// Short enough to show tokens being refreshed, long enough to paste a command from the page.
const TOKEN_TTL: Duration = Duration::from_mins(15);

/// Channels that the page proposes.
const CHANNELS: [&str; 3] = [CHANNEL, "demo:chat", "demo:cursors"];

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! assets {
    ($($path:literal, $kind:expr, $file:literal;)*) => {
        &[$(($path, $kind, include_bytes!(concat!("../assets/page/", $file)))),*]
    };
}

/// Path, media type and bytes of every file.
const ASSETS: &[(&str, &str, &[u8])] = assets! {
    "/", HTML, "index.html";
    "/page.css", CSS, "page.css";
    "/favicon.svg", SVG, "favicon.svg";
    "/clock.js", SCRIPT, "clock.js";
    "/measure.js", SCRIPT, "measure.js";
    "/page.js", SCRIPT, "page.js";
    "/presence.js", SCRIPT, "presence.js";
    "/view.js", SCRIPT, "view.js";
};

#[derive(Clone)]
struct Page {
    issuer: Arc<Issuer>,
    addresses: Addresses,
}

/// The page's routes.
pub(crate) fn router(issuer: Issuer, addresses: Addresses) -> Router {
    let mut router = Router::new().route("/dev/session.json", get(session));
    for (path, kind, bytes) in ASSETS {
        router = router.route(path, get(async move || asset(kind, bytes)));
    }
    router.with_state(Page {
        issuer: Arc::new(issuer),
        addresses,
    })
}

fn asset(kind: &'static str, bytes: &'static [u8]) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // The next start may be of another version.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, bytes).into_response()
}

#[derive(Deserialize)]
struct SessionQuery {
    user: Option<String>,
}

#[derive(Serialize)]
struct SessionAnswer {
    token: String,
    user: String,
    expires_at: u64,
    version: &'static str,
    api: SocketAddr,
    channels: [&'static str; 3],
    curl: Curl,
}

#[derive(Serialize)]
struct Curl {
    ws: String,
    sse: String,
    poll: String,
    publish: String,
}

/// A fresh token, for the user that is asked for or a guest of a random name.
async fn session(
    State(page): State<Page>,
    Query(query): Query<SessionQuery>,
    headers: HeaderMap,
) -> Response {
    // A page elsewhere whose name has been made to point here (DNS rebinding) sends its own name.
    if !headers.get(header::HOST).is_some_and(is_this_machine) {
        return (
            StatusCode::FORBIDDEN,
            "development mode answers to localhost only\n",
        )
            .into_response();
    }
    let user = match query.user.filter(|user| !user.is_empty()) {
        Some(user) => user,
        None => match guest() {
            Ok(user) => user,
            Err(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        },
    };
    match development::issue(&page.issuer, &user, TOKEN_TTL) {
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
        Ok(issued) => {
            let Commands {
                ws,
                sse,
                poll,
                publish,
            } = Commands::new(page.addresses, &issued.token);
            let answer = SessionAnswer {
                token: issued.token,
                user,
                expires_at: issued.expires_at_ms,
                version: env!("CARGO_PKG_VERSION"),
                api: page.addresses.api,
                channels: CHANNELS,
                curl: Curl {
                    ws,
                    sse,
                    poll,
                    publish,
                },
            };
            ([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response()
        }
    }
}

fn is_this_machine(host: &HeaderValue) -> bool {
    let Ok(host) = host.to_str() else {
        return false;
    };
    if host
        .parse::<SocketAddr>()
        .is_ok_and(|address| address.ip().is_loopback())
    {
        return true;
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn guest() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes)?;
    Ok(format!("guest-{:04x}", u16::from_le_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_file_of_the_page_is_served() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/page");
        let there: BTreeSet<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| format!("/{}", entry.unwrap().file_name().into_string().unwrap()))
            .map(|path| {
                if path == "/index.html" {
                    "/".to_owned()
                } else {
                    path
                }
            })
            .collect();
        let served: BTreeSet<String> = ASSETS.iter().map(|(path, ..)| (*path).to_owned()).collect();
        assert_eq!(there, served);
    }

    #[test]
    fn only_names_of_this_machine_get_tokens() {
        for (host, expected) in [
            ("127.0.0.1:8000", true),
            ("127.0.0.1", true),
            ("localhost:8000", true),
            ("LOCALHOST", true),
            ("[::1]:8000", true),
            ("[::1]", true),
            ("evil.example:8000", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example:8000", false),
            ("10.0.0.1:8000", false),
            ("", false),
        ] {
            assert_eq!(
                is_this_machine(&HeaderValue::from_static(host)),
                expected,
                "{host}"
            );
        }
    }
}
