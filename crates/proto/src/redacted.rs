//! `Debug` for the generated messages that carry a token or a session key.
//!
//! The generator's own would print the secret into whatever log line or span happens to
//! format a command or a frame that contains the message.

use std::fmt::{Debug, Formatter, Result};

use crate::{
    api::v1::IssueTokenResponse,
    client::v1::{Open, Refresh, Subscribe},
};

/// Stands in for a secret, and tells an absent one from one that is hidden.
fn hide(secret: &str) -> &'static str {
    if secret.is_empty() { "" } else { "(redacted)" }
}

impl Debug for IssueTokenResponse {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { token, expires_ms } = self;
        f.debug_struct("IssueTokenResponse")
            .field("token", &hide(token))
            .field("expires_ms", expires_ms)
            .finish()
    }
}

impl Debug for Open {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self {
            session,
            user,
            node,
            time,
            expires_at,
            ping_interval,
            key,
            limits,
        } = self;
        f.debug_struct("Open")
            .field("session", session)
            .field("user", user)
            .field("node", node)
            .field("time", time)
            .field("expires_at", expires_at)
            .field("ping_interval", ping_interval)
            .field("key", &hide(key))
            .field("limits", limits)
            .finish()
    }
}

impl Debug for Refresh {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { token } = self;
        f.debug_struct("Refresh")
            .field("token", &hide(token))
            .finish()
    }
}

impl Debug for Subscribe {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self {
            channel,
            token,
            start,
        } = self;
        f.debug_struct("Subscribe")
            .field("channel", channel)
            .field("start", start)
            .field("token", &hide(token))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use prost::Message as _;

    use crate::{FILE_DESCRIPTOR_SET, api, client};

    #[test]
    fn debug_of_a_command_shows_no_token() {
        let commands = [
            client::v1::command::Command::Refresh(client::v1::Refresh {
                token: "sesame".into(),
            }),
            client::v1::command::Command::Subscribe(client::v1::Subscribe {
                channel: "chat:42".into(),
                token: "sesame".into(),
                start: None,
            }),
        ];
        for command in commands {
            let text = format!(
                "{:?}",
                client::v1::Command {
                    id: Some(7),
                    command: Some(command)
                }
            );
            assert!(!text.contains("sesame"), "{text}");
            assert!(text.contains("(redacted)"), "{text}");
        }
    }

    #[test]
    fn debug_of_a_frame_shows_no_key() {
        let open = client::v1::Open {
            session: "visible".into(),
            key: "sesame".into(),
            ..Default::default()
        };
        let frame = client::v1::Frame {
            kind: Some(client::v1::frame::Kind::Open(open)),
        };
        let text = format!("{frame:?}");
        assert!(
            text.contains("visible") && !text.contains("sesame"),
            "{text}"
        );
    }

    #[test]
    fn debug_of_an_issued_token_does_not_show_it() {
        let issued = api::v1::IssueTokenResponse {
            token: "sesame".into(),
            expires_ms: 1,
        };
        assert!(!format!("{issued:?}").contains("sesame"));
    }

    #[test]
    fn payload_is_decoded_without_a_copy() {
        use api::v1::{PublishItem, PublishRequest, publish_item::Payload};
        let item = PublishItem {
            channel: "chat:42".into(),
            payload: Some(Payload::Json(Bytes::from_static(br#"{"text":"hello"}"#))),
            ..Default::default()
        };
        let wire = Bytes::from(PublishRequest { item: Some(item) }.encode_to_vec());

        let decoded = PublishRequest::decode(wire.clone()).expect("just encoded");
        let Some(Payload::Json(json)) = decoded.item.and_then(|item| item.payload) else {
            panic!("the payload is gone");
        };
        assert_eq!(json, br#"{"text":"hello"}"#.as_slice());
        assert!(
            wire.as_ptr_range().contains(&json.as_ptr()),
            "the payload was copied"
        );
    }

    #[test]
    fn descriptors_name_every_service() {
        let set = prost_types::FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("valid set");
        let mut services: Vec<_> = set
            .file
            .iter()
            .flat_map(|file| {
                file.service
                    .iter()
                    .map(|service| (file.package(), service.name()))
            })
            .collect();
        services.sort_unstable();
        let expected = [
            "ChannelService",
            "NodeService",
            "PresenceService",
            "PublishService",
            "SessionService",
            "TokenService",
        ];
        assert_eq!(services, expected.map(|name| ("switchboard.api.v1", name)));
    }
}
