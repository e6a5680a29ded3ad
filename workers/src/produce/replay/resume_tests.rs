//! A replay that goes on: where it was, with rows that were appended or mended, and not with rows that were changed.

use std::path::Path;

use serde_norway::Value;
use stockpipe_market::tick::Tick;

use super::fixtures::{drain, pipeline};
use super::{Access, Replay};
use crate::produce::feed::{Feed, Source};
use crate::produce::pace::Nanos;

const HEADER: &str = "s,t,p\n";

fn rows(range: std::ops::Range<i64>) -> String {
    range
        .map(|n| {
            format!(
                "{},{},{n}\n",
                ["A", "B", "C"][(n % 3) as usize],
                1_795_185_000 + n / 2
            )
        })
        .collect()
}

fn source(dir: &Path, uri: &str, more: &str) -> Replay {
    let replay: Value = serde_norway::from_str(&format!(
        "{{{more} columns: {{symbol: s, time: t, price: p}}}}"
    ))
    .unwrap();
    Replay::new(&pipeline(uri, "24x7", &replay), Access::local(dir)).unwrap()
}

fn all(mut feed: Box<dyn Feed>) -> Vec<Tick> {
    let mut ticks = Vec::new();
    drain(feed.as_mut(), &mut ticks).unwrap();
    ticks
}

/// Takes `count` ticks of a new run; its state then.
fn state_after(source: &Replay, count: usize) -> (serde_json::Value, Vec<Tick>) {
    let mut feed = source.begin("r", None).unwrap();
    let mut taken = Vec::new();
    while taken.len() < count {
        feed.emit(Nanos::MAX, 7, &mut |tick| {
            taken.push(tick.clone());
            taken.len() < count
        })
        .unwrap();
    }
    (feed.state(), taken)
}

#[test]
fn a_resumed_replay_makes_the_ticks_that_the_first_would_have_made() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.csv"), format!("{HEADER}{}", rows(0..40))).unwrap();
    std::fs::write(
        dir.path().join("b.csv"),
        format!("{HEADER}{}", rows(20..60)),
    )
    .unwrap();
    let mut backwards: Vec<String> = rows(0..60).lines().map(str::to_owned).collect();
    backwards.reverse();
    std::fs::write(
        dir.path().join("c.csv"),
        format!("{HEADER}{}\n", backwards.join("\n")),
    )
    .unwrap();
    std::fs::write(
        dir.path().join("d.csv"),
        format!(
            "{HEADER}A,1,x\n{}A,2,y\nA,3,z\n{}A,4,w\n",
            rows(0..20),
            rows(20..40)
        ),
    )
    .unwrap();
    for (uri, more) in [
        ("a.csv", ""),
        ("[ab].csv", ""),
        ("[ab].csv", "duplicateRows: Drop,"),
        ("c.csv", "unsortedRows: Sort,"),
        ("[ab].csv", "time: Rebase, maxGap: 1s,"),
        ("d.csv", "badRows: Quarantine,"),
    ] {
        let source = source(dir.path(), uri, more);
        let count = all(source.begin("r", None).unwrap()).len();
        for taken in [0, 1, count / 2, count - 1, count] {
            let (state, mut ticks) = state_after(&source, taken);
            let rest = all(source.resume("r", &state).unwrap().unwrap());
            ticks.extend(rest);
            assert_eq!(ticks.len(), count, "{uri} {more} {taken}");
            let mut next = std::collections::HashMap::new();
            for tick in &ticks {
                let seq = next.entry(tick.symbol.clone()).or_insert(0);
                assert_eq!(tick.seq, *seq, "{uri} {more} {taken}");
                *seq += 1;
            }
            assert!(
                ticks
                    .windows(2)
                    .all(|w| w[0].ts_event_ns <= w[1].ts_event_ns)
            );
        }
    }
}

#[test]
fn appended_rows_are_sent_and_changed_ones_begin_a_new_run() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.csv");
    let source = {
        std::fs::write(&file, format!("{HEADER}{}", rows(0..10))).unwrap();
        source(dir.path(), "a.csv", "")
    };
    let (state, _) = state_after(&source, 10);
    std::fs::write(&file, format!("{HEADER}{}", rows(0..12))).unwrap();
    assert_eq!(all(source.resume("r", &state).unwrap().unwrap()).len(), 2);
    let changed = format!("{HEADER}{}", rows(0..12)).replace(",4\n", ",4.5\n");
    std::fs::write(&file, changed).unwrap();
    assert!(source.resume("r", &state).unwrap().is_none());
    std::fs::write(&file, format!("{HEADER}{}", rows(0..5))).unwrap();
    assert!(source.resume("r", &state).unwrap().is_none());
    assert!(
        source
            .resume("r", &serde_json::Value::Null)
            .unwrap()
            .is_none()
    );
}

