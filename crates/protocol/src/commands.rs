//! The body of `POST /v1/commands`: a JSON command a line, and the replies, a line each.

use switchboard_core::{Frame, Reply};

use crate::json;

/// The most commands of one body. A session's burst of commands has a bound of its own; this one keeps the work of a
/// body proportionate before any of it begins.
pub const COMMANDS_PER_BODY_MAX: usize = 256;

/// More commands than [`COMMANDS_PER_BODY_MAX`]; none of them was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body has more than {COMMANDS_PER_BODY_MAX} commands")]
pub struct TooManyCommands;

/// Splits a body in its commands, in order, for [`json::decode_command`] to read. Lines end with LF or CRLF, the last
/// one may go without, and blank ones are passed over.
///
/// # Errors
/// [`TooManyCommands`].
pub fn split(body: &[u8]) -> Result<Vec<&[u8]>, TooManyCommands> {
    let lines = body
        .split(|&byte| byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty());
    let commands: Vec<_> = lines.take(COMMANDS_PER_BODY_MAX + 1).collect();
    if commands.len() > COMMANDS_PER_BODY_MAX {
        Err(TooManyCommands)
    } else {
        Ok(commands)
    }
}

/// Writes the body of the response: each reply as its frame, a line each.
pub fn join(replies: impl IntoIterator<Item = Reply>) -> Vec<u8> {
    let mut body = Vec::new();
    for reply in replies {
        json::encode(&Frame::Reply(reply), &mut body);
        body.push(b'\n');
    }
    body
}

#[cfg(test)]
mod tests {
    use switchboard_core::Answer;

    use super::*;

    #[test]
    fn lines_are_commands_and_blank_ones_are_none() {
        assert_eq!(
            split(b"{\"a\":1}\r\n\n  \n{\"b\":2}"),
            Ok(vec![&b"{\"a\":1}"[..], b"{\"b\":2}"])
        );
        assert_eq!(split(b""), Ok(vec![]));
    }

    #[test]
    fn commands_of_a_body_are_bounded() {
        assert_eq!(
            split(&b"{}\n".repeat(COMMANDS_PER_BODY_MAX)).unwrap().len(),
            COMMANDS_PER_BODY_MAX
        );
        assert_eq!(
            split(&b"{}\n".repeat(COMMANDS_PER_BODY_MAX + 1)),
            Err(TooManyCommands)
        );
    }

    #[test]
    fn replies_are_lines() {
        let replies = [1, 2].map(|id| Reply {
            id,
            outcome: Ok(Answer::Unsubscribe),
        });
        let expected = "{\"reply\":{\"id\":1,\"unsubscribe\":{}}}\n{\"reply\":{\"id\":2,\"unsubscribe\":{}}}\n";
        assert_eq!(join(replies), expected.as_bytes());
    }
}
