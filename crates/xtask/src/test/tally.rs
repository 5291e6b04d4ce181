//! Counting tests from what the test programs say.

/// What was counted so far.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
    /// The names of the tests that failed.
    pub(crate) failures: Vec<String>,
}

impl Tally {
    /// Takes in one line of a test program's output; most say nothing.
    ///
    /// The two that count: `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; ...` and
    /// `test module::name ... FAILED`.
    pub(crate) fn read(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            let Some((_, counts)) = result.split_once(". ") else {
                return;
            };
            for count in counts.split("; ") {
                let Some((number, what)) = count.split_once(' ') else {
                    continue;
                };
                let Ok(number) = number.parse::<u64>() else {
                    continue;
                };
                match what {
                    "passed" => self.passed += number,
                    "failed" => self.failed += number,
                    "ignored" => self.ignored += number,
                    _ => {}
                }
            }
        } else if let Some(name) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            self.failures.push(name.to_owned());
        }
    }

    /// Adds the counts of another tally.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
        self.failures.extend(other.failures);
    }

    /// The closing line, such as `212 passed, 0 failed`.
    pub(crate) fn closing_line(&self) -> String {
        let Self {
            passed,
            failed,
            ignored,
            ..
        } = self;
        match ignored {
            0 => format!("{passed} passed, {failed} failed"),
            _ => format!("{passed} passed, {failed} failed, {ignored} ignored"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(lines: &[&str]) -> Tally {
        let mut tally = Tally::default();
        for line in lines {
            tally.read(line);
        }
        tally
    }

    #[test]
    fn results_of_several_programs_are_summed() {
        let tally = tally(&[
            "running 3 tests",
            "test a::b ... ok",
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 2 filtered out; finished in 0.00s",
            "test a::c ... FAILED",
            "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s",
        ]);
        assert_eq!((tally.passed, tally.failed, tally.ignored), (4, 1, 0));
        assert_eq!(tally.failures, ["a::c"]);
        assert_eq!(tally.closing_line(), "4 passed, 1 failed");
    }

    #[test]
    fn ignored_tests_are_told_only_if_there_are_some() {
        let tally =
            tally(&["test result: ok. 0 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out"]);
        assert_eq!(tally.closing_line(), "0 passed, 0 failed, 2 ignored");
    }

    #[test]
    fn other_lines_count_nothing() {
        assert_eq!(
            tally(&["test result", "3 passed; 1 failed", "test result: odd"]),
            Tally::default()
        );
    }
}