#[test]
fn bad_rows_are_numbered_and_none_is_sent_twice_after_a_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "{HEADER}A,1,x\n{}A,2,y\nA,3,z\n{}A,4,w\n",
        rows(0..4),
        rows(4..8)
    );
    std::fs::write(dir.path().join("d.csv"), text).unwrap();
    let source = source(dir.path(), "d.csv", "badRows: Quarantine,");
    let mut feed = source.begin("r", None).unwrap();
    let take = |feed: &mut dyn Feed, count: usize| {
        let mut left = count;
        feed.emit(Nanos::MAX, count, &mut |_| {
            left -= 1;
            left > 0
        })
        .unwrap();
        let rejected = feed.take_rejected();
        rejected
            .iter()
            .map(|r| (r.seq, r.row.number))
            .collect::<Vec<_>>()
    };
    assert_eq!(take(feed.as_mut(), 4), [(0, 2)]);
    let state = feed.state();
    assert_eq!(take(feed.as_mut(), 4), [(1, 7), (2, 8), (3, 13)]);
    assert_eq!(feed.left_out(), (4, 0));
    let mut resumed = source.resume("r", &state).unwrap().unwrap();
    assert_eq!(take(resumed.as_mut(), 4), [(1, 7), (2, 8), (3, 13)]);
    let end = feed.state();
    let mut ended = source.resume("r", &end).unwrap().unwrap();
    assert_eq!(take(ended.as_mut(), 1), []);
    assert!(ended.end().is_some());
}

#[test]
fn a_rebased_replay_happens_from_its_start_and_without_long_gaps() {
    let dir = tempfile::tempdir().unwrap();
    let times = [0, 5, 3605, 3606, 90_000];
    let text: String = times
        .iter()
        .map(|t| format!("A,{},1\n", 1_795_185_000 + t))
        .collect();
    std::fs::write(dir.path().join("a.csv"), format!("{HEADER}{text}")).unwrap();
    let start = 1_900_000_000_000_000_000;
    for (more, expected) in [
        ("time: Rebase,", [0, 5, 3605, 3606, 90_000]),
        ("time: Rebase, maxGap: 60s,", [0, 5, 65, 66, 126]),
    ] {
        let source = source(dir.path(), "a.csv", more);
        let ticks = all(source.begin("r", Some(start)).unwrap());
        let found: Vec<_> = ticks
            .iter()
            .map(|t| (t.ts_event_ns - start) / 1_000_000_000)
            .collect();
        assert_eq!(found, expected, "{more}");
        // The trade date is that of the new time.
        assert_eq!(ticks[0].trade_date, jiff::civil::date(2030, 3, 17));
    }
    let original = source(dir.path(), "a.csv", "maxGap: 60s,");
    let ticks = all(original.begin("r", None).unwrap());
    assert_eq!(
        ticks[4].ts_event_ns,
        (1_795_185_000 + 90_000) * 1_000_000_000
    );
}

#[test]
fn only_what_makes_other_ticks_has_another_fingerprint() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.csv"), format!("{HEADER}{}", rows(0..4))).unwrap();
    std::fs::write(dir.path().join("b.csv"), format!("{HEADER}{}", rows(0..4))).unwrap();
    let settings = |uri, more| source(dir.path(), uri, more).settings();
    let plain = settings("a.csv", "");
    for same in ["speed: 10,", "badRows: Quarantine,", "maxGap: 5s,"] {
        assert_eq!(settings("a.csv", same), plain, "{same}");
    }
    assert_eq!(settings("b.csv", ""), plain, "the same rows elsewhere");
    for other in [
        "time: Rebase,",
        "time: Rebase, maxGap: 5s,",
        "unsortedRows: Sort,",
        "duplicateRows: Drop,",
        "delimiter: Comma,",
        "decimal: Comma,",
        "thousands: Space,",
        "timeZone: Asia/Tokyo,",
        "repeatedHour: Later,",
        "missing: [NA],",
    ] {
        assert_ne!(settings("a.csv", other), plain, "{other}");
    }
}
