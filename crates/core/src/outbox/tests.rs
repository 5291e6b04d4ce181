//! What is owed, dropped and announced, case by case and by random scripts.

use super::*;
use crate::Epoch;

#[allow(clippy::unnecessary_wraps, reason = "as `push` takes it")]
fn publication(lane: Lane, offset: u64, policy: SlowConsumer) -> Option<Droppable> {
    Some(Droppable {
        lane,
        position: Position {
            epoch: Epoch(1),
            offset,
        },
        policy,
    })
}

fn text(outbox: &Outbox) -> String {
    outbox
        .chunks()
        .map(|c| String::from_utf8_lossy(c).into_owned())
        .collect()
}

fn gaps(outbox: &mut Outbox) -> Vec<(Lane, u64)> {
    let gaps = outbox.take_gaps();
    gaps.iter().map(|g| (g.lane, g.position.offset)).collect()
}

/// Announces all gaps as `G` and the channel.
fn announce(outbox: &mut Outbox, now_ms: u64) {
    for gap in outbox.take_gaps() {
        outbox.announce(now_ms, format!("G{}", gap.lane).into(), gap);
    }
}

#[test]
fn close_overflows_at_the_bound() {
    let mut outbox = Outbox::default();
    for offset in 1..=2 {
        assert_eq!(
            outbox.push(
                0,
                "aaaa".into(),
                publication(1, offset, SlowConsumer::Close),
                8
            ),
            Ok(())
        );
    }
    assert_eq!(
        outbox.push(0, "a".into(), publication(1, 3, SlowConsumer::Close), 8),
        Err(Overflow)
    );
    assert_eq!(gaps(&mut outbox), []);
}

#[test]
fn drop_oldest_loses_the_oldest_of_its_channel_and_says_so() {
    let mut outbox = Outbox::default();
    outbox.push(0, "R".into(), None, 8).unwrap();
    for (offset, c) in "abcdefgh".chars().enumerate() {
        let droppable = publication(7, offset as u64 + 1, SlowConsumer::DropOldest);
        outbox.push(0, c.to_string().into(), droppable, 8).unwrap();
    }
    assert_eq!(text(&outbox), "Rdefgh");
    assert_eq!(outbox.take_dropped(), 3);
    announce(&mut outbox, 0);
    assert_eq!(text(&outbox), "RG7defgh", "after what came before the hole");
}

/// Pushes publications of a channel that drops its oldest, each as the last digit of its offset.
fn push_all(outbox: &mut Outbox, lane: Lane, offsets: impl Iterator<Item = u64>, max: usize) {
    for offset in offsets {
        let entry = publication(lane, offset, SlowConsumer::DropOldest);
        outbox
            .push(0, (offset % 10).to_string().into(), entry, max)
            .unwrap();
    }
}

#[test]
fn a_gap_is_told_where_it_is_and_a_wider_one_takes_it_in() {
    let mut outbox = Outbox::default();
    push_all(&mut outbox, 0, 1..=1, 8);
    outbox.push(0, "A".into(), None, 8).unwrap();
    push_all(&mut outbox, 0, 2..=3, 8);
    outbox.push(0, "B".into(), None, 8).unwrap();
    push_all(&mut outbox, 0, 4..=7, 8);
    announce(&mut outbox, 0);
    assert_eq!(text(&outbox), "AG0B4567", "1, 2 and 3 were lost");
    push_all(&mut outbox, 0, 8..=8, 8);
    announce(&mut outbox, 0);
    assert_eq!(text(&outbox), "ABG078");
    assert_eq!(outbox.bytes(), 6);
}

#[test]
fn what_was_dropped_after_it_had_arrived_is_no_gap() {
    let mut outbox = Outbox::new(0);
    push_all(&mut outbox, 1, 1..=4, 4);
    let answered = outbox.sequence();
    push_all(&mut outbox, 1, 5..=5, 4);
    outbox.acknowledge(answered);
    assert_eq!((text(&outbox).as_str(), gaps(&mut outbox)), ("5", vec![]));
    // If the answer was lost it is one.
    let mut outbox = Outbox::new(0);
    push_all(&mut outbox, 1, 1..=5, 4);
    outbox.acknowledge(0);
    announce(&mut outbox, 0);
    assert_eq!(text(&outbox), "G1345");
    outbox.acknowledge(outbox.sequence());
    assert!(outbox.is_empty());
}

#[test]
fn a_released_channel_is_neither_dropped_nor_announced() {
    let mut outbox = Outbox::default();
    push_all(&mut outbox, 1, 1..=5, 4);
    announce(&mut outbox, 0);
    outbox.release(1);
    push_all(&mut outbox, 2, 6..=9, 7);
    assert_eq!(text(&outbox), "G134589");
    assert_eq!(gaps(&mut outbox), [(2, 7)]);
    let overflow = outbox.expire(99, 10);
    assert_eq!(overflow, Err(Overflow), "what is left of 1 is owed");
}

