//! A ledger that cannot fail is worth nothing: what it must see, one by one.

use super::*;

fn at(epoch: &str, offset: u64) -> Position {
    Position {
        epoch: epoch.to_owned(),
        offset,
    }
}

/// Numbers 0, 1, 2 … acknowledged at these positions.
fn acknowledged(positions: &[(&str, u64)]) -> Published {
    let fates = positions
        .iter()
        .map(|(epoch, offset)| Fate::Acknowledged(at(epoch, *offset)));
    (0..).zip(fates).collect()
}

fn message(number: u64, epoch: &str, offset: u64) -> Given {
    Given::Message {
        number,
        position: at(epoch, offset),
    }
}

/// Ten of one epoch.
fn ten() -> (Published, Vec<Given>) {
    let positions: Vec<_> = (1..=10).map(|offset| ("a", offset)).collect();
    let given = (0..10).map(|n| message(n, "a", n + 1)).collect();
    (acknowledged(&positions), given)
}

fn figures(published: &Published, given: Vec<Given>) -> Figures {
    let from = at("a", 0);
    let mut figures = Figures::default();
    let account = Account { from, given };
    figures.enter("chat:1", published, &[("a client".to_owned(), account)]);
    figures
}

#[track_caller]
fn check(published: &Published, given: Vec<Given>, expected: (u64, u64, u64, u64)) {
    let figures = figures(published, given);
    let got = (
        figures.lost,
        figures.duplicated,
        figures.gaps,
        figures.disordered,
    );
    assert_eq!(
        got, expected,
        "lost, duplicated, gaps, disordered: {figures:#?}"
    );
    let silent = expected.0 + expected.1 + expected.3;
    assert_eq!(figures.whole(), silent == 0);
    assert_eq!(figures.findings.is_empty(), silent == 0);
}

#[test]
fn all_in_order_is_whole() {
    let (published, given) = ten();
    let figures = figures(&published, given.clone());
    assert_eq!((figures.sent, figures.received), (10, 10));
    check(&published, given, (0, 0, 0, 0));
}

#[test]
fn one_thrown_away_is_lost_wherever_it_was() {
    for thrown_away in 0..10 {
        let (published, mut given) = ten();
        given.remove(thrown_away);
        check(&published, given, (1, 0, 0, 0));
    }
}

#[test]
fn one_in_a_thousand_thrown_away_is_seen() {
    let positions: Vec<_> = (1..=5000).map(|offset| ("a", offset)).collect();
    let given = (0..5000)
        .filter(|n| n % 1000 != 999)
        .map(|n| message(n, "a", n + 1));
    check(&acknowledged(&positions), given.collect(), (5, 0, 0, 0));
}

#[test]
fn a_client_that_stops_short_has_lost_the_rest() {
    let (published, mut given) = ten();
    given.truncate(4);
    check(&published, given, (6, 0, 0, 0));
    let (published, _) = ten();
    check(&published, Vec::new(), (10, 0, 0, 0));
}

#[test]
fn what_comes_again_is_a_duplicate_at_once_or_later() {
    let (published, given) = ten();
    for again in [vec![given[9].clone()], given[3..6].to_vec()] {
        let count = again.len() as u64;
        let all = given.iter().cloned().chain(again).collect();
        check(&published, all, (0, count, 0, 0));
    }
}

#[test]
fn one_publication_at_two_places_is_a_duplicate() {
    let (published, mut given) = ten();
    given.push(message(9, "a", 11));
    check(&published, given, (0, 1, 0, 1));
}

#[test]
fn two_that_changed_places_are_out_of_order() {
    let (published, mut given) = ten();
    given.swap(4, 5);
    check(&published, given, (0, 0, 0, 1));
}

#[test]
fn what_stands_elsewhere_than_its_publisher_was_told_is_out_of_order() {
    let (mut published, given) = ten();
    published.insert(9, Fate::Acknowledged(at("a", 12)));
    check(&published, given, (0, 0, 0, 1));
}

