//! Halts: a symbol that moved too far stands still for five minutes.
//!
//! In the US after the Limit Up–Limit Down plan (as amended to 2020, sections V to VII and appendix
//! A): the reference is a mean over about five minutes; the band is 5 % for shares of tier 1 and 10 %
//! for the others, 20 % up to 3 dollars, and below 0.75 dollars the lesser of 0.15 dollars and 75 %.
//! It is twice as wide in the last 25 minutes, but for shares of tier 2 above 3 dollars. A pause lasts
//! five minutes; one that reaches the close ends with the closing auction. (The plan's reference is
//! of trades, and a pause follows fifteen seconds at the band; here both are of the minute's mid.)
//!
//! Elsewhere the band is 10 %, in the place of what each exchange has.

/// Steps of a logarithm in 1.
const STEPS: f64 = 1e5;
/// Weight of the newest minute in the reference.
const NEWEST: f64 = 0.2;
/// Minutes of a halt.
const MINUTES: i32 = 5;
/// Minutes before the close in which bands are wider.
const WIDE_MINUTES: i64 = 25;

/// How far a price may go from its reference: by a market's rules, and for one symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bands {
    /// The same for all, at all times.
    Plain,
    /// The Limit Up–Limit Down plan's, for a symbol of tier 1 or of tier 2.
    Plan {
        /// Whether it is of tier 1: the S&P 500 and the Russell 1000.
        first_tier: bool,
    },
}

impl Bands {
    /// The part of the reference (in units of currency) by which a price may leave it, so many
    /// minutes before the close.
    pub(super) fn part(self, reference: f64, minutes_left: i64) -> f64 {
        let Bands::Plan { first_tier } = self else {
            return 0.1;
        };
        let (part, widens) = if reference > 3.0 {
            (if first_tier { 0.05 } else { 0.1 }, first_tier)
        } else if reference >= 0.75 {
            (0.2, true)
        } else {
            ((0.15 / reference).min(0.75), true)
        };
        if widens && minutes_left <= WIDE_MINUTES {
            2.0 * part
        } else {
            part
        }
    }

    /// Whether a price that is so far from its reference (as a logarithm) has left the band.
    fn left_by(self, log_price: f64, deviation: f64, minutes_left: i64) -> bool {
        // No band is narrower, and an exponential is saved.
        if libm::fabs(deviation) < 0.045 {
            return false;
        }
        let part = self.part(libm::exp(log_price - deviation), minutes_left);
        deviation > libm::log1p(part) || part < 1.0 && deviation < libm::log1p(-part)
    }
}

/// A minute that has passed, as a band sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passed {
    /// How far the log mid moved.
    pub(super) moved: f64,
    /// Where it ended.
    pub(super) log_mid: f64,
    /// Minutes from the minute's beginning to the close.
    pub(super) minutes_left: i64,
}

/// Where a symbol stands between trading and halt when a minute begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Halt {
    /// The mid over its reference.
    pub(super) deviation: i32,
    /// 0: trading; −1: trading resumes; else twice the minutes left, and 1 if it halts just now.
    pub(super) phase: i32,
}

impl Halt {
    /// At a session's open, or a market's beginning.
    pub(super) fn at_open(asked: bool) -> Halt {
        Halt {
            deviation: 0,
            phase: if asked { 3 } else { 0 },
        }
    }

    /// After a minute of trading; `asked`: a scenario wants what follows halted.
    pub(super) fn after(self, passed: Passed, bands: Bands, asked: bool) -> Halt {
        if self.phase > 0 {
            return self.still(asked);
        }
        // The deviation before the reference follows is what the band is about.
        let far = f64::from(self.deviation) / STEPS + passed.moved;
        let left = bands.left_by(passed.log_mid, far, passed.minutes_left);
        let minutes = if left { MINUTES } else { i32::from(asked) };
        if minutes > 0 {
            return Halt {
                deviation: 0,
                phase: 2 * minutes + 1,
            };
        }
        Halt {
            deviation: libm::rint(far * (1.0 - NEWEST) * STEPS) as i32,
            phase: 0,
        }
    }

    /// After a minute in which nothing could trade.
    pub(super) fn still(self, asked: bool) -> Halt {
        let left = self.phase / 2;
        let phase = match self.phase {
            1.. => {
                let left = if asked { (left - 1).max(1) } else { left - 1 };
                if left > 0 { 2 * left } else { -1 }
            }
            _ if asked => 3,
            _ => 0,
        };
        Halt {
            deviation: 0,
            phase,
        }
    }

