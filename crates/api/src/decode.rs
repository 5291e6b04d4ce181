//! From the wire to core types. What passes here is well-formed; whether it is allowed is `access`'s question, whether
//! it can be done the node's.

use bytes::Bytes;
use switchboard_core::identity::USER_ID_BYTES_MAX;
use switchboard_core::{
    ChannelName, ChannelPattern, ClientError, Close, CloseCode, Epoch, ErrorCode, Limits, Payload,
    Position, SessionId, Start, UserId,
};
use switchboard_node::{Publish, Target, check_json};
use switchboard_proto::api::v1;

/// The longest reason told to a client, in bytes: the room that a WebSocket close leaves (RFC 6455, section 5.5).
const REASON_BYTES_MAX: usize = 123;

pub(crate) fn bad_request(message: impl Into<std::borrow::Cow<'static, str>>) -> ClientError {
    ClientError::new(ErrorCode::BadRequest, message)
}

pub(crate) fn channel(text: &str) -> Result<ChannelName, ClientError> {
    ChannelName::parse(text).map_err(|error| bad_request(format!("`channel`: {error}")))
}

pub(crate) fn pattern(field: &str, text: &str) -> Result<ChannelPattern, ClientError> {
    ChannelPattern::parse(text).map_err(|error| bad_request(format!("`{field}`: {error}")))
}

pub(crate) fn epoch(text: &str) -> Result<Epoch, ClientError> {
    Epoch::parse(text).ok_or_else(|| {
        bad_request("`epoch` is none that a hub has made: give back what the hub said")
    })
}

pub(crate) fn position(position: &v1::Position) -> Result<Position, ClientError> {
    Ok(Position {
        epoch: epoch(&position.epoch)?,
        offset: position.offset,
    })
}

pub(crate) fn session(text: &str) -> Result<SessionId, ClientError> {
    SessionId::parse(text).ok_or_else(|| bad_request("`session` is no session id"))
}

pub(crate) fn user(text: &str) -> Result<UserId, ClientError> {
    match text.len() {
        0 => Err(bad_request("`user` is missing")),
        length if length > USER_ID_BYTES_MAX => Err(bad_request(format!(
            "`user` is longer than {USER_ID_BYTES_MAX} bytes"
        ))),
        _ => Ok(UserId::from(text)),
    }
}

pub(crate) fn target(target: Option<v1::Target>) -> Result<Target, ClientError> {
    match target.and_then(|target| target.target) {
        Some(v1::target::Target::Session(text)) => Ok(Target::Session(session(&text)?)),
        Some(v1::target::Target::User(text)) => Ok(Target::User(user(&text)?)),
        None => Err(bad_request("`target` is missing: name a session or a user")),
    }
}

pub(crate) fn start(start: Option<v1::subscribe_request::Start>) -> Result<Start, ClientError> {
    Ok(match start {
        None => Start::Live,
        Some(v1::subscribe_request::Start::Position(at)) => Start::After(position(&at)?),
        Some(v1::subscribe_request::Start::Rewind(count)) => Start::Rewind(count),
    })
}

/// A publication into `channel`, which is the item's own and has been parsed.
pub(crate) fn publish(
    item: v1::PublishItem,
    channel: ChannelName,
    limits: &Limits,
) -> Result<Publish, ClientError> {
    check_bounds(&item, limits)?;
    let payload = match item.payload {
        Some(v1::publish_item::Payload::Json(bytes)) => json(&bytes)?,
        Some(v1::publish_item::Payload::Binary(bytes)) => binary(&bytes),
        None => return Err(no_payload()),
    };
    let exclude = match item.exclude_session.as_str() {
        "" => None,
        text => Some(
            SessionId::parse(text)
                .ok_or_else(|| bad_request("`exclude_session` is no session id"))?,
        ),
    };
    Ok(Publish {
        channel,
        payload,
        id: (!item.id.is_empty()).then(|| item.id.into_boxed_str()),
        tags: item
            .tags
            .into_iter()
            .map(|(name, value)| (name.into_boxed_str(), value.into_boxed_str()))
            .collect(),
        exclude,
        expected_position: item.expected_position.as_ref().map(position).transpose()?,
        skip_history: item.skip_history,
    })
}

fn check_bounds(item: &v1::PublishItem, limits: &Limits) -> Result<(), ClientError> {
    let (id_max, tags_max) = (limits.publication_id_bytes_max, limits.tags_max);
    if item.id.len() > id_max {
        return Err(bad_request(format!("`id` is longer than {id_max} bytes")));
    }
    if item.tags.len() > tags_max {
        return Err(bad_request(format!("more than {tags_max} `tags`")));
    }
    let tags = item.tags.iter();
    let bytes: usize = tags.map(|(name, value)| name.len() + value.len()).sum();
    if bytes > limits.tags_bytes_max {
        let max = limits.tags_bytes_max;
        return Err(bad_request(format!("`tags` have more than {max} bytes")));
    }
    Ok(())
}

pub(crate) fn message(payload: Option<v1::send_request::Payload>) -> Result<Payload, ClientError> {
    match payload {
        Some(v1::send_request::Payload::Json(bytes)) => json(&bytes),
        Some(v1::send_request::Payload::Binary(bytes)) => Ok(binary(&bytes)),
        None => Err(no_payload()),
    }
}

