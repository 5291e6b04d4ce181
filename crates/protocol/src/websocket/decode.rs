//! The reading half: a client's bytes, in pieces of any size, to messages and control frames.
//!
//! The caller reads into a scratch buffer that all its connections share and hands over what arrived. A frame that is
//! complete in there is unmasked in place and borrowed by the event; only what is still unfinished at the end of a
//! read is copied, into a buffer that lives until its message is complete. So an idle connection owns the struct below
//! and nothing else.
//!
//! The verdict does not depend on how the bytes were cut: every rule is checked at the first byte that breaks it, and
//! in the order of the bytes.

#![expect(
    clippy::mut_mut,
    reason = "the outer reference moves the front of the input, the inner one unmasks in place"
)]

use std::borrow::Cow;

use super::Opcode;
use super::deflate::{InflateError, Inflater};
use super::error::DecodeError;
use super::header::{CLIENT_HEADER_BYTES_MAX, First, extended_length_bytes, payload_length};
use super::mask::unmask;

/// What a client said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole message: unmasked, joined, inflated.
    Message {
        /// Whether it is text; then `data` is valid UTF-8.
        text: bool,
        /// The content, borrowed from the input when it lay there in one piece and was not compressed.
        data: Cow<'a, [u8]>,
    },
    /// A ping, to be answered by a pong with this payload.
    Ping(Cow<'a, [u8]>),
    /// A pong.
    Pong(Cow<'a, [u8]>),
    /// The client's close frame; the decoder yields nothing after it.
    Close {
        /// A code that may be sent back, or `None` when the client gave none.
        code: Option<u16>,
        /// The reason, often empty.
        reason: Cow<'a, str>,
    },
}

/// What one message may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a message, as sent and once inflated. More is refused from the header on, before it is buffered.
    pub message_bytes_max: u32,
    /// Frames of a message. Bounds the work that empty fragments cause, which no limit on bytes does.
    pub fragments_max: u32,
}

impl Default for Limits {
    /// 64 KiB, as a command is small, and 1024 fragments.
    fn default() -> Self {
        Self {
            message_bytes_max: 64 * 1024,
            fragments_max: 1024,
        }
    }
}

/// Decodes one connection's frames.
///
/// ```
/// # use switchboard_protocol::websocket::{decode::{Decoder, Event, Limits}, deflate::Inflater};
/// let mut inflater = Inflater::new(); // one for all connections of a thread
/// let mut decoder = Decoder::new(Limits::default(), false);
/// let mut scratch = *b"\x81\x85\x00\x00\x00\x00Hello";
/// let mut input = &mut scratch[..];
/// while let Some(event) = decoder.next(&mut input, &mut inflater)? {
///     assert_eq!(event, Event::Message { text: true, data: b"Hello"[..].into() });
/// }
/// # Ok::<(), switchboard_protocol::websocket::error::DecodeError>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    /// The open message, then what has arrived of a control frame inside it. Without capacity while idle.
    buffer: Vec<u8>,
    limits: Limits,
    /// Bytes of `buffer` that belong to the message.
    message_bytes: u32,
    /// Bytes of `buffer` that are known to be whole characters; moves for uncompressed text only.
    valid_bytes: u32,
    /// Frames of the open message so far.
    fragments: u32,
    /// Bytes of the current frame's payload that are yet to come.
    payload_remaining: u32,
    /// The current frame's mask, turned to where its payload goes on.
    mask: [u8; 4],
    /// The current frame's header; its first byte stays of use until the payload is complete.
    header: [u8; CLIENT_HEADER_BYTES_MAX],
    header_bytes: u8,
    /// Whether the header is complete.
    in_payload: bool,
    /// The message that is open, if one is.
    open: Option<Kind>,
    /// Whether permessage-deflate was agreed.
    deflate: bool,
    /// Set by an error and by a close frame.
    finished: bool,
}

#[derive(Debug, Clone, Copy)]
struct Kind {
    text: bool,
    compressed: bool,
}

impl Decoder {
    /// Makes a decoder; `deflate` tells whether permessage-deflate was agreed in the handshake.
    pub fn new(limits: Limits, deflate: bool) -> Self {
        Self {
            buffer: Vec::new(),
            limits,
            message_bytes: 0,
            valid_bytes: 0,
            fragments: 0,
            payload_remaining: 0,
            mask: [0; 4],
            header: [0; CLIENT_HEADER_BYTES_MAX],
            header_bytes: 0,
            in_payload: false,
            open: None,
            deflate,
            finished: false,
        }
    }

    /// Whether the bytes so far end between two messages.
    pub fn is_idle(&self) -> bool {
        self.header_bytes == 0 && self.open.is_none()
    }

