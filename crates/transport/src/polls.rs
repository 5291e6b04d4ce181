//! Polls one after the other on one connection of HTTP/1.1, without an HTTP library in between.
//!
//! A client that polls asks the same thing again and again, and most of the time its connection waits. A library would keep
//! its buffers and a request's whole machinery for that long, some thirty times of what a session needs. So a
//! connection that has polled leaves the library ([`Slot::keep_for_polls`](crate::takeover::Slot::keep_for_polls)) and is
//! served here as long as what comes are plain polls of a session that is known. Whatever else comes, and whatever is
//! odd, goes back to the library with every byte of it.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Poll, ready};
use std::time::{Duration, SystemTime};

use bytes::{Buf, Bytes};
use switchboard_core::Limits;
use switchboard_core::cursor::Cursor;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

use crate::clients::Shared;
use crate::poll;
use crate::query::Query;
use crate::stream::ClientStream;

/// All that is read at a time: a poll with a cursor of a few channels.
const READ_BYTES: usize = 4 * 1024;

/// How every request that is served here begins.
const BEGINNING: &[u8] = b"GET /v1/poll?";

/// More header fields than a browser and a proxy come to; a request that has more is the library's.
const HEADERS_MAX: usize = 64;

/// What becomes of a connection.
pub(crate) enum Next {
    /// The library reads on, from these bytes.
    Library(Vec<u8>),
    /// Polls are served at this shard, from these bytes on.
    Shard(u16, Vec<u8>),
    /// It is over.
    Close,
}

/// Finds out who serves the next request. `bytes` have been read already; its head must be there within `head_timeout`.
pub(crate) async fn look(
    shared: &Shared,
    stream: &mut ClientStream,
    mut bytes: Vec<u8>,
    head_timeout: Duration,
) -> io::Result<Next> {
    let head = next_head(shared, stream, &mut bytes, head_timeout).await?;
    Ok(match head {
        None => Next::Close,
        Some(Head::Poll(request)) => match shared.node.shard_of(&request.key) {
            Some(shard) => Next::Shard(shard, bytes),
            // Perhaps a session can be opened here in the place of another node's.
            None => Next::Library(bytes),
        },
        Some(Head::Other) => Next::Library(bytes),
    })
}

/// Serves polls. `bytes` have been read already; a request's head must be there `head_timeout` after it is waited for, and
/// when `leave` is done it is waited for elsewhere.
pub(crate) async fn serve(
    shared: &Shared,
    stream: &mut ClientStream,
    mut bytes: Vec<u8>,
    head_timeout: Duration,
    leave: impl Future<Output = ()>,
) -> io::Result<Next> {
    let mut leave = pin!(leave);
    loop {
        let head = tokio::select! {
            biased;
            head = next_head(shared, stream, &mut bytes, head_timeout) => head?,
            () = &mut leave => return Ok(Next::Library(bytes)),
        };
        let Some(head) = head else {
            return Ok(Next::Close);
        };
        let Head::Poll(request) = head else {
            return Ok(Next::Library(bytes));
        };
        let batch = {
            let (key, cursor, wait) = (&request.key, request.cursor.clone(), request.wait);
            let mut frames = pin!(poll::wait_for_frames(shared, key, cursor, wait));
            let bytes_max = request.len + shared.node.limits().header_bytes_max;
            loop {
                tokio::select! {
                    biased;
                    batch = &mut frames => break batch,
                    read = read_more(stream, &mut bytes), if bytes.len() < bytes_max => {
                        if read? == 0 {
                            return Ok(Next::Close);
                        }
                    }
                }
            }
        };
        // The session is gone: perhaps another can be opened in its place, which takes a look at the whole request.
        let Ok(batch) = batch else {
            return Ok(Next::Library(bytes));
        };
        let is_last = shared.stop.is_cancelled();
        let head = answer_head(batch.body.len(), request.allow_origin.as_deref(), is_last);
        let mut answer = head.chain(batch.body);
        let sent = timeout(shared.node.limits().outbox_age_max, async {
            stream.write_all_buf(&mut answer).await?;
            stream.flush().await
        });
        // What it carried is still owed if it did not get through.
        match sent.await {
            Ok(sent) => sent?,
            Err(_) => return Ok(Next::Close),
        }
        if is_last {
            return Ok(Next::Close);
        }
        bytes.drain(..request.len);
    }
}

