//! Halts: a symbol that moved too far stands still for five minutes.
//!
//! After the Limit Up–Limit Down plan of the US exchanges: the reference is a mean over about
//! five minutes, the band 10 %, the pause five minutes. (Real bands depend on the tier of the
//! stock and on the time of day.)

/// Steps of a logarithm in 1.
const STEPS: f64 = 1e5;
/// Weight of the newest minute in the reference.
const NEWEST: f64 = 0.2;
/// ln 1.1: farther from the reference, trading halts.
const BAND: f64 = 0.095_310_179_804_324_87;
/// Minutes of a halt.
const MINUTES: i32 = 5;

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

    /// After a minute in which the log mid moved so far; `asked`: a scenario wants the next
    /// minute halted.
    pub(super) fn after(self, moved: f64, asked: bool) -> Halt {
        let deviation = (f64::from(self.deviation) / STEPS + moved) * (1.0 - NEWEST);
        let steps = libm::rint(deviation * STEPS) as i32;
        let left = self.phase / 2;
        if self.phase > 0 {
            let left = if asked { (left - 1).max(1) } else { left - 1 };
            return Halt {
                deviation: 0,
                phase: if left > 0 { 2 * left } else { -1 },
            };
        }
        // The deviation before the reference followed is what the band is about.
        let far = libm::fabs(deviation / (1.0 - NEWEST)) > BAND;
        let minutes = if far { MINUTES } else { i32::from(asked) };
        if minutes > 0 {
            return Halt {
                deviation: 0,
                phase: 2 * minutes + 1,
            };
        }
        Halt {
            deviation: steps,
            phase: 0,
        }
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
    fn story(moves: &[f64], asked: &[usize]) -> String {
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
                halt = halt.after(moved, asked.contains(&minute));
                letter(halt)
            })
            .collect()
    }

    #[test]
    fn a_symbol_that_leaves_its_band_stands_for_five_minutes() {
        let mut moves = [0.0; 10];
        moves[1] = -0.11;
        assert_eq!(story(&moves, &[]), ".HhhhhR...");
    }

    #[test]
    fn a_slow_move_of_the_same_size_halts_nothing() {
        assert_eq!(story(&[0.01; 12], &[]), "............");
    }

    #[test]
    fn a_halt_that_is_asked_for_lasts_as_long_as_it_is() {
        assert_eq!(story(&[0.0; 6], &[1, 2, 3]), ".HhhR.");
    }
}
