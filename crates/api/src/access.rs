//! Who calls, and whether they may: the API key's scopes and channel patterns, checked call by call.

use std::sync::Arc;

use http::HeaderMap;
use switchboard_auth::{ApiKeys, Caller, Scope, bearer};
use switchboard_core::{ChannelName, ChannelPattern, ClientError, ErrorCode};
use tonic::{Request, Status};

use crate::status::{refused, status};

/// A request's caller, as the guard leaves it in the request's extensions.
#[derive(Clone)]
struct CalledBy(Arc<Caller>);

/// Finds who calls by the request's API key.
///
/// # Errors
/// `unauthenticated`; the message says how to bring a key and never quotes one.
pub(crate) fn authenticate(
    keys: &ApiKeys,
    headers: &HeaderMap,
) -> Result<Arc<Caller>, ClientError> {
    let unauthenticated =
        |message: &'static str| ClientError::new(ErrorCode::Unauthenticated, message);
    let mut values = headers.get_all(http::header::AUTHORIZATION).iter();
    let value = values
        .next()
        .ok_or_else(|| unauthenticated("no API key: send it as `authorization: Bearer KEY`"))?;
    if values.next().is_some() {
        return Err(unauthenticated("two `authorization` entries: send one"));
    }
    let key = value.to_str().ok().and_then(|value| bearer(value).ok());
    keys.authenticate(key.ok_or_else(|| unauthenticated("`authorization` must be `Bearer KEY`"))?)
}

/// Leaves the caller for the services.
pub(crate) fn remember(extensions: &mut http::Extensions, caller: Arc<Caller>) {
    extensions.insert(CalledBy(caller));
}

/// The request's caller, who must have `scope`.
pub(crate) fn caller<T>(request: &Request<T>, scope: Scope) -> Result<Arc<Caller>, Status> {
    let Some(CalledBy(caller)) = request.extensions().get() else {
        // The routes were put up without the guard: nobody is let in.
        return Err(refused(
            ErrorCode::Unauthenticated,
            "no API key was checked",
        ));
    };
    caller.may(scope, None).map_err(status)?;
    Ok(Arc::clone(caller))
}

/// The request's caller, who must have `scope` for `channel`.
pub(crate) fn caller_for<T>(
    request: &Request<T>,
    scope: Scope,
    channel: &ChannelName,
) -> Result<Arc<Caller>, Status> {
    let caller = caller(request, scope)?;
    caller.may(scope, Some(channel)).map_err(status)?;
    Ok(caller)
}

/// Whether a channel in a list is the caller's to see.
pub(crate) fn sees(caller: &Caller, channel: &ChannelName) -> bool {
    caller
        .channels
        .iter()
        .any(|pattern| pattern.matches(channel))
}

/// Whether one of the caller's patterns matches every channel that `wanted` matches. Patterns that do so only together are
/// not put together: a grant refused by mistake is noticed, one given by mistake is not.
pub(crate) fn covers(caller: &Caller, wanted: &ChannelPattern) -> bool {
    caller
        .channels
        .iter()
        .any(|own| pattern_covers(own.as_str(), wanted.as_str()))
}

fn pattern_covers(own: &str, wanted: &str) -> bool {
    let (mut own, mut wanted) = (own.split(':').peekable(), wanted.split(':').peekable());
    loop {
        match (own.next(), wanted.next()) {
            (None, None) => return true,
            // Ours stands for all that may follow.
            (Some("*"), Some(_)) if own.peek().is_none() => return true,
            // Theirs stands for any number of segments, ours for one.
            (Some("*"), Some("*")) if wanted.peek().is_none() => return false,
            (Some("*"), Some(_)) => {}
            (Some(own), Some(wanted)) if own == wanted => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_what_matches_no_more_than_itself() {
        let check = |own: &str, yes: &[&str], no: &[&str]| {
            for wanted in yes {
                assert!(pattern_covers(own, wanted), "{own} should cover {wanted}");
            }
            for wanted in no {
                assert!(
                    !pattern_covers(own, wanted),
                    "{own} should not cover {wanted}"
                );
            }
        };
        check("*", &["*", "a", "a:*", "a:*:b", "*:b"], &[]);
        check(
            "chat:*",
            &["chat:*", "chat:42", "chat:42:*", "chat:*:typing"],
            &["*", "chat", "*:42", "doc:*"],
        );
        check(
            "chat:*:typing",
            &["chat:*:typing", "chat:1:typing"],
            &["chat:*", "chat:*:*", "chat:1", "chat:1:2:typing"],
        );
        check(
            "chat:42",
            &["chat:42"],
            &["chat:*", "chat:43", "chat:42:x", "chat"],
        );
        check("*:x", &["a:x", "*:x"], &["*", "a:*", "a:y"]);
    }

    /// Containment against what patterns really match, over all short names and patterns of a small alphabet.
    #[test]
    fn covering_agrees_with_matching() {
        let segments = |letters: &[&str]| {
            let mut all: Vec<String> = letters.iter().map(ToString::to_string).collect();
            let mut last = all.clone();
            for _ in 0..3 {
                last = last
                    .iter()
                    .flat_map(|head| letters.iter().map(move |l| format!("{head}:{l}")))
                    .collect();
                all.extend(last.clone());
            }
            all
        };
        let names: Vec<_> = segments(&["a", "b"])
            .iter()
            .map(|name| ChannelName::parse(name).unwrap())
            .collect();
        let patterns: Vec<_> = segments(&["a", "*"])
            .iter()
            .map(|pattern| ChannelPattern::parse(pattern).unwrap())
            .collect();
        for own in &patterns {
            for wanted in patterns
                .iter()
                .filter(|wanted| pattern_covers(own.as_str(), wanted.as_str()))
            {
                for name in names.iter().filter(|name| wanted.matches(name)) {
                    assert!(
                        own.matches(name),
                        "{own:?} covers {wanted:?}, which matches {name}"
                    );
                }
            }
        }
    }
}
