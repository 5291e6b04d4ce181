//! The body of `POST /v1/commands`: a JSON command a line, and the replies, a line each.

use switchboard_core::{Frame, Reply};

use crate::json;

/// More commands than a body may have; none of them was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body has more than {count_max} commands")]
pub struct TooManyCommands {
    /// What is allowed.
    pub count_max: usize,
}

/// Splits a body in its commands, in order, for [`json::decode_command`] to read. Lines end with LF or CRLF, the last
/// one may go without, and blank ones are passed over.
///
/// # Errors
/// [`TooManyCommands`] when there are more than `count_max` (`Limits::commands_per_body_max`).
pub fn split(body: &[u8], count_max: usize) -> Result<Vec<&[u8]>, TooManyCommands> {
    let lines = body
        .split(|&byte| byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty());
    let commands: Vec<_> = lines.take(count_max.saturating_add(1)).collect();
    if commands.len() > count_max {
        Err(TooManyCommands { count_max })
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
            split(b"{\"a\":1}\r\n\n  \n{\"b\":2}", 2),
            Ok(vec![&b"{\"a\":1}"[..], b"{\"b\":2}"])
        );
        assert_eq!(split(b"", 2), Ok(vec![]));
    }

    #[test]
    fn commands_of_a_body_are_bounded() {
        assert_eq!(split(&b"{}\n".repeat(3), 3).unwrap().len(), 3);
        let refused = split(&b"{}\n".repeat(4), 3).unwrap_err();
        assert_eq!(refused.to_string(), "the body has more than 3 commands");
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