#[test]
fn what_is_forgotten_is_counted() {
    let mut outbox = Outbox::default();
    outbox.start(0, "half".into(), 2, publication(1, 1, SlowConsumer::Close));
    outbox.push(0, "R".into(), None, 99).unwrap();
    for offset in 2..=4 {
        let entry = publication(1, offset, SlowConsumer::Close);
        outbox.push(0, "x".into(), entry, 99).unwrap();
    }
    outbox.forget();
    assert_eq!((text(&outbox).as_str(), outbox.bytes()), ("lf", 2));
    assert_eq!(outbox.take_dropped(), 3);
}

#[test]
fn keep_latest_conflates_each_channel_on_its_own() {
    let mut outbox = Outbox::default();
    for (offset, c) in "abcd".chars().enumerate() {
        let lane = u32::from(offset % 2 == 1);
        outbox
            .push(
                0,
                c.to_string().into(),
                publication(lane, offset as u64, SlowConsumer::KeepLatest),
                3,
            )
            .unwrap();
    }
    assert_eq!(text(&outbox), "cd");
    assert_eq!(gaps(&mut outbox), [(0, 0), (1, 1)]);
}

#[test]
fn a_half_written_head_is_finished_and_gaps_come_after_it() {
    let mut outbox = Outbox::default();
    outbox.start(
        0,
        "half".into(),
        2,
        publication(1, 0, SlowConsumer::DropOldest),
    );
    for offset in 1..=9 {
        let droppable = publication(1, offset, SlowConsumer::DropOldest);
        outbox
            .push(0, offset.to_string().into(), droppable, 6)
            .unwrap();
    }
    assert!(text(&outbox).starts_with("lf"));
    assert!(text(&outbox).ends_with('9'));
    let first_left: u64 = text(&outbox)[2..3].parse().unwrap();
    let gap = outbox.take_gaps()[0];
    assert_eq!((gap.lane, gap.position.offset), (1, first_left - 1));
    outbox.announce(0, "G".into(), gap);
    assert!(text(&outbox).starts_with("lfG"));
    outbox.advance(2);
    assert!(text(&outbox).starts_with('G'));
}

#[test]
fn advance_counts_across_entries() {
    let mut outbox = Outbox::default();
    for part in ["ab", "cd", "ef"] {
        outbox.push(0, part.into(), None, 100).unwrap();
    }
    outbox.advance(3);
    assert_eq!((text(&outbox).as_str(), outbox.bytes()), ("def", 3));
    outbox.advance(3);
    assert!(outbox.is_empty());
    assert_eq!(outbox.bytes(), 0);
}

#[test]
fn unacknowledged_entries_stay_until_their_number_is_acknowledged() {
    let mut outbox = Outbox::new(10);
    outbox.push(0, "a".into(), None, 100).unwrap();
    outbox.push(0, "b".into(), None, 100).unwrap();
    assert_eq!(outbox.sequence(), 12);
    outbox.acknowledge(10);
    assert_eq!(text(&outbox), "ab");
    outbox.acknowledge(11);
    assert_eq!(text(&outbox), "b");
    outbox.acknowledge(99);
    assert!(outbox.is_empty());
}

#[test]
fn age_drops_where_the_policy_drops_and_overflows_elsewhere() {
    let mut outbox = Outbox::default();
    for (at, offset) in [(0, 1), (10, 2), (20, 3)] {
        outbox
            .push(
                at,
                offset.to_string().into(),
                publication(1, offset, SlowConsumer::DropOldest),
                100,
            )
            .unwrap();
    }
    assert_eq!(outbox.expire(15, 10), Ok(()));
    assert_eq!(text(&outbox), "23");
    assert_eq!(gaps(&mut outbox), [(1, 1)]);
    outbox.push(20, "R".into(), None, 100).unwrap();
    assert_eq!(outbox.expire(31, 10), Err(Overflow));
    let mut halfway = Outbox::default();
    let entry = publication(1, 1, SlowConsumer::DropOldest);
    halfway.start(0, "half".into(), 2, entry);
    push_all(&mut halfway, 1, 2..=4, 8);
    assert_eq!(halfway.expire(99, 10), Ok(()), "its policy lets it wait");
    announce(&mut halfway, 99);
    assert_eq!(text(&halfway), "lfG1");
    assert_eq!(halfway.expire(199, 10), Ok(()));
    announce(&mut halfway, 199);
    assert_eq!((text(&halfway).as_str(), halfway.bytes()), ("lfG1", 4));
    let mut latest = Outbox::default();
    latest
        .push(
            0,
            "1".into(),
            publication(1, 1, SlowConsumer::KeepLatest),
            100,
        )
        .unwrap();
    latest
        .push(
            0,
            "2".into(),
            publication(1, 2, SlowConsumer::KeepLatest),
            100,
        )
        .unwrap();
    assert_eq!(latest.expire(99, 10), Ok(()));
    assert_eq!(text(&latest), "2");
}

