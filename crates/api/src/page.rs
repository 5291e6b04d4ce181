//! Page tokens: opaque to callers, and good only for the listing that they came from.
//!
//! A token is the place to go on after and a fingerprint of what was asked. It guards against mistakes, not against malice:
//! a place gives nobody a right, since every page is checked against the caller anew.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use switchboard_core::ClientError;
use switchboard_core::fnv::fnv1a;

use crate::decode::bad_request;

/// The longest token that is looked at, in bytes.
const PAGE_TOKEN_BYTES_MAX: usize = 4096;

/// What the items of one response may weigh: gRPC clients take messages of 4 MiB unless they are told otherwise, and a response
/// that is larger than that reaches nobody.
pub(crate) const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024 - 64 * 1024;

/// Cuts a page to what one response may carry, one item at least. Tells whether something was cut.
pub(crate) fn fit<T: prost::Message>(items: &mut Vec<T>) -> bool {
    let mut bytes = 0;
    let fits = items.iter().take_while(|item| {
        let own = item.encoded_len();
        // The field's number is before its length.
        bytes += 1 + prost::length_delimiter_len(own) + own;
        bytes <= PAGE_BYTES_MAX
    });
    let fits = fits.count().max(1);
    let cut = fits < items.len();
    items.truncate(fits);
    cut
}

/// Makes the token of the page after `place`, in the listing that `query` describes.
pub(crate) fn token(query: &[&str], place: &str) -> String {
    let mut bytes = fingerprint(query).to_be_bytes().to_vec();
    bytes.extend_from_slice(place.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads a token; nothing for the first page.
///
/// # Errors
/// `bad_request` when it is none, or of another listing.
pub(crate) fn place(query: &[&str], token: &str) -> Result<Option<String>, ClientError> {
    if token.is_empty() {
        return Ok(None);
    }
    let bad = || {
        bad_request(
            "`page_token` is not one of this listing: give back `next_page_token` of the same request",
        )
    };
    if token.len() > PAGE_TOKEN_BYTES_MAX {
        return Err(bad());
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| bad())?;
    let (print, place) = bytes.split_first_chunk().ok_or_else(bad)?;
    if u64::from_be_bytes(*print) != fingerprint(query) {
        return Err(bad());
    }
    String::from_utf8(place.to_vec())
        .map(Some)
        .map_err(|_| bad())
}

/// The same on every node and in every version.
fn fingerprint(query: &[&str]) -> u64 {
    fnv1a(query.iter().flat_map(|part| part.bytes().chain([0xff])))
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use switchboard_proto::api::v1;

    use super::*;

    #[test]
    fn a_page_is_cut_to_what_a_response_may_carry() {
        let channel = |bytes| v1::Channel {
            name: "x".repeat(bytes),
            ..v1::Channel::default()
        };
        let mut channels = vec![channel(1024); 5000];
        assert!(fit(&mut channels));
        let answer = v1::ListChannelsResponse {
            channels: channels.clone(),
            ..v1::ListChannelsResponse::default()
        };
        assert!(answer.encoded_len() <= PAGE_BYTES_MAX);
        assert!(
            answer.encoded_len() > PAGE_BYTES_MAX - 2048,
            "cut too short"
        );
        assert!(!fit(&mut channels), "what fits is left as it is");
        let mut large = vec![channel(PAGE_BYTES_MAX), channel(1)];
        assert!(fit(&mut large));
        assert_eq!(large.len(), 1, "or nobody would ever get beyond it");
        assert!(!fit::<v1::Channel>(&mut Vec::new()));
    }

    #[test]
    fn a_token_is_good_for_its_own_listing_only() {
        let token = token(&["members", "chat:1"], "here");
        assert_eq!(
            place(&["members", "chat:1"], &token).unwrap().as_deref(),
            Some("here")
        );
        assert_eq!(place(&["members", "chat:1"], ""), Ok(None));
        for other in [
            &["members", "chat:2"][..],
            &["sessions", "chat:1"],
            &["memberschat:1"],
            &["members"],
        ] {
            assert!(place(other, &token).is_err(), "{other:?}");
        }
        for bad in ["here", "!", "AAAA", &token[1..], &"A".repeat(5000)] {
            assert!(place(&["members", "chat:1"], bad).is_err(), "{bad}");
        }
    }
}