/// Waits for the head of a request; nothing when the connection is over first.
///
/// # Cancel safety
/// Cancel safe: what has been read is in `bytes`.
async fn next_head(
    shared: &Shared,
    stream: &mut ClientStream,
    bytes: &mut Vec<u8>,
    head_timeout: Duration,
) -> io::Result<Option<Head>> {
    let read = async {
        loop {
            if let Some(head) = Head::parse(bytes, shared) {
                return Ok(Some(head));
            }
            if read_more(stream, bytes).await? == 0 {
                return Ok(None);
            }
        }
    };
    tokio::select! {
        biased;
        head = timeout(head_timeout, read) => head.unwrap_or(Ok(None)),
        () = shared.stop.cancelled() => Ok(None),
    }
}

/// Appends what the client has sent; 0 is its end.
///
/// # Cancel safety
/// Cancel safe: what has been read is in `bytes`.
async fn read_more(stream: &mut ClientStream, bytes: &mut Vec<u8>) -> io::Result<usize> {
    poll_fn(|cx| {
        // Here and not in the future, which lives as long as the poll waits.
        let mut scratch = [MaybeUninit::uninit(); READ_BYTES];
        let mut read = ReadBuf::uninit(&mut scratch);
        ready!(Pin::new(&mut *stream).poll_read(cx, &mut read))?;
        bytes.reserve_exact(read.filled().len());
        bytes.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    })
    .await
}

/// The head of a request.
enum Head {
    /// A poll of a session.
    Poll(Box<Request>),
    /// For the library: something else, something refused, or nothing that makes sense.
    Other,
}

/// A poll of a session: what is needed of it as long as it waits.
struct Request {
    /// Bytes of its head, which is all there is of it.
    len: usize,
    key: String,
    cursor: Option<Cursor>,
    wait: Duration,
    /// The origin that may read the answer, where one asks that may.
    allow_origin: Option<String>,
}

impl Head {
    /// Nothing while it cannot be told yet.
    fn parse(bytes: &[u8], shared: &Shared) -> Option<Self> {
        let begun = bytes.len().min(BEGINNING.len());
        if bytes[..begun] != BEGINNING[..begun] {
            return Some(Self::Other);
        }
        let limits = shared.node.limits();
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let headers_max = limits.headers_max.min(HEADERS_MAX);
        let mut request = httparse::Request::new(&mut headers[..headers_max]);
        match request.parse(bytes) {
            Ok(httparse::Status::Complete(len)) => {
                let head = Request::read(len, &request, limits, shared);
                Some(head.map_or(Self::Other, |head| Self::Poll(Box::new(head))))
            }
            Ok(httparse::Status::Partial) if bytes.len() <= limits.header_bytes_max => None,
            Ok(httparse::Status::Partial) | Err(_) => Some(Self::Other),
        }
    }
}

impl Request {
    fn read(
        len: usize,
        request: &httparse::Request<'_, '_>,
        limits: &Limits,
        shared: &Shared,
    ) -> Option<Self> {
        if request.version != Some(1) || len > limits.header_bytes_max {
            return None;
        }
        let (mut hosts, mut allow_origin) = (0, None);
        for header in request.headers.iter() {
            let value = header.value;
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            if is("host") {
                hosts += 1;
            } else if is("origin") {
                let origin = std::str::from_utf8(value).ok()?;
                if shared.config.allowed_origins.contains(origin) {
                    allow_origin = Some(origin.to_owned());
                }
            } else if is("connection") && !value.eq_ignore_ascii_case(b"keep-alive")
                || is("content-length") && value != b"0"
                || is("transfer-encoding")
                || is("expect")
                || is("upgrade")
            {
                return None;
            }
        }
        let (_, text) = request.path?.split_once('?')?;
        let mut query = Query::parse(Some(text), limits).ok()?;
        let key = query.key.take().filter(|_| hosts == 1)?;
        Some(Self {
            len,
            key,
            wait: poll::wait(shared, &query),
            cursor: query.cursor,
            allow_origin,
        })
    }
}

/// The head of an answer, with the headers that the library and its layers would write.
fn answer_head(len: usize, allow_origin: Option<&str>, is_last: bool) -> Bytes {
    let date = httpdate::fmt_http_date(SystemTime::now());
    let mut head = Vec::with_capacity(384);
    let mut put = |parts: &[&str]| {
        for part in parts {
            head.extend_from_slice(part.as_bytes());
        }
    };
    put(&[
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncache-control: no-store\r\n\
         vary: origin\r\naccess-control-allow-credentials: true\r\n\
         access-control-expose-headers: retry-after,www-authenticate\r\n",
    ]);
    if let Some(origin) = allow_origin {
        put(&["access-control-allow-origin: ", origin, "\r\n"]);
    }
    if is_last {
        put(&["connection: close\r\n"]);
    }
    let len = len.to_string();
    put(&["content-length: ", &len, "\r\ndate: ", &date, "\r\n\r\n"]);
    head.into()
}
