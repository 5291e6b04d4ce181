//! `/client.js`: the TypeScript client as one module, for pages that are not bundled.
//!
//! Served in every mode, to everybody: it is public, and holds nothing of this hub. A page of any origin may import it, so it has
//! always the client that goes with its hub. What the page may do then is decided by its token, and by `clients.allowed_origins`.

use std::io::Write as _;
use std::sync::LazyLock;

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;
use switchboard_core::fnv::fnv1a;

/// Made by `npm run bundle` in `clients/typescript`, and kept here so that cargo alone builds the hub.
const SCRIPT: &[u8] = include_bytes!("../assets/client.js");

/// A third of it, which every browser takes.
static GZIPPED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder
        .write_all(SCRIPT)
        .and_then(|()| encoder.finish())
        .expect("memory takes what is written to it")
});

/// Names the content: the same for both encodings, so it is a weak one.
static TAG: LazyLock<String> =
    LazyLock::new(|| format!("W/\"{:016x}\"", fnv1a(SCRIPT.iter().copied())));

/// The route.
pub(crate) fn router() -> Router {
    Router::new().route(
        "/client.js",
        get(async |headers: HeaderMap| answer(&headers)),
    )
}

fn answer(asked: &HeaderMap) -> Response {
    let tag = HeaderValue::from_str(&TAG).expect("a quoted number");
    let headers = [
        (header::CONTENT_TYPE, "text/javascript; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Kept, and asked for again each time: a hub that is replaced is told by its tag, and a page never has yesterday's client.
        (header::CACHE_CONTROL, "public, no-cache"),
        (header::VARY, "accept-encoding"),
        // For `import` from another origin, and from a page that embeds nothing that does not agree to it.
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "cross-origin",
        ),
    ];
    let answered =
        if listed(asked, &header::IF_NONE_MATCH).any(|known| known == *TAG || known == "*") {
            (headers, StatusCode::NOT_MODIFIED).into_response()
        } else if listed(asked, &header::ACCEPT_ENCODING).any(takes_gzip) {
            let encoding = [(header::CONTENT_ENCODING, "gzip")];
            (headers, encoding, GZIPPED.as_slice()).into_response()
        } else {
            (headers, SCRIPT).into_response()
        };
    ([(header::ETAG, tag)], answered).into_response()
}

/// The members of a list in a header, however often it stands.
fn listed<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

/// Whether one member of `Accept-Encoding` takes gzip: it does unless its weight is 0 (RFC 9110, section 12.5.3).
fn takes_gzip(member: &str) -> bool {
    let (coding, weight) = member.split_once(';').unwrap_or((member, "q=1"));
    let weight = weight.trim().trim_start_matches("q=").parse::<f32>();
    coding.trim().eq_ignore_ascii_case("gzip") && weight.is_ok_and(|weight| weight > 0.0)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    fn asked(headers: &[(HeaderName, &'static str)]) -> Response {
        let headers = headers.iter().cloned();
        answer(
            &headers
                .map(|(name, value)| (name, HeaderValue::from_static(value)))
                .collect(),
        )
    }

    async fn body(response: Response) -> Vec<u8> {
        let read = axum::body::to_bytes(response.into_body(), usize::MAX).await;
        read.unwrap().to_vec()
    }

    #[tokio::test]
    async fn a_page_of_any_origin_gets_a_script() {
        let response = asked(&[(header::ORIGIN, "https://app.example.com")]);
        let header = |name: &str| response.headers()[name].to_str().unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(header("content-type"), "text/javascript; charset=utf-8");
        assert_eq!(header("access-control-allow-origin"), "*");
        assert_eq!(header("cross-origin-resource-policy"), "cross-origin");
        assert_eq!(header("vary"), "accept-encoding");
        assert_eq!(body(response).await, SCRIPT);
    }

    #[tokio::test]
    async fn whoever_takes_gzip_gets_it() {
        for (accepted, expected) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("gzip;q=0, identity", false),
            ("br", false),
        ] {
            let response = asked(&[(header::ACCEPT_ENCODING, accepted)]);
            let is_encoded = response.headers().contains_key(header::CONTENT_ENCODING);
            assert_eq!(is_encoded, expected, "{accepted}");
            let mut read = body(response).await;
            if is_encoded {
                let encoded = std::mem::take(&mut read);
                assert!(encoded.len() * 2 < SCRIPT.len(), "{}", encoded.len());
                GzDecoder::new(encoded.as_slice())
                    .read_to_end(&mut read)
                    .unwrap();
            }
            assert_eq!(read, SCRIPT, "{accepted}");
        }
    }

    #[tokio::test]
    async fn whoever_has_it_is_told_so() {
        let first = asked(&[]);
        let tag = first.headers()[header::ETAG].to_str().unwrap();
        let known = [(header::IF_NONE_MATCH, &*format!("\"other\", {tag}").leak())];
        let again = asked(&known);
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(again.headers()[header::ETAG], tag);
        assert_eq!(again.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert!(body(again).await.is_empty());
        let other = asked(&[(header::IF_NONE_MATCH, "\"other\"")]);
        assert_eq!(other.status(), StatusCode::OK);
    }
}
