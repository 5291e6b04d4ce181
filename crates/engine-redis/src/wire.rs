//! How publications and presence changes are written in the stream and on pub/sub: the same bytes in both. What is announced together
//! is one message on pub/sub: one entry after the other, for each tells where it ends.
//!
//! A header of fixed size, which scripts fill in and read, then a body that only this file knows. All numbers are big-endian.
//!
//! ```text
//! byte   what
//! 0      version, 1
//! 1      kind: 1 a publication, 2 a join, 3 a leave
//! 2      epoch, u64
//! 10     offset of a publication, sequence of a change, u64
//! 18     when the engine accepted it, milliseconds since 1970, u64
//! 26     payload bytes of the channel up to and with this publication, u64: what trimming by bytes counts with
//! 34     payload bytes of this publication, u32
//! 38     body
//! ```
//!
//! A text or byte string is a u32 of its length and its bytes; something that may be missing is a byte 0 or 1 before it. What
//! cannot be read is an error, never a panic and never a guess.

mod reader;

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use switchboard_core::{
    ChannelName, Epoch, Member, Origin, Payload, PresenceChange, PresenceEvent, Publication,
    SessionId,
};

use reader::Reader;

/// What a session id takes.
pub(crate) const SESSION_BYTES: usize = 14;

const VERSION: u8 = 1;
const PUBLICATION: u8 = 1;
const JOIN: u8 = 2;
const LEAVE: u8 = 3;

/// Something that was written by this engine, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Decoded {
    Publication(Publication),
    Presence(PresenceEvent),
}

/// Bytes that this version did not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bytes that this version of the engine did not write")]
pub(crate) struct Garbage;

/// Writes what a publication carries beside its place.
pub(crate) fn publication_body(
    payload: &Payload,
    id: Option<&str>,
    from: Option<&Origin>,
    tags: &[(Box<str>, Box<str>)],
    exclude: Option<SessionId>,
) -> Bytes {
    let mut body = BytesMut::with_capacity(payload.bytes().len() + 64);
    let (kind, bytes) = match payload {
        Payload::Json(bytes) => (0, bytes),
        Payload::Binary(bytes) => (1, bytes),
    };
    body.put_u8(kind);
    put_bytes(&mut body, bytes);
    put_optional(&mut body, id, |body, id| put_bytes(body, id.as_bytes()));
    put_optional(&mut body, from, |body, from| {
        put_optional(body, from.user.as_ref(), |body, user| {
            put_bytes(body, user.as_bytes());
        });
        body.put_slice(&session(from.session));
    });
    body.put_u32(tags.len() as u32);
    for (name, value) in tags {
        put_bytes(&mut body, name.as_bytes());
        put_bytes(&mut body, value.as_bytes());
    }
    put_optional(&mut body, exclude, |body, exclude| {
        body.put_slice(&session(exclude));
    });
    body.freeze()
}

/// Writes a session id.
pub(crate) fn session(id: SessionId) -> [u8; SESSION_BYTES] {
    let mut bytes = [0; SESSION_BYTES];
    let mut rest = &mut bytes[..];
    rest.put_u32(id.node.0);
    rest.put_u16(id.shard);
    rest.put_u32(id.slot);
    rest.put_u32(id.generation);
    bytes
}

/// Writes what presence shows of a member beside its session and the time of its joining.
pub(crate) fn member_body(user: Option<&str>, info: Option<&[u8]>) -> Bytes {
    let mut body = BytesMut::new();
    put_optional(&mut body, user, |body, user| {
        put_bytes(body, user.as_bytes());
    });
    put_optional(&mut body, info, put_bytes);
    body.freeze()
}

/// Reads a session id.
pub(crate) fn read_session(bytes: &Bytes) -> Result<SessionId, Garbage> {
    let mut reader = Reader::new(bytes.clone());
    let id = reader.session()?;
    reader.end()?;
    Ok(id)
}

