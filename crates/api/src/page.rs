//! Page tokens: opaque to callers, and good only for the listing that they came from.
//!
//! A token is the place to go on after and a fingerprint of what was asked. It guards against mistakes, not against malice:
//! a place gives nobody a right, since every page is checked against the caller anew.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use switchboard_core::ClientError;

use crate::decode::bad_request;

/// The longest token that is looked at, in bytes.
const PAGE_TOKEN_BYTES_MAX: usize = 4096;

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

/// FNV-1a, 64 bits: the same on every node and in every version, which the standard library's hash does not promise.
fn fingerprint(query: &[&str]) -> u64 {
    let bytes = query.iter().flat_map(|part| part.bytes().chain([0xff]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