/// How a session is to be closed. Whether the client comes back hangs on the code alone, so code and `reconnect` must agree.
pub(crate) fn close(
    code: Option<u32>,
    reason: &str,
    reconnect: bool,
) -> Result<Close, ClientError> {
    let code = match code {
        None if reconnect => CloseCode::TRY_LATER,
        None => CloseCode::DISCONNECTED,
        Some(code @ 4000..=4299) => CloseCode(code as u16),
        Some(_) => return Err(bad_request("`code` must be 4000 to 4299")),
    };
    if code.reconnect() != reconnect {
        return Err(bad_request(
            "`code` and `reconnect` disagree: clients come back after 4000 to 4199 and stay away after 4200 to 4299",
        ));
    }
    Ok(Close::new(code, self::reason(reason)?.to_owned()))
}

pub(crate) fn reason(text: &str) -> Result<&str, ClientError> {
    if text.len() > REASON_BYTES_MAX {
        return Err(bad_request(format!(
            "`reason` is longer than {REASON_BYTES_MAX} bytes"
        )));
    }
    Ok(text)
}

// Both copy. What was decoded is a slice of the message, or of the buffer that several came in: history would keep all of that
// for as long as it keeps ten bytes of it, and count the ten.

fn json(bytes: &Bytes) -> Result<Payload, ClientError> {
    let checked = check_json(bytes).map_err(|error| bad_request(format!("`json`: {error}")))?;
    Ok(Payload::Json(Bytes::copy_from_slice(&checked)))
}

fn binary(bytes: &Bytes) -> Payload {
    Payload::Binary(Bytes::copy_from_slice(bytes))
}

fn no_payload() -> ClientError {
    bad_request("the payload is missing: set `json` or `binary`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item() -> v1::PublishItem {
        v1::PublishItem {
            payload: Some(v1::publish_item::Payload::Json(Bytes::from_static(
                b" {\"a\":\n1} ",
            ))),
            ..v1::PublishItem::default()
        }
    }

    fn decode(item: v1::PublishItem) -> Result<Publish, ClientError> {
        let channel = ChannelName::parse("chat:1").unwrap();
        publish(item, channel, &Limits::default())
    }

    #[test]
    fn json_comes_out_on_one_line() {
        let publish = decode(item()).unwrap();
        assert_eq!(
            publish.payload,
            Payload::Json(Bytes::from_static(b"{\"a\": 1}"))
        );
        assert_eq!(
            (publish.id, publish.exclude, publish.expected_position),
            (None, None, None)
        );
    }

    /// A batch of megabytes must not be kept for as long as one of its items is.
    #[test]
    fn a_payload_does_not_hold_on_to_the_message_it_came_in() {
        let message = Bytes::from(vec![b'1'; 1024]);
        let part = || message.slice(512..520);
        let item = |payload| v1::PublishItem {
            payload: Some(payload),
            ..v1::PublishItem::default()
        };
        let payloads = [
            decode(item(v1::publish_item::Payload::Json(part()))).map(|publish| publish.payload),
            decode(item(v1::publish_item::Payload::Binary(part()))).map(|publish| publish.payload),
            super::message(Some(v1::send_request::Payload::Json(part()))),
            super::message(Some(v1::send_request::Payload::Binary(part()))),
        ];
        for payload in payloads {
            let payload = payload.unwrap();
            assert_eq!(payload.bytes(), &part());
            let held = message.as_ptr_range();
            assert!(!held.contains(&payload.bytes().as_ptr()), "{payload:?}");
        }
    }

    #[test]
    fn bad_items_are_refused_with_the_field_named() {
        let check = |change: &dyn Fn(&mut v1::PublishItem), field: &str| {
            let mut item = item();
            change(&mut item);
            let error = decode(item).unwrap_err();
            assert_eq!(error.code, ErrorCode::BadRequest);
            assert!(
                error.message.contains(field),
                "{} should name {field}",
                error.message
            );
        };
        check(&|item| item.payload = None, "payload");
        check(
            &|item| item.payload = Some(v1::publish_item::Payload::Json(Bytes::from_static(b"{"))),
            "`json`",
        );
        check(&|item| item.id = "x".repeat(256), "`id`");
        check(
            &|item| item.exclude_session = "me".to_owned(),
            "`exclude_session`",
        );
        check(
            &|item| {
                item.expected_position = Some(v1::Position {
                    epoch: "-".to_owned(),
                    offset: 1,
                });
            },
            "`epoch`",
        );
        check(
            &|item| item.tags = (0..33).map(|n| (n.to_string(), String::new())).collect(),
            "`tags`",
        );
        check(
            &|item| item.tags = [("a".to_owned(), "x".repeat(4096))].into(),
            "`tags`",
        );
        for bad in ["", "a b", "a::b", "chat:*"] {
            assert_eq!(
                channel(bad).unwrap_err().code,
                ErrorCode::BadRequest,
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_close_says_what_its_code_says() {
        let code = |code, reconnect| close(code, "bye", reconnect).map(|close| close.code);
        assert_eq!(code(None, false), Ok(CloseCode::DISCONNECTED));
        assert!(code(None, true).unwrap().reconnect());
        assert_eq!(code(Some(4250), false), Ok(CloseCode(4250)));
        assert_eq!(code(Some(4010), true), Ok(CloseCode(4010)));
        for (bad, reconnect) in [
            (4250, true),
            (4010, false),
            (1000, false),
            (4300, false),
            (70_000, false),
        ] {
            assert!(code(Some(bad), reconnect).is_err(), "{bad}");
        }
        assert!(close(None, &"x".repeat(124), false).is_err());
    }
}
