//! A frame with the bytes it has on each wire, encoded once for everybody.

use std::sync::OnceLock;

use bytes::Bytes;
use switchboard_core::Frame;

use crate::wire::{self, Wire};

/// A frame on its way to any number of sessions. Each wire's bytes are encoded when the first session on that wire
/// needs them, and shared by all others, whichever thread they are on.
#[derive(Debug)]
pub struct Broadcast {
    frame: Frame,
    deflate_bytes_min: usize,
    /// The wire of most sessions has its place here, so that most frames need no second allocation.
    websocket_json: OnceLock<Bytes>,
    /// All other wires; nine places in line would be 360 bytes a frame, most of them empty.
    others: OnceLock<Box<[OnceLock<Bytes>; Wire::COUNT]>>,
}

impl Broadcast {
    /// Takes a frame; nothing is encoded yet. For `deflate_bytes_min` see [`wire::encode`].
    pub fn new(frame: Frame, deflate_bytes_min: usize) -> Self {
        Self {
            frame,
            deflate_bytes_min,
            websocket_json: OnceLock::new(),
            others: OnceLock::new(),
        }
    }

    /// The frame.
    pub fn frame(&self) -> &Frame {
        &self.frame
    }

    /// The complete bytes to write on that wire. Where compression does not pay, a deflating wire shares the bytes of
    /// the plain one.
    pub fn bytes(&self, wire: Wire) -> &Bytes {
        self.place(wire)
            .get_or_init(|| match wire.without_deflate() {
                Some(plain) if !matches!(self.frame, Frame::Close(_)) => {
                    wire::deflate(self.bytes(plain).clone(), wire, self.deflate_bytes_min)
                }
                _ => wire::encode(&self.frame, wire, self.deflate_bytes_min),
            })
    }

    fn place(&self, wire: Wire) -> &OnceLock<Bytes> {
        match wire {
            Wire::WebSocketJson => &self.websocket_json,
            _ => &self.others.get_or_init(Box::default)[wire.index()],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use switchboard_core::{ChannelName, Close, CloseCode, Epoch, Payload, Publication};

    use super::*;

    fn message(payload: &str) -> Frame {
        Frame::Message(Arc::new(Publication {
            channel: ChannelName::parse("chat:1").unwrap(),
            epoch: Epoch(1),
            offset: 1,
            payload: Payload::Json(Bytes::from(payload.to_owned())),
            id: None,
            from: None,
            time_ms: 1,
            tags: Vec::new(),
            exclude: None,
        }))
    }

    #[test]
    fn bytes_are_those_of_the_wire_and_encoded_once() {
        let long = format!("\"{}\"", "ab".repeat(500));
        for frame in [
            message("1"),
            message(&long),
            Frame::Close(Close::new(CloseCode::GOING_AWAY, "bye")),
        ] {
            let broadcast = Broadcast::new(frame.clone(), 512);
            for wire in Wire::ALL {
                let first = broadcast.bytes(wire).as_ptr();
                assert_eq!(
                    broadcast.bytes(wire),
                    &wire::encode(&frame, wire, 512),
                    "{wire:?}"
                );
                assert_eq!(
                    broadcast.bytes(wire).as_ptr(),
                    first,
                    "{wire:?} was encoded twice"
                );
            }
        }
    }

    #[test]
    fn short_frames_are_shared_between_plain_and_deflating_wires() {
        let broadcast = Broadcast::new(message("1"), 512);
        let deflating = broadcast.bytes(Wire::WebSocketJsonDeflate).as_ptr();
        assert_eq!(deflating, broadcast.bytes(Wire::WebSocketJson).as_ptr());
        let long = Broadcast::new(message(&format!("\"{}\"", "ab".repeat(500))), 512);
        assert!(
            long.bytes(Wire::WebSocketJsonDeflate).len() * 4
                < long.bytes(Wire::WebSocketJson).len()
        );
    }

    #[test]
    fn a_frame_for_one_wire_is_small() {
        assert!(size_of::<Broadcast>() <= 144, "{}", size_of::<Broadcast>());
    }
}