/// Reads a member: its session, when it joined, and what [`member_body`] wrote.
pub(crate) fn read_member(
    session: SessionId,
    joined_ms: u64,
    body: Bytes,
) -> Result<Member, Garbage> {
    let mut reader = Reader::new(body);
    let member = member(&mut reader, session, joined_ms)?;
    reader.end()?;
    Ok(member)
}

/// Reads what stands in a stream. The payload shares `bytes`.
pub(crate) fn read(channel: &ChannelName, bytes: Bytes) -> Result<Decoded, Garbage> {
    let mut reader = Reader::new(bytes);
    let decoded = entry(channel, &mut reader)?;
    reader.end()?;
    Ok(decoded)
}

/// Reads what came by pub/sub, one after the other, up to the end or to the first that cannot be read. Payloads share `bytes`.
pub(crate) fn read_all(
    channel: &ChannelName,
    bytes: Bytes,
) -> impl Iterator<Item = Result<Decoded, Garbage>> {
    let mut reader = Some(Reader::new(bytes));
    std::iter::from_fn(move || {
        let read = entry(channel, reader.as_mut()?);
        if read.is_err() || reader.as_ref().is_some_and(|reader| reader.end().is_ok()) {
            reader = None;
        }
        Some(read)
    })
}

fn entry(channel: &ChannelName, reader: &mut Reader) -> Result<Decoded, Garbage> {
    if reader.u8()? != VERSION {
        return Err(Garbage);
    }
    let kind = reader.u8()?;
    let (epoch, number, time_ms) = (Epoch(reader.u64()?), reader.u64()?, reader.u64()?);
    let (_cumulative, _payload) = (reader.u64()?, reader.u32()?);
    Ok(match kind {
        PUBLICATION => Decoded::Publication(Publication {
            channel: channel.clone(),
            epoch,
            offset: number,
            payload: match reader.u8()? {
                0 => Payload::Json(reader.bytes()?),
                1 => Payload::Binary(reader.bytes()?),
                _ => return Err(Garbage),
            },
            id: reader.optional(Reader::text)?,
            from: reader.optional(|reader| {
                Ok(Origin {
                    user: reader.optional(Reader::text)?.map(Arc::from),
                    session: reader.session()?,
                })
            })?,
            time_ms,
            tags: reader.list(|reader| Ok((reader.text()?, reader.text()?)))?,
            exclude: reader.optional(Reader::session)?,
        }),
        JOIN | LEAVE => {
            let session = reader.session()?;
            let joined_ms = reader.u64()?;
            Decoded::Presence(PresenceEvent {
                channel: channel.clone(),
                epoch,
                sequence: number,
                change: if kind == JOIN {
                    PresenceChange::Join
                } else {
                    PresenceChange::Leave
                },
                member: Arc::new(member(reader, session, joined_ms)?),
            })
        }
        _ => return Err(Garbage),
    })
}

fn member(reader: &mut Reader, session: SessionId, joined_ms: u64) -> Result<Member, Garbage> {
    Ok(Member {
        session,
        user: reader.optional(Reader::text)?.map(Arc::from),
        info: reader.optional(Reader::bytes)?,
        joined_ms,
    })
}

fn put_bytes(body: &mut BytesMut, bytes: &[u8]) {
    body.put_u32(bytes.len() as u32);
    body.put_slice(bytes);
}

fn put_optional<T>(body: &mut BytesMut, value: Option<T>, put: impl FnOnce(&mut BytesMut, T)) {
    body.put_u8(u8::from(value.is_some()));
    if let Some(value) = value {
        put(body, value);
    }
}

#[cfg(test)]
mod tests {
    use switchboard_core::NodeId;

    use super::*;

    fn channel() -> ChannelName {
        ChannelName::parse("a:1").expect("a valid name")
    }

    fn id(slot: u32) -> SessionId {
        SessionId {
            node: NodeId(0xc0_ff_ee),
            shard: 7,
            slot,
            generation: 9,
        }
    }

    fn header(kind: u8) -> BytesMut {
        let mut bytes = BytesMut::new();
        bytes.put_slice(&[VERSION, kind]);
        for number in [5, 6, 7, 8] {
            bytes.put_u64(number);
        }
        bytes.put_u32(1);
        bytes
    }