    /// Whether an error or a close frame has ended the stream.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Bytes of heap held for an unfinished message; 0 while idle.
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// Takes bytes from the front of `input` and yields the next event, or `None` once `input` is used up.
    ///
    /// Call it until it says `None`: no byte is left in `input` then, and the buffer behind it may be reused. After an
    /// error or a close frame all further input is swallowed.
    ///
    /// # Errors
    ///
    /// The first rule that the client broke; send its [`close_code`](DecodeError::close_code) and end the connection.
    pub fn next<'a>(
        &mut self,
        input: &mut &'a mut [u8],
        inflater: &mut Inflater,
    ) -> Result<Option<Event<'a>>, DecodeError> {
        let outcome = if self.finished {
            Ok(None)
        } else {
            self.advance(input, inflater)
        };
        if matches!(outcome, Err(_) | Ok(Some(Event::Close { .. }))) {
            self.finished = true;
            self.buffer = Vec::new();
        }
        if self.finished {
            *input = &mut [];
        }
        outcome
    }

    fn advance<'a>(
        &mut self,
        input: &mut &'a mut [u8],
        inflater: &mut Inflater,
    ) -> Result<Option<Event<'a>>, DecodeError> {
        while self.in_payload || self.read_header(input)? {
            let available = input.len().min(self.payload_remaining as usize);
            let part = take_front(input, available);
            unmask(part, &mut self.mask);
            self.payload_remaining -= available as u32;

            let first = First::accepted(self.header[0]);
            let frame_complete = self.payload_remaining == 0;
            if frame_complete {
                self.in_payload = false;
                self.header_bytes = 0;
            }
            let event = if first.opcode.is_control() {
                self.control(first.opcode, part, frame_complete)?
            } else {
                self.data(part, frame_complete && first.fin, inflater)?
            };
            if event.is_some() || !frame_complete {
                return Ok(event);
            }
        }
        Ok(None)
    }

    /// Gathers the header and says whether it is complete. Each part is checked as soon as it is there.
    fn read_header(&mut self, input: &mut &mut [u8]) -> Result<bool, DecodeError> {
        if !self.gather_header(input, 1) {
            return Ok(false);
        }
        let first = First::parse(self.header[0], self.deflate)?;
        self.check_sequence(first.opcode)?;

        if !self.gather_header(input, 2) {
            return Ok(false);
        }
        let second = self.header[1];
        let length_end = 2 + extended_length_bytes(second, first.opcode)?;

        if !self.gather_header(input, length_end) {
            return Ok(false);
        }
        let length = payload_length(second, &self.header[2..length_end])?;
        let payload_bytes = self.admit(first, length)?;

        if !self.gather_header(input, length_end + 4) {
            return Ok(false);
        }
        self.mask
            .copy_from_slice(&self.header[length_end..length_end + 4]);
        self.payload_remaining = payload_bytes;
        self.in_payload = true;
        if !first.opcode.is_control() {
            self.fragments += 1;
            self.open.get_or_insert(Kind {
                text: first.opcode == Opcode::Text,
                compressed: first.rsv1,
            });
        }
        Ok(true)
    }

    /// Moves input to the header until it is `end` bytes long; says whether it is.
    fn gather_header(&mut self, input: &mut &mut [u8], end: usize) -> bool {
        let start = usize::from(self.header_bytes);
        if start < end {
            let part = take_front(input, input.len().min(end - start));
            self.header[start..start + part.len()].copy_from_slice(part);
            self.header_bytes += part.len() as u8;
        }
        usize::from(self.header_bytes) >= end
    }

    /// Checks a frame's place among the fragments of a message.
    fn check_sequence(&self, opcode: Opcode) -> Result<(), DecodeError> {
        match (opcode, self.open) {
            (Opcode::Continuation, None) => Err(DecodeError::UnexpectedContinuation),
            (Opcode::Text | Opcode::Binary, Some(_)) => Err(DecodeError::ExpectedContinuation),
            (Opcode::Continuation, Some(_)) if self.fragments >= self.limits.fragments_max => {
                Err(DecodeError::TooManyFragments)
            }
            _ => Ok(()),
        }
    }

    /// Checks an announced length against the limit on the message, before any of it is buffered.
    fn admit(&self, first: First, length: u64) -> Result<u32, DecodeError> {
        let mut total_max = u64::from(self.limits.message_bytes_max);
        if first.opcode.is_control() {
            return Ok(length as u32);
        }
        if self.open.map_or(first.rsv1, |kind| kind.compressed) {
            // What cannot be compressed grows by five bytes a stored block (16 KiB in zlib, less elsewhere): a message
            // that keeps the limit once inflated must not fail for that.
            total_max = (total_max + total_max / 256 + 64).min(u64::from(u32::MAX));
        }
        if length > total_max - u64::from(self.message_bytes) {
            return Err(DecodeError::MessageTooBig);
        }
        Ok(length as u32)
    }

    fn data<'a>(
        &mut self,
        part: &'a [u8],
        message_complete: bool,
        inflater: &mut Inflater,
    ) -> Result<Option<Event<'a>>, DecodeError> {
        let kind = self
            .open
            .expect("a data frame opens a message or continues one");
        let data = if message_complete && self.message_bytes == 0 {
            Cow::Borrowed(part)
        } else {
            self.append(part);
            self.message_bytes += part.len() as u32;
            if kind.text && !kind.compressed {
                self.check_arrived_text()?;
            }
            if !message_complete {
                return Ok(None);
            }
            Cow::Owned(std::mem::take(&mut self.buffer))
        };
        let checked_bytes = self.valid_bytes as usize;
        self.message_bytes = 0;
        self.valid_bytes = 0;
        self.fragments = 0;
        self.open = None;

        let data = if kind.compressed {
            Cow::Owned(inflater.inflate(&data, self.limits.message_bytes_max as usize)?)
        } else {
            data
        };
        if kind.text && std::str::from_utf8(&data[checked_bytes..]).is_err() {
            return Err(DecodeError::Utf8);
        }
        Ok(Some(Event::Message {
            text: kind.text,
            data,
        }))
    }

    /// Checks what arrived of a text, but for a character that is still incomplete at its end.
    fn check_arrived_text(&mut self) -> Result<(), DecodeError> {
        let unchecked = &self.buffer[self.valid_bytes as usize..];
        let valid = match std::str::from_utf8(unchecked) {
            Ok(text) => text.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => return Err(DecodeError::Utf8),
        };
        self.valid_bytes += valid as u32;
        Ok(())
    }

    fn control<'a>(
        &mut self,
        opcode: Opcode,
        part: &'a [u8],
        frame_complete: bool,
    ) -> Result<Option<Event<'a>>, DecodeError> {
        let message_bytes = self.message_bytes as usize;
        let payload = if frame_complete && self.buffer.len() == message_bytes {
            Cow::Borrowed(part)
        } else {
            self.append(part);
            if !frame_complete {
                return Ok(None);
            }
            Cow::Owned(if message_bytes == 0 {
                std::mem::take(&mut self.buffer)
            } else {
                self.buffer.split_off(message_bytes)
            })
        };
        match opcode {
            Opcode::Ping => Ok(Some(Event::Ping(payload))),
            Opcode::Pong => Ok(Some(Event::Pong(payload))),
            _ => close_event(payload).map(Some),
        }
    }

    /// Appends to the buffer. It doubles as a `Vec` does, so that fragments, however many, cost what their bytes cost; but
    /// never beyond the end of a frame that is the last of its message, nor to an announced length that may never come.
    fn append(&mut self, part: &[u8]) {
        let needed = self.buffer.len() + part.len();
        if needed > self.buffer.capacity() {
            let end = if First::accepted(self.header[0]).fin {
                needed + self.payload_remaining as usize
            } else {
                self.limits.message_bytes_max as usize
            };
            let capacity = needed.max(end.min(self.buffer.capacity() * 2));
            self.buffer.reserve_exact(capacity - self.buffer.len());
        }
        self.buffer.extend_from_slice(part);
    }
}

