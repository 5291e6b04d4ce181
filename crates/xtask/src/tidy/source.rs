//! Reading Rust just well enough: what is code, what is comment or text, and what is a test.

/// The source with comments and the insides of literals replaced by spaces. Lines stay where they are, so that line
/// numbers hold for both.
pub(super) fn code_only(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut code = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match (chars[at], chars.get(at + 1)) {
            ('/', Some('/')) => line_end(&chars, at),
            ('/', Some('*')) => comment_end(&chars, at),
            ('"', _) => string_end(&chars, at),
            ('r', Some('"' | '#')) if !inside_word(&chars, at) => raw_string_end(&chars, at),
            ('\'', _) => char_end(&chars, at),
            _ => at,
        };
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.extend(
                chars[at..end]
                    .iter()
                    .map(|c| if *c == '\n' { '\n' } else { ' ' }),
            );
            at = end;
        }
    }
    code
}

fn line_end(chars: &[char], at: usize) -> usize {
    chars[at..]
        .iter()
        .position(|c| *c == '\n')
        .map_or(chars.len(), |length| at + length)
}

fn comment_end(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                at += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    at
}

fn string_end(chars: &[char], at: usize) -> usize {
    let mut at = at + 1;
    while at < chars.len() {
        match chars[at] {
            '"' => return at + 1,
            '\\' => at += 2,
            _ => at += 1,
        }
    }
    chars.len()
}

/// The end of `r"..."` or `r#"..."#`; `at` itself if it is a raw identifier instead.
fn raw_string_end(chars: &[char], at: usize) -> usize {
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    let open = at + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return at;
    }
    let mut end = open + 1;
    while end < chars.len() {
        let closing = chars[end + 1..]
            .iter()
            .take(hashes)
            .filter(|c| **c == '#')
            .count();
        if chars[end] == '"' && closing == hashes {
            return end + 1 + hashes;
        }
        end += 1;
    }
    end
}

/// The end of a character; `at` itself if it is a lifetime.
fn char_end(chars: &[char], at: usize) -> usize {
    if chars.get(at + 1) == Some(&'\\') {
        // What follows the backslash may itself be a quote.
        let close = chars.iter().skip(at + 3).position(|c| *c == '\'');
        return close.map_or(chars.len(), |length| at + 3 + length + 1);
    }
    if chars.get(at + 2) == Some(&'\'') {
        at + 3
    } else {
        at
    }
}

/// Whether the character continues a word, as the last `r` of `for` does. `br"..."` is a literal all the same.
fn inside_word(chars: &[char], at: usize) -> bool {
    let before = at.checked_sub(1).map(|before| chars[before]);
    let two_before = at.checked_sub(2).map(|before| chars[before]);
    match before {
        Some('b' | 'c') => two_before.is_some_and(is_word),
        Some(c) => is_word(c),
        None => false,
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether `line` has `phrase` with no letter, digit or underscore right before or after it.
pub(super) fn has_word(line: &str, phrase: &str) -> bool {
    line.match_indices(phrase).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + phrase.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// The line (counted from 1) on which the tests at the end of a file begin, by the code of the file.
pub(super) fn tests_begin(code: &str) -> Option<usize> {
    let lines: Vec<&str> = code.lines().map(str::trim).collect();
    let marks = (0..lines.len()).filter(|at| lines[*at].starts_with("#[cfg(test)]"));
    let opens_module = |at: &usize| {
        let next = lines[at + 1..]
            .iter()
            .find(|line| !line.is_empty() && !line.starts_with("#["));
        next.is_some_and(|line| has_word(line, "mod") && line.ends_with('{'))
    };
    marks.into_iter().find(opens_module).map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(source: &str, code: &str) {
        assert_eq!(code_only(source), code, "for {source}");
    }

    #[test]
    fn comments_and_literals_are_blanked_and_code_is_kept() {
        check("a // b\nc", "a     \nc");
        check("a /* b /* c */ d\n*/ e", "a               \n   e");
        check(r#"f("a\"b", c)"#, "f(      , c)");
        check(r##"f(r#"a"b"#, c)"##, "f(        , c)");
        check("f(br\"a\", c)", "f(b    , c)");
        check(
            "f('a', '\\'', '\\n', '\"', x)",
            "f(   ,     ,     ,    , x)",
        );
        check("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}");
        check("for\"x\"", "for   ");
        check("r#type = 1", "r#type = 1");
    }

    #[test]
    fn words_have_edges() {
        assert!(has_word("use tokio::x;", "tokio"));
        assert!(!has_word("use tokio_util::x;", "tokio"));
        assert!(!has_word("my_tokio", "tokio"));
    }

    #[test]
    fn the_tests_of_a_file_are_found() {
        assert_eq!(
            tests_begin("fn a() {}\n#[cfg(test)]\n#[allow(x)]\nmod tests {\n}\n"),
            Some(2)
        );
        assert_eq!(tests_begin("#[cfg(test)]\nmod tests;\nfn a() {}\n"), None);
        assert_eq!(tests_begin("#[cfg(test)]\nfn a() {\n}\n"), None);
    }
}