    /// At the session's end, whose auction ends every halt that no scenario asks for.
    pub(super) fn at_end(self, asked: bool) -> Halt {
        let phase = match self.phase {
            1.. if !asked => {
                // A pause that would begin only now does not.
                if self.begins() { 0 } else { -1 }
            }
            phase => phase,
        };
        Halt { phase, ..self }
    }

    pub(super) fn halted(self) -> bool {
        self.phase > 0
    }

    pub(super) fn begins(self) -> bool {
        self.phase > 0 && self.phase % 2 == 1
    }

    pub(super) fn resumes(self) -> bool {
        self.phase < 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Per minute `.` trading, `H` halts, `h` halted, `R` resumes.
    fn story(bands: Bands, minutes_left: i64, moves: &[f64], asked: &[usize]) -> String {
        let mut halt = Halt::at_open(false);
        let letter = |halt: Halt| match (halt.begins(), halt.halted(), halt.resumes()) {
            (true, ..) => 'H',
            (_, true, _) => 'h',
            (.., true) => 'R',
            _ => '.',
        };
        moves
            .iter()
            .enumerate()
            .map(|(minute, &moved)| {
                let passed = Passed {
                    moved,
                    log_mid: 4.0,
                    minutes_left,
                };
                halt = halt.after(passed, bands, asked.contains(&minute));
                letter(halt)
            })
            .collect()
    }

    const TIERS: [Bands; 2] = [
        Bands::Plan { first_tier: true },
        Bands::Plan { first_tier: false },
    ];

    #[test]
    fn a_symbol_that_leaves_its_band_stands_for_five_minutes() {
        let mut moves = [0.0; 10];
        moves[1] = -0.11;
        for bands in [Bands::Plain, TIERS[0], TIERS[1]] {
            assert_eq!(story(bands, 100, &moves, &[]), ".HhhhhR...");
        }
        moves[1] = -0.07;
        assert_eq!(story(TIERS[0], 100, &moves, &[]), ".HhhhhR...");
        assert_eq!(story(TIERS[1], 100, &moves, &[]), "..........");
        // Before the close the first tier's band is twice as wide.
        assert_eq!(story(TIERS[0], 25, &moves, &[]), "..........");
    }

    #[test]
    fn a_slow_move_of_the_same_size_halts_nothing() {
        assert_eq!(story(TIERS[0], 100, &[0.009; 12], &[]), "............");
        assert_eq!(story(Bands::Plain, 100, &[0.01; 12], &[]), "............");
    }

    #[test]
    fn a_halt_that_is_asked_for_lasts_as_long_as_it_is() {
        assert_eq!(story(TIERS[0], 100, &[0.0; 6], &[1, 2, 3]), ".HhhR.");
    }

    #[test]
    fn bands_are_those_of_the_plan() {
        for (first_tier, reference, minutes_left, part) in [
            (true, 100.0, 390, 0.05),
            (true, 3.01, 26, 0.05),
            (true, 3.01, 25, 0.10),
            (true, 3.00, 26, 0.20),
            (true, 0.75, 25, 0.40),
            (true, 0.50, 390, 0.30),
            (true, 0.10, 390, 0.75),
            (true, 0.10, 1, 1.50),
            (false, 100.0, 390, 0.10),
            (false, 100.0, 1, 0.10),
            (false, 2.00, 26, 0.20),
            (false, 2.00, 25, 0.40),
            (false, 0.60, 390, 0.25),
        ] {
            let found = Bands::Plan { first_tier }.part(reference, minutes_left);
            assert!(
                (found - part).abs() < 1e-12,
                "{first_tier} {reference} {found}"
            );
        }
        assert!((Bands::Plain.part(2.0, 1) - 0.1).abs() < 1e-12);
    }

    #[test]
    fn the_close_ends_a_pause_and_not_a_halt_that_is_asked_for() {
        let paused = Halt {
            deviation: 0,
            phase: 6,
        };
        assert!(paused.at_end(false).resumes());
        assert!(paused.at_end(true).halted());
        let trading = Halt::at_open(false);
        assert_eq!(trading.at_end(false), trading);
        assert!(trading.still(true).begins());
        assert!(paused.still(false).halted());
        let begun = Halt {
            deviation: 0,
            phase: 11,
        };
        assert_eq!(begun.at_end(false).phase, 0);
    }
}
