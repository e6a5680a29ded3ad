//! What to do about a crawler, by what Glue shows: pure.

use std::time::Duration;

use jiff::Timestamp;

use super::glue::{Crawled, Seen};

/// How long after its start a crawl may be invisible: Glue shows changes late.
const INVISIBLE: Duration = Duration::from_secs(120);

/// The next step of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The run's crawl has ended.
    Ended(Crawled),
    /// No crawl is under way: start one.
    Start,
    /// One is under way, or will be.
    Wait,
    /// One was started long ago and never showed.
    Lost,
}

/// The next step: `previous` is when the last crawl before the run had started, `since_asked` how long ago a start was
/// asked for.
pub(super) fn decide(
    seen: &Seen,
    previous: Option<Timestamp>,
    since_asked: Option<Duration>,
) -> Step {
    if seen.busy {
        return Step::Wait;
    }
    match &seen.last {
        Some(last) if Some(last.start) != previous => Step::Ended(last.clone()),
        _ => match since_asked {
            None => Step::Start,
            Some(ago) if ago < INVISIBLE => Step::Wait,
            Some(_) => Step::Lost,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::glue::End;
    use super::*;

    #[test]
    fn a_run_waits_for_a_crawl_that_is_not_the_one_before_it() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let crawled = |second| Crawled {
            start: at(second),
            end: End::Succeeded,
        };
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (what, busy, last, previous, asked, step) in [
            ("never crawled", false, None, None, None, Step::Start),
            ("crawled before", false, Some(1), Some(1), None, Step::Start),
            (
                "under way, ours or another's",
                true,
                Some(1),
                Some(1),
                None,
                Step::Wait,
            ),
            (
                "asked, and not shown yet",
                false,
                Some(1),
                Some(1),
                seconds(5),
                Step::Wait,
            ),
            (
                "asked, and never shown",
                false,
                Some(1),
                Some(1),
                seconds(300),
                Step::Lost,
            ),
            (
                "ended",
                false,
                Some(2),
                Some(1),
                seconds(5),
                Step::Ended(crawled(2)),
            ),
            (
                "the first has ended",
                false,
                Some(2),
                None,
                seconds(5),
                Step::Ended(crawled(2)),
            ),
            (
                "ended while the worker was dead",
                false,
                Some(2),
                Some(1),
                None,
                Step::Ended(crawled(2)),
            ),
            (
                "ended, and the next is under way",
                true,
                Some(2),
                Some(1),
                None,
                Step::Wait,
            ),
        ] {
            let seen = Seen {
                busy,
                last: last.map(crawled),
            };
            assert_eq!(decide(&seen, previous.map(at), asked), step, "{what}");
        }
    }
}