impl From<InflateError> for DecodeError {
    fn from(error: InflateError) -> Self {
        match error {
            InflateError::Corrupt => Self::Deflate,
            InflateError::TooBig => Self::MessageTooBig,
        }
    }
}

fn take_front<'a>(input: &mut &'a mut [u8], bytes: usize) -> &'a mut [u8] {
    let (front, rest) = std::mem::take(input).split_at_mut(bytes);
    *input = rest;
    front
}

fn close_event(payload: Cow<'_, [u8]>) -> Result<Event<'_>, DecodeError> {
    let code = match *payload {
        [] => {
            return Ok(Event::Close {
                code: None,
                reason: Cow::Borrowed(""),
            });
        }
        [_] => return Err(DecodeError::CloseTruncated),
        [high, low, ..] => u16::from_be_bytes([high, low]),
    };
    if !super::is_close_code(code) {
        return Err(DecodeError::CloseCode);
    }
    let reason = match payload {
        Cow::Borrowed(bytes) => std::str::from_utf8(&bytes[2..]).map(Cow::Borrowed),
        Cow::Owned(bytes) => {
            std::str::from_utf8(&bytes[2..]).map(|text| Cow::Owned(text.to_owned()))
        }
    };
    Ok(Event::Close {
        code: Some(code),
        reason: reason.map_err(|_| DecodeError::Utf8)?,
    })
}