#[test]
fn what_nobody_published_is_found() {
    let (published, mut given) = ten();
    given.push(message(99, "a", 11));
    check(&published, given, (0, 0, 0, 1));
}

#[test]
fn a_gap_covers_what_lay_before_it_and_nothing_else() {
    let (published, mut given) = ten();
    given.splice(3..6, [Given::Gap(at("a", 6))]);
    check(&published, given, (0, 0, 1, 0));
    // One more is missing than the gap says.
    let (published, mut given) = ten();
    given.splice(3..6, [Given::Gap(at("a", 5))]);
    check(&published, given, (1, 0, 1, 0));
    // It was told too late to speak for what came before it.
    let (published, mut given) = ten();
    given[5] = Given::Gap(at("a", 6));
    given.remove(2);
    check(&published, given, (1, 0, 1, 0));
}

#[test]
fn a_new_epoch_needs_a_gap() {
    let published = acknowledged(&[("a", 1), ("a", 2), ("b", 1), ("b", 2)]);
    let told = |gap: &[Given]| {
        let mut given = vec![message(0, "a", 1)];
        given.extend_from_slice(gap);
        given.extend([message(2, "b", 1), message(3, "b", 2)]);
        given
    };
    check(&published, told(&[Given::Gap(at("b", 0))]), (0, 0, 1, 0));
    // The number that was lost with the epoch, and the change that was not told.
    check(&published, told(&[]), (2, 0, 0, 0));
}

#[test]
fn a_gap_into_a_new_epoch_covers_none_of_what_follows() {
    let published = acknowledged(&[("a", 1), ("b", 1), ("b", 2), ("b", 3)]);
    let given = |rest: &[Given]| {
        let mut given = vec![message(0, "a", 1), Given::Gap(at("b", 1))];
        given.extend_from_slice(rest);
        given
    };
    let (second, third) = (message(2, "b", 2), message(3, "b", 3));
    check(&published, given(&[second, third.clone()]), (0, 0, 1, 0));
    check(&published, given(&[third]), (1, 0, 1, 0));
    check(&published, given(&[]), (2, 0, 1, 0));
}

#[test]
fn an_epoch_that_came_and_went_is_spoken_for_by_the_gap_past_it() {
    let published = acknowledged(&[("a", 1), ("b", 1), ("c", 1)]);
    let given = vec![
        message(0, "a", 1),
        Given::Gap(at("c", 0)),
        message(2, "c", 1),
    ];
    check(&published, given, (0, 0, 1, 0));
    // But not by one into an epoch before it.
    let given = vec![message(0, "a", 1), Given::Gap(at("b", 1))];
    check(&published, given, (1, 0, 1, 0));
}

#[test]
fn what_may_have_happened_may_come_or_not_but_leaves_no_hole() {
    let (mut published, given) = ten();
    published.insert(4, Fate::Unknown);
    assert_eq!(figures(&published, given.clone()).unknown, 1);
    check(&published, given, (0, 0, 0, 0));
    // It did not happen: the next one has its offset.
    let mut published = acknowledged(&[("a", 1), ("a", 2)]);
    published.insert(2, Fate::Unknown);
    let given = vec![message(0, "a", 1), message(1, "a", 2)];
    check(&published, given, (0, 0, 0, 0));
    // It did, and was left out.
    let mut published = acknowledged(&[("a", 1), ("a", 2), ("a", 3)]);
    published.insert(1, Fate::Unknown);
    let given = vec![message(0, "a", 1), message(2, "a", 3)];
    check(&published, given, (1, 0, 0, 0));
}

#[test]
fn a_place_that_was_acknowledged_twice_has_lost_the_first() {
    // A primary died with what it had just acknowledged, and nobody had seen it.
    let published = acknowledged(&[("a", 1), ("a", 2), ("a", 2)]);
    let given = vec![message(0, "a", 1), message(2, "a", 2)];
    check(&published, given, (1, 0, 0, 0));
}
