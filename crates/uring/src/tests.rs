//! Against the real kernel, and `send` beside it. Where the kernel refuses io_uring there is nothing to test but the refusal.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

/// A sender, unless this kernel refuses; then it must have said so as such.
fn sender(sends_max: u32) -> Option<Sender> {
    match Sender::new(sends_max) {
        Ok(sender) => Some(sender),
        Err(error) => {
            let refusals = [libc::EPERM, libc::ENOSYS, libc::EACCES];
            assert!(
                error
                    .raw_os_error()
                    .is_some_and(|it| refusals.contains(&it)),
                "{error}"
            );
            None
        }
    }
}

fn pairs(count: usize) -> Vec<(UnixStream, UnixStream)> {
    (0..count).map(|_| UnixStream::pair().unwrap()).collect()
}

/// What has come, without waiting for more.
fn came(stream: &UnixStream) -> Vec<u8> {
    stream.set_nonblocking(true).unwrap();
    let mut bytes = Vec::new();
    let ended = (&*stream).read_to_end(&mut bytes);
    assert!(ended.is_ok() || ended.is_err_and(|it| it.kind() == io::ErrorKind::WouldBlock));
    bytes
}

#[test]
fn each_socket_gets_its_bytes_in_the_order_of_the_batches() {
    let Some(mut sender) = sender(256) else {
        return;
    };
    let pairs = pairs(256);
    // Many more sends than the rings have places.
    for round in 0..9_u8 {
        let frames: Vec<_> = (0..=255_u8).map(|n| [round, n, n]).collect();
        let mut batch = sender.batch();
        for ((near, _), frame) in pairs.iter().zip(&frames) {
            batch.push(near.as_fd(), frame);
        }
        let sent: Vec<_> = batch.send().map(|result| result.unwrap()).collect();
        assert_eq!(sent, vec![3; 256]);
    }
    for (n, (_, far)) in pairs.iter().enumerate() {
        let n = n as u8;
        let expected: Vec<_> = (0..9).flat_map(|round| [round, n, n]).collect();
        assert_eq!(came(far), expected);
    }
}

#[test]
fn several_sends_to_one_socket_keep_their_order() {
    let Some(mut sender) = sender(64) else { return };
    let (near, far) = UnixStream::pair().unwrap();
    let numbers: Vec<_> = (0..64_u8).map(|n| [n]).collect();
    let mut batch = sender.batch();
    for number in &numbers {
        batch.push(near.as_fd(), number);
    }
    assert_eq!(batch.send().flatten().sum::<usize>(), 64);
    assert_eq!(came(&far), numbers.concat());
}

#[test]
fn a_full_socket_says_at_once_what_it_took_and_then_that_it_would_block() {
    let Some(mut sender) = sender(4) else { return };
    // A blocking socket: the call must not wait all the same.
    let (near, far) = UnixStream::pair().unwrap();
    let (other, other_far) = UnixStream::pair().unwrap();
    let large = vec![7; 8 * 1024 * 1024];
    let mut batch = sender.batch();
    batch.push(near.as_fd(), &large);
    batch.push(near.as_fd(), &large);
    batch.push(other.as_fd(), b"on time");
    let results: Vec<_> = batch.send().collect();
    let taken = *results[0].as_ref().unwrap();
    assert!(taken > 0 && taken < large.len(), "{taken}");
    assert_eq!(
        results[1].as_ref().unwrap_err().kind(),
        io::ErrorKind::WouldBlock
    );
    assert_eq!(*results[2].as_ref().unwrap(), 7);
    assert_eq!(came(&far).len(), taken);
    assert_eq!(came(&other_far), b"on time");
    assert!(!sender.is_broken());
}

#[test]
fn a_socket_whose_peer_has_gone_fails_without_harm_to_the_next() {
    let Some(mut sender) = sender(4) else { return };
    let (near, far) = UnixStream::pair().unwrap();
    drop(far);
    let (other, other_far) = UnixStream::pair().unwrap();
    let mut batch = sender.batch();
    batch.push(near.as_fd(), b"lost");
    batch.push(other.as_fd(), b"arrives");
    let results: Vec<_> = batch.send().collect();
    assert_eq!(
        results[0].as_ref().unwrap_err().kind(),
        io::ErrorKind::BrokenPipe
    );
    assert_eq!(*results[1].as_ref().unwrap(), 7);
    assert_eq!(came(&other_far), b"arrives");
}

#[test]
fn a_batch_that_is_dropped_or_forgotten_sends_nothing() {
    let Some(mut sender) = sender(4) else { return };
    let (near, far) = UnixStream::pair().unwrap();
    {
        let gone = b"gone".to_vec();
        let mut batch = sender.batch();
        batch.push(near.as_fd(), &gone);
        // Neither submits anything, for nothing has a hold on the ring before `send`.
        let _ = std::mem::ManuallyDrop::new(batch);
    }
    let mut batch = sender.batch();
    batch.push(near.as_fd(), b"after");
    assert_eq!(batch.send().count(), 1);
    assert_eq!(came(&far), b"after");
}

#[test]
fn after_a_refusal_sends_would_block() {
    let Some(mut sender) = sender(4) else { return };
    sender.ring = None;
    let (near, _far) = UnixStream::pair().unwrap();
    let mut batch = sender.batch();
    batch.push(near.as_fd(), b"later");
    let results: Vec<_> = batch.send().collect();
    assert_eq!(
        results[0].as_ref().unwrap_err().kind(),
        io::ErrorKind::WouldBlock
    );
    assert!(sender.is_broken());
}

#[test]
fn a_batch_has_its_bound() {
    let Some(mut sender) = sender(1) else { return };
    let (near, _far) = UnixStream::pair().unwrap();
    let mut batch = sender.batch();
    batch.push(near.as_fd(), b"one");
    let second = catch_unwind(AssertUnwindSafe(|| batch.push(near.as_fd(), b"two")));
    assert!(second.is_err());
}
