//! Just enough of each framing to count deliveries: RFC 6455 frames as a server sends them, and text that is scanned for marks.

/// A frame of a server.
pub(crate) struct WsFrame<'a> {
    pub(crate) opcode: u8,
    pub(crate) payload: &'a [u8],
    /// Bytes of the whole frame.
    pub(crate) len: usize,
}

/// The first whole frame (RFC 6455, section 5.2; servers do not mask).
pub(crate) fn ws_frame(bytes: &[u8]) -> Option<WsFrame<'_>> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let (len, head) = match second & 0x7f {
        126 => (
            usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])),
            4,
        ),
        127 => {
            let long = u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?);
            (usize::try_from(long).ok()?, 10)
        }
        short => (usize::from(short), 2),
    };
    let payload = bytes.get(head..head + len)?;
    Some(WsFrame {
        opcode: first & 0x0f,
        payload,
        len: head + len,
    })
}

/// A client's frame, masked with zeros: the mask is there, the bytes stay as they are.
pub(crate) fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        long => {
            frame.push(0x80 | 0x7e);
            frame.extend_from_slice(&u16::try_from(long).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// A whole HTTP/1.1 response with a `Content-Length`: its body, and its length.
pub(crate) fn response(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let head = memchr::memmem::find(bytes, b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).ok()?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    })?;
    let body = bytes.get(head..head + length)?;
    Some((body, head + length))
}

/// The text of a JSON string member, without escapes in it.
pub(crate) fn member<'a>(body: &'a [u8], name: &str) -> Option<&'a str> {
    let key = format!("\"{name}\":\"");
    let start = memchr::memmem::find(body, key.as_bytes())? + key.len();
    let end = start + memchr::memchr(b'"', &body[start..])?;
    std::str::from_utf8(&body[start..end]).ok()
}
