//! Many sends in one system call.
//!
//! Purpose: a [`Sender`] takes sends to different sockets, hands all of them to the kernel by one `io_uring_enter`, and tells
//! what each of them did, just as `send` with `MSG_DONTWAIT` would have. The call costs as much as one send's; that is what is saved.
//!
//! Deliberately absent: anything that waits (a send that would block says so at once), other operations, zero-copy (a frame is
//! too small for it), completions left out on success (a short send is a success, and must be seen), the kernel's own polling thread.
//!
//! The only crate with `unsafe`: the kernel reads memory whose addresses it was given. That it does so only while [`Batch::send`]
//! runs, which borrows all of it, is what makes the face safe; see there. Miri runs no system calls, so it has nothing to say here.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd};

use io_uring::squeue::Entry;
use io_uring::{IoUring, opcode, types};

/// Never wait, and no signal when the peer has gone.
const SEND_FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

/// A ring, and what is kept between batches so that none allocates.
pub struct Sender {
    /// Gone once the kernel has refused to go on.
    ring: Option<IoUring>,
    entries: Vec<Entry>,
    results: Vec<i32>,
    sends_max: usize,
}

/// Sends that are being gathered. They happen in [`Batch::send`]; a batch that is dropped before sends nothing.
pub struct Batch<'sender, 'bytes> {
    sender: &'sender mut Sender,
    bytes: PhantomData<(BorrowedFd<'bytes>, &'bytes [u8])>,
}

impl Sender {
    /// Sets up a ring for batches of at most `sends_max` sends.
    ///
    /// # Errors
    /// The kernel has no io_uring (before 5.18), or refuses it: by `kernel.io_uring_disabled`, or a container's filter.
    pub fn new(sends_max: u32) -> io::Result<Self> {
        // A failed send must not keep back those after it.
        let ring = IoUring::builder().setup_submit_all().build(sends_max)?;
        Ok(Self {
            ring: Some(ring),
            entries: Vec::with_capacity(sends_max as usize),
            results: vec![NOT_DONE; sends_max as usize],
            sends_max: sends_max as usize,
        })
    }

    /// The most sends of a batch.
    pub fn sends_max(&self) -> usize {
        self.sends_max
    }

    /// Whether the kernel has refused to go on. Then all sends say that they would block, and the sender is of no use any more.
    pub fn is_broken(&self) -> bool {
        self.ring.is_none()
    }

    /// Begins a batch.
    pub fn batch<'bytes>(&mut self) -> Batch<'_, 'bytes> {
        self.entries.clear();
        Batch {
            sender: self,
            bytes: PhantomData,
        }
    }
}

/// What no send results in: a number of bytes or a small negative error.
const NOT_DONE: i32 = i32::MIN;

impl<'bytes> Batch<'_, 'bytes> {
    /// Adds a send.
    ///
    /// # Panics
    /// The batch has its most sends already.
    #[inline]
    pub fn push(&mut self, socket: BorrowedFd<'bytes>, bytes: &'bytes [u8]) {
        let entries = &mut self.sender.entries;
        assert!(
            entries.len() < self.sender.sends_max,
            "a batch has its bound"
        );
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let send = opcode::Send::new(types::Fd(socket.as_raw_fd()), bytes.as_ptr(), len);
        let index = entries.len() as u64;
        entries.push(send.flags(SEND_FLAGS).build().user_data(index));
    }

    /// Does the sends, in their order, and gives what each of them did, in that order as well: how many bytes the socket
    /// took, or an error. Those that the kernel did not come to say that they would block.
    pub fn send(self) -> impl Iterator<Item = io::Result<usize>> {
        let Sender {
            ring,
            entries,
            results,
            ..
        } = self.sender;
        let results = &mut results[..entries.len()];
        results.fill(NOT_DONE);
        let broken = match ring {
            Some(ring) => perform(ring, entries, results).is_err(),
            None => false,
        };
        if broken {
            // What is left in its queue must never be submitted.
            *ring = None;
        }
        results.iter().map(|&result| match usize::try_from(result) {
            Ok(taken) => Ok(taken),
            Err(_) if result == NOT_DONE => Err(io::ErrorKind::WouldBlock.into()),
            Err(_) => Err(io::Error::from_raw_os_error(-result)),
        })
    }
}

/// Submits the entries and waits until all that were submitted are done. After an error the ring must not be used any more.
#[expect(
    unsafe_code,
    reason = "the kernel is given addresses; why that is sound is said at the block"
)]
fn perform(ring: &mut IoUring, entries: &[Entry], results: &mut [i32]) -> io::Result<()> {
    // SAFETY: the entries point to memory and sockets that the batch has borrowed until `Batch::send` is left. Nothing between here and
    // the end of this function can panic or runs a caller's code, and it returns only when every entry that the
    // kernel has taken is completed; a completed send is not looked at again. Entries that it has not taken stay in
    // the ring's queue, which is read only in `io_uring_enter`: the caller drops the ring in that case.
    unsafe { ring.submission().push_multiple(entries) }.map_err(io::Error::other)?;
    let mut outcome = Ok(());
    while !ring.submission().is_empty() {
        match ring.submit() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                outcome = Err(error);
                break;
            }
            Ok(_) => {}
        }
    }
    let mut owed = entries.len() - ring.submission().len();
    loop {
        for completion in ring.completion() {
            if let Some(result) = results.get_mut(completion.user_data() as usize) {
                *result = completion.result();
            }
            owed = owed.saturating_sub(1);
        }
        if owed == 0 {
            return outcome;
        }
        // A send that never waits is done when it has been submitted, so this is never come to; but if it were, there is no
        // way out before the kernel has let go of the memory.
        std::thread::yield_now();
    }
}

#[cfg(test)]
mod tests;
