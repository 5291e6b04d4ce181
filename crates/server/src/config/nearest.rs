//! The name that was meant.

/// Less alike than this is no suggestion but noise.
const LIKENESS_MIN: f64 = 0.72;

/// The known name that is most like `name`, if any is.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let likeness = |known: &str| {
        // Plurals, swapped letters and joined words on one side; a word too many or too few on the other.
        let edits = strsim::normalized_damerau_levenshtein(&name, known);
        edits.max(strsim::jaro_winkler(&name, known) - 0.1)
    };
    known
        .into_iter()
        .map(|known| (likeness(known), known))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        let known = [
            "listen",
            "allowed_origins",
            "outbox_bytes_max",
            "outbox_age_max_s",
        ];
        for (name, expected) in [
            ("lisen", Some("listen")),
            ("Listen", Some("listen")),
            ("allowed_origin", Some("allowed_origins")),
            ("outbox_byte_max", Some("outbox_bytes_max")),
            ("outbox_max_bytes", Some("outbox_bytes_max")),
            ("outbox_age_max", Some("outbox_age_max_s")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known), expected, "{name}");
        }
    }
}