    fn publication() -> (Publication, Bytes) {
        let publication = Publication {
            channel: channel(),
            epoch: Epoch(5),
            offset: 6,
            payload: Payload::Binary(Bytes::from_static(&[0, 255])),
            id: Some("id".into()),
            from: Some(Origin {
                user: Some("alice".into()),
                session: id(1),
            }),
            time_ms: 7,
            tags: vec![("kind".into(), "ü".into())],
            exclude: Some(id(2)),
        };
        let mut bytes = header(PUBLICATION);
        bytes.put_slice(&publication_body(
            &publication.payload,
            publication.id.as_deref(),
            publication.from.as_ref(),
            &publication.tags,
            publication.exclude,
        ));
        (publication, bytes.freeze())
    }

    fn join() -> (PresenceEvent, Bytes) {
        let event = PresenceEvent {
            channel: channel(),
            epoch: Epoch(5),
            sequence: 6,
            change: PresenceChange::Join,
            member: Arc::new(Member {
                session: id(3),
                user: Some("alice".into()),
                info: Some(Bytes::from_static(b"{}")),
                joined_ms: 11,
            }),
        };
        let mut bytes = header(JOIN);
        bytes.put_slice(&session(id(3)));
        bytes.put_u64(11);
        bytes.put_slice(&member_body(Some("alice"), Some(b"{}")));
        (event, bytes.freeze())
    }

    #[test]
    fn what_was_written_is_read() {
        let (publication, bytes) = publication();
        assert_eq!(
            read(&channel(), bytes),
            Ok(Decoded::Publication(publication))
        );
        let (event, bytes) = join();
        assert_eq!(read(&channel(), bytes), Ok(Decoded::Presence(event)));
        let bytes = Bytes::copy_from_slice(&session(id(4)));
        assert_eq!(read_session(&bytes), Ok(id(4)));
    }

    #[test]
    fn what_was_announced_together_is_taken_apart_up_to_what_cannot_be_read() {
        let (publication, event) = (publication(), join());
        let decoded = [
            Ok(Decoded::Publication(publication.0)),
            Ok(Decoded::Presence(event.0)),
            Err(Garbage),
        ];
        let mut together = BytesMut::from(&publication.1[..]);
        together.put_slice(&event.1);
        let mut read: Vec<_> = read_all(&channel(), together.clone().freeze()).collect();
        assert_eq!(read, decoded[..2]);
        // Whatever follows what cannot be read means nothing.
        together.put_slice(b"?");
        together.put_slice(&event.1);
        read = read_all(&channel(), together.freeze()).collect();
        assert_eq!(read, decoded);
        read = read_all(&channel(), Bytes::new()).collect();
        assert_eq!(read, decoded[2..]);
    }

    #[test]
    fn whatever_is_cut_off_or_appended_is_garbage() {
        for bytes in [publication().1, join().1] {
            for length in 0..bytes.len() {
                assert_eq!(read(&channel(), bytes.slice(..length)), Err(Garbage));
            }
            let mut longer = BytesMut::from(&bytes[..]);
            longer.put_u8(0);
            assert_eq!(read(&channel(), longer.freeze()), Err(Garbage));
        }
    }

    #[test]
    fn no_bytes_make_it_panic_or_reserve_memory_that_is_not_there() {
        let mut seed = 1_u64;
        for bytes in [publication().1, join().1] {
            for _ in 0..20_000 {
                // A byte at random set to a value at random.
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let mut changed = BytesMut::from(&bytes[..]);
                let at = (seed >> 33) as usize % changed.len();
                changed[at] = (seed >> 25) as u8;
                let _ = read(&channel(), changed.freeze());
            }
        }
        // A count of tags that no bytes stand behind.
        let mut bytes = header(PUBLICATION);
        bytes.put_slice(&[0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255]);
        assert_eq!(read(&channel(), bytes.freeze()), Err(Garbage));
    }
}
