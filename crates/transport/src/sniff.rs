//! Which HTTP a client speaks: HTTP/2 begins with a preface that is no request of HTTP/1 (RFC 9113, section 3.4).
//!
//! Also behind TLS, where ALPN has agreed on it, the preface decides: it comes in both cases, and a client that agrees on
//! one and speaks the other is answered in what it speaks.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A version of HTTP, as far as connections differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// HTTP/1.0 and 1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Reads until it is clear which it is; gives what was read, too. Nothing when the client left without a word.
///
/// It reads no more than the preface is long, and of HTTP/1 most often less than a line.
pub(crate) async fn sniff(
    stream: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<(Version, Bytes)>> {
    let mut read = [0; PREFACE.len()];
    let mut len = 0;
    while len < PREFACE.len() {
        let count = stream.read(&mut read[len..]).await?;
        len += count;
        if count == 0 && len == 0 {
            return Ok(None);
        }
        if count == 0 || read[..len] != PREFACE[..len] {
            return Ok(Some((Version::Http1, Bytes::copy_from_slice(&read[..len]))));
        }
    }
    Ok(Some((Version::Http2, Bytes::from_static(PREFACE))))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn check(pieces: &[&[u8]], expected: Option<Version>) {
        let (mut client, mut server) = tokio::io::duplex(4);
        let write = async {
            for piece in pieces {
                if client.write_all(piece).await.is_err() {
                    break;
                }
            }
            drop(client);
        };
        let read = async {
            let found = sniff(&mut server).await.unwrap();
            let (version, mut all) = found.map_or((None, Vec::new()), |(version, read)| {
                (Some(version), read.to_vec())
            });
            server.read_to_end(&mut all).await.unwrap();
            (version, all)
        };
        let ((), (version, all)) = tokio::join!(write, read);
        assert_eq!(version, expected, "{pieces:?}");
        assert_eq!(all, pieces.concat(), "nothing is lost");
    }

    #[tokio::test]
    async fn the_preface_decides_however_it_is_cut() {
        check(&[PREFACE], Some(Version::Http2)).await;
        check(
            &[&PREFACE[..1], &PREFACE[1..7], &PREFACE[7..], b"more"],
            Some(Version::Http2),
        )
        .await;
        check(&[b"GET / HTTP/1.1\r\n\r\n"], Some(Version::Http1)).await;
        check(
            &[b"P", b"OST /v1/commands HTTP/1.1\r\n"],
            Some(Version::Http1),
        )
        .await;
        check(&[b"PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n"], Some(Version::Http1)).await;
        check(&[b"PR"], Some(Version::Http1)).await;
        check(&[], None).await;
    }
}
