//! From core types to the wire.

use switchboard_core::{GapReason, Member, NodeId, Payload, Position, Publication};
use switchboard_node::{SessionInfo, Transport};
use switchboard_proto::api::v1;

/// Milliseconds since 1970, as all messages have them.
pub(crate) fn time_ms(time_ms: u64) -> i64 {
    i64::try_from(time_ms).unwrap_or(i64::MAX)
}

pub(crate) fn position(position: Position) -> v1::Position {
    v1::Position {
        epoch: position.epoch.to_string(),
        offset: position.offset,
    }
}

pub(crate) fn publication(publication: &Publication) -> v1::Publication {
    let payload = match &publication.payload {
        Payload::Json(bytes) => v1::publication::Payload::Json(bytes.clone()),
        Payload::Binary(bytes) => v1::publication::Payload::Binary(bytes.clone()),
    };
    let sender = publication.from.as_ref().map(|from| v1::Sender {
        user: from.user.as_deref().unwrap_or_default().to_owned(),
        session: from.session.to_string(),
    });
    v1::Publication {
        channel: publication.channel.as_str().to_owned(),
        position: (publication.offset > 0).then(|| position(publication.position())),
        payload: Some(payload),
        id: publication.id.as_deref().unwrap_or_default().to_owned(),
        sender,
        time_ms: time_ms(publication.time_ms),
        tags: publication
            .tags
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect(),
    }
}

pub(crate) fn member(member: &Member) -> v1::Member {
    v1::Member {
        session: member.session.to_string(),
        user: member.user.as_deref().unwrap_or_default().to_owned(),
        info: member.info.clone().unwrap_or_default(),
        joined_ms: time_ms(member.joined_ms),
    }
}

/// A session with those of its channels that `shown` lets through.
pub(crate) fn session(
    session: &SessionInfo,
    shown: impl Fn(&switchboard_core::ChannelName) -> bool,
) -> v1::Session {
    let transport = match session.transport {
        Transport::WebSocket => v1::Transport::Websocket,
        Transport::Sse => v1::Transport::Sse,
        Transport::Poll => v1::Transport::Poll,
    };
    v1::Session {
        session: session.session.to_string(),
        user: session.user.as_deref().unwrap_or_default().to_owned(),
        node: session.session.node.to_string(),
        transport: transport.into(),
        connected_ms: time_ms(session.connected_ms),
        channels: session
            .channels
            .iter()
            .filter(|c| shown(c))
            .map(|c| c.as_str().to_owned())
            .collect(),
    }
}

pub(crate) fn gap(at: Position, reason: GapReason) -> v1::Gap {
    let reason = match reason {
        GapReason::Trimmed => v1::GapReason::Trimmed,
        GapReason::EpochChanged => v1::GapReason::EpochChanged,
        GapReason::SlowConsumer => v1::GapReason::SlowConsumer,
        GapReason::Interrupted => v1::GapReason::Interrupted,
    };
    v1::Gap {
        position: Some(position(at)),
        reason: reason.into(),
    }
}

/// The ids of nodes.
pub(crate) fn nodes(nodes: &[NodeId]) -> Vec<String> {
    nodes.iter().map(ToString::to_string).collect()
}
