//! File descriptors: each connection is one, so their limit is the first that a hub meets.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Taken where the system sets no limit: sessions need some bound, and no kernel allows more than this by default.
const UNLIMITED: u64 = 1 << 20;

/// Raises the soft limit to the hard one, as every process may, and tells what the limit is now.
///
/// # Errors
/// The system refused; the limit is then what it was, and told beside the error.
pub(crate) fn raise_limit() -> Result<u64, (u64, std::io::Error)> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return Ok(current.unwrap_or(UNLIMITED));
    }
    match setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    ) {
        Ok(()) => Ok(maximum.unwrap_or(UNLIMITED)),
        Err(error) => Err((current.unwrap_or(UNLIMITED), error.into())),
    }
}

/// The limit as it is.
pub(crate) fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(UNLIMITED)
}

/// Descriptors in use; nothing where the system does not tell. Where it does not count them itself, as Linux does from 6.2 on,
/// it takes about a microsecond for each.
pub(crate) fn in_use() -> Option<u64> {
    if let Ok(counted) = std::fs::metadata("/proc/self/fd")
        && counted.len() > 0
    {
        return Some(counted.len());
    }
    let entries = std::fs::read_dir("/proc/self/fd")
        .or_else(|_| std::fs::read_dir("/dev/fd"))
        .ok()?;
    // The listing itself holds one while it counts.
    Some((entries.count() as u64).saturating_sub(1))
}

/// The sessions that a limit has room for: a tenth is left for handshakes, files and the control API.
pub(crate) fn sessions_max(limit: u64) -> usize {
    usize::try_from(limit / 10 * 9).unwrap_or(usize::MAX).max(1)
}

/// The descriptors that a limit has for clients. What lies above is kept for services, operators and files: a hub that is full
/// of clients must still be asked how it is, and told to disconnect some.
pub(crate) fn for_clients(limit: u64) -> usize {
    let kept = (limit / 20).clamp(16, 1024);
    usize::try_from(limit.saturating_sub(kept))
        .unwrap_or(usize::MAX)
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_leave_a_tenth() {
        assert_eq!([20_000, 1024, 0].map(sessions_max), [18_000, 918, 1]);
    }

    #[test]
    fn clients_leave_a_twentieth_within_reason() {
        assert_eq!(
            [1 << 20, 20_000, 256, 0].map(for_clients),
            [(1 << 20) - 1024, 19_000, 240, 1]
        );
    }

    #[test]
    fn an_open_file_is_counted() {
        let limit = limit();
        assert!(limit > 0);
        let Some(before) = in_use() else { return };
        let files: Vec<_> = (0..64)
            .map(|_| std::fs::File::open("/dev/null").unwrap())
            .collect();
        // Other tests of this process open and close some of their own meanwhile.
        assert!(in_use().unwrap() + 32 > before + files.len() as u64);
    }
}