#[test]
fn a_long_queue_is_shed_in_order_and_in_one_pass() {
    const COUNT: u64 = 200_000;
    let mut outbox = Outbox::default();
    let bound = 2 * COUNT as usize;
    for offset in 1..=COUNT {
        outbox.push(0, "R".into(), None, bound).unwrap();
        let entry = publication(1, offset, SlowConsumer::DropOldest);
        outbox.push(0, "p".into(), entry, bound).unwrap();
    }
    assert_eq!(outbox.take_dropped(), 0);
    // Each of the hundred thousand that go lies behind as many that stay.
    outbox.push(0, "R".into(), None, bound).unwrap();
    assert_eq!(outbox.take_dropped(), COUNT / 2 + 1);
    assert_eq!(gaps(&mut outbox), [(1, COUNT / 2 + 1)]);
    assert!(text(&outbox).starts_with(&"R".repeat(COUNT as usize / 2)));
}

/// Four channels, the last of them for replies, and what a client has been given of each.
struct Model {
    outbox: Outbox,
    pushed: [u64; 4],
    /// Every frame as text: `m` a message, `g` a gap, with the channel and the offset.
    got: String,
    bytes_max: usize,
}

const POLICIES: [SlowConsumer; 3] = [
    SlowConsumer::DropOldest,
    SlowConsumer::KeepLatest,
    SlowConsumer::Close,
];

impl Model {
    fn push(&mut self, now_ms: u64, lane: usize) -> Result<(), Overflow> {
        self.pushed[lane] += 1;
        let offset = self.pushed[lane];
        let policy = POLICIES.get(lane);
        let entry = policy.and_then(|&policy| publication(lane as Lane, offset, policy));
        let frame = format!("m{lane}:{offset};").into();
        self.outbox.push(now_ms, frame, entry, self.bytes_max)?;
        assert!(self.outbox.bytes() <= self.bytes_max);
        Ok(())
    }

    fn announce(&mut self, now_ms: u64) {
        for gap in self.outbox.take_gaps() {
            let frame = format!("g{}:{};", gap.lane, gap.position.offset);
            self.outbox.announce(now_ms, frame.into(), gap);
        }
    }

    /// A socket takes so many bytes, or what there is.
    fn write(&mut self, now_ms: u64, bytes: usize) {
        self.announce(now_ms);
        let owed = text(&self.outbox);
        let taken = bytes.min(owed.len());
        self.got.push_str(&owed[..taken]);
        self.outbox.advance(taken);
    }

    /// Everything that was pushed has come or is in a gap, once and in order.
    fn check(&self, ended: bool, seed: u64) {
        let mut stands = [0; 4];
        for frame in self.got.split_terminator(';') {
            let (lane, offset) = frame[1..].split_once(':').unwrap();
            let (lane, offset): (usize, u64) = (lane.parse().unwrap(), offset.parse().unwrap());
            if frame.starts_with('m') {
                assert_eq!(offset, stands[lane] + 1, "seed {seed}: {}", self.got);
            } else {
                assert!(offset > stands[lane], "seed {seed}: {}", self.got);
            }
            stands[lane] = offset;
        }
        if !ended {
            assert_eq!(stands, self.pushed, "seed {seed}: {}", self.got);
        }
    }
}

/// Runs scripts of pushing, waiting and, by `take`, reading; `take` is given a random number.
fn run_scripts(mut take: impl FnMut(&mut Model, u64, u64)) {
    for seed in 1..=5000_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 20) % below
        };
        let mut model = Model {
            outbox: Outbox::default(),
            pushed: [0; 4],
            got: String::new(),
            bytes_max: 20 + random(80) as usize,
        };
        let mut now_ms = 0;
        let mut ended = false;
        while now_ms < 60 && !ended {
            now_ms += random(3);
            // Channels that nothing may be dropped of are rare, or every script would end soon.
            let done = match random(12) {
                lane @ 0..=3 => model.push(now_ms, lane as usize),
                4..=7 => model.push(now_ms, (now_ms % 2) as usize),
                8 => model.outbox.expire(now_ms, 10),
                _ => {
                    take(&mut model, now_ms, random(40));
                    Ok(())
                }
            };
            let owed = text(&model.outbox).len();
            assert_eq!(model.outbox.bytes(), owed, "seed {seed}");
            ended = done.is_err();
        }
        if ended {
            model.outbox.forget();
        }
        model.write(now_ms, usize::MAX);
        model.check(ended, seed);
    }
}

#[test]
fn whatever_a_socket_takes_holes_are_announced_and_nothing_comes_twice() {
    run_scripts(|model, now_ms, random| model.write(now_ms, random as usize));
}

#[test]
fn whichever_answers_are_lost_holes_are_announced_and_nothing_comes_twice() {
    run_scripts(|model, now_ms, random| {
        model.announce(now_ms);
        let (answer, sequence) = (text(&model.outbox), model.outbox.sequence());
        if random.is_multiple_of(3) {
            return;
        }
        model.got.push_str(&answer);
        // What happens between an answer and the poll that acknowledges it.
        if random.is_multiple_of(2) {
            let _ = model.push(now_ms, 0);
        }
        model.outbox.acknowledge(sequence);
    });
}
