//! How fast market time runs against the clock on the wall.

/// Nanoseconds since 1970, of the wall or of the market.
pub type Nanos = i64;

/// History that is nearer to the present than this is made: the clock runs on while the last of it is sent.
const CAUGHT_UP: Nanos = 200_000_000;

/// Maps wall time to the market time that is due.
///
/// The first time the market has caught up with its start line, the two clocks
/// are tied together; from there market time runs at `speed`.
#[derive(Clone, Debug)]
pub struct Pace {
    speed: u32,
    line: StartLine,
    tied: Option<(Nanos, Nanos)>,
    /// Longest silence that is waited for.
    max_gap: Option<Nanos>,
}

/// From where on the clock counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartLine {
    /// The present: everything before it is history and made as fast as it lands.
    Now,
    /// Wherever the source stands when it begins.
    Here,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// History: as fast as Kafka takes it, up to this market time.
    Fast(Nanos),
    /// By the clock, up to this market time.
    Live(Nanos),
}

impl Due {
    /// The market time up to which ticks are due.
    #[must_use]
    pub fn until(self) -> Nanos {
        match self {
            Self::Fast(until) | Self::Live(until) => until,
        }
    }
}

impl Pace {
    /// Market seconds per wall second from `line` on; `speed` 0 never waits.
    #[must_use]
    pub fn new(speed: u32, line: StartLine) -> Self {
        Self {
            speed,
            line,
            tied: None,
            max_gap: None,
        }
    }

    /// The market has gone ahead to `position`, over hours that take no time: the clocks are tied anew there.
    pub fn skipped_to(&mut self, wall: Nanos, position: Nanos) {
        self.tied = Some((wall, position));
    }

    /// Waits for no more than `max_gap` of market time between two ticks.
    #[must_use]
    pub fn with_max_gap(self, max_gap: Option<Nanos>) -> Self {
        Self { max_gap, ..self }
    }

    /// Leaves the rest of a silence out that has lasted long enough: `last` and `next` are the ticks before and after.
    pub fn shorten(&mut self, due: Due, (last, next): (Nanos, Nanos)) -> Due {
        let (Due::Live(until), Some(gap)) = (due, self.max_gap) else {
            return due;
        };
        let Some((_, market0)) = &mut self.tied else {
            return due;
        };
        let waited_until = last.saturating_add(gap);
        if until < waited_until || until >= next || next <= waited_until {
            return due;
        }
        let left_out = next - waited_until;
        *market0 = market0.saturating_add(left_out);
        Due::Live(until.saturating_add(left_out))
    }

    /// What is due at `wall`, for a market that stands at `position`.
    pub fn due(&mut self, wall: Nanos, position: Nanos) -> Due {
        if self.speed == 0 {
            return Due::Fast(Nanos::MAX);
        }
        let start = match self.line {
            StartLine::Now if self.tied.is_none() && position < wall - CAUGHT_UP => {
                return Due::Fast(wall);
            }
            StartLine::Now => position.max(wall),
            StartLine::Here => position,
        };
        let (wall0, market0) = *self.tied.get_or_insert((wall, start));
        let elapsed = wall.saturating_sub(wall0).max(0);
        Due::Live(market0.saturating_add(elapsed.saturating_mul(Nanos::from(self.speed))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Nanos = 1_000_000_000;

    #[test]
    fn history_is_fast_and_then_the_clock_counts() {
        let mut pace = Pace::new(1, StartLine::Now);
        assert_eq!(pace.due(1000 * S, 10 * S), Due::Fast(1000 * S));
        assert_eq!(pace.due(1001 * S, 1000 * S), Due::Fast(1001 * S));
        // The clock has run on for a millisecond while the last of the history was sent.
        let now = 1001 * S + S / 1000;
        assert_eq!(pace.due(now, 1001 * S), Due::Live(now));
        assert_eq!(pace.due(now + 2 * S, now), Due::Live(now + 2 * S));
    }

    #[test]
    fn speed_counts_from_the_moment_the_market_caught_up() {
        let mut pace = Pace::new(60, StartLine::Now);
        assert_eq!(pace.due(100 * S, 100 * S), Due::Live(100 * S));
        assert_eq!(pace.due(102 * S, 100 * S), Due::Live(220 * S));
    }

    #[test]
    fn a_market_ahead_of_the_wall_goes_on_from_where_it_stands() {
        let mut pace = Pace::new(60, StartLine::Now);
        assert_eq!(pace.due(100 * S, 5000 * S), Due::Live(5000 * S));
        assert_eq!(pace.due(101 * S, 5000 * S), Due::Live(5060 * S));
    }

    #[test]
    fn a_replay_counts_from_its_own_first_row() {
        let mut pace = Pace::new(10, StartLine::Here);
        assert_eq!(pace.due(1000 * S, 7 * S), Due::Live(7 * S));
        assert_eq!(pace.due(1001 * S, 7 * S), Due::Live(17 * S));
    }

    #[test]
    fn hours_that_are_skipped_take_no_time() {
        let mut pace = Pace::new(2, StartLine::Here);
        assert_eq!(pace.due(1000 * S, 7 * S), Due::Live(7 * S));
        assert_eq!(pace.due(1001 * S, 7 * S), Due::Live(9 * S));
        pace.skipped_to(1001 * S, 500 * S);
        assert_eq!(pace.due(1001 * S, 500 * S), Due::Live(500 * S));
        assert_eq!(pace.due(1003 * S, 500 * S), Due::Live(504 * S));
    }

    #[test]
    fn a_long_silence_is_left_out_after_the_longest_gap() {
        let mut pace = Pace::new(10, StartLine::Here).with_max_gap(Some(30 * S));
        let silence = (7 * S, 1007 * S);
        let mut due = |wall: Nanos| {
            let due = pace.due(wall * S, 7 * S);
            pace.shorten(due, silence)
        };
        assert_eq!(due(1000), Due::Live(7 * S));
        assert_eq!(due(1002), Due::Live(27 * S));
        // After three seconds, which are 30 of the market, the next tick is due.
        assert_eq!(due(1003), Due::Live(1007 * S));
        assert_eq!(due(1004), Due::Live(1017 * S));
    }

    #[test]
    fn a_short_silence_is_waited_for() {
        let mut pace = Pace::new(1, StartLine::Here).with_max_gap(Some(30 * S));
        for wall in [0, 10, 20, 29] {
            let due = pace.due(wall * S, 0);
            assert_eq!(pace.shorten(due, (0, 30 * S)), Due::Live(wall * S));
        }
    }

    #[test]
    fn speed_zero_never_waits() {
        assert_eq!(
            Pace::new(0, StartLine::Here).due(5, 3),
            Due::Fast(Nanos::MAX)
        );
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_turn_the_market_back() {
        let mut pace = Pace::new(1, StartLine::Now);
        assert_eq!(pace.due(100 * S, 100 * S), Due::Live(100 * S));
        assert_eq!(pace.due(90 * S, 100 * S), Due::Live(100 * S));
    }
}
