//! Scenarios: what is asked to happen, and when. They combine: where two overlap, both act.
//!
//! What prices and rates do changes at whole minutes; what the feed does, at the instant.

use std::fmt;

use super::MINUTE;
use crate::tick::Symbol;

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ScenarioKind {
    /// Volatility × ½, ticks × 0.7.
    Calm,
    /// Volatility × 3, correlation + 0.2, ticks × 1.5.
    Crisis,
    /// From its beginning: −8 % within five minutes, a halt of all symbols of five minutes,
    /// then 70 % of the loss regained within fifteen. Its end does not matter.
    FlashCrash,
    /// In the first ten minutes of a session: ticks × 5, volatility × 2.
    OpeningBurst,
    /// No quotes and no trades.
    Halt,
    /// Volatility × 3 and ticks × 20, meant for one symbol.
    HotSymbol,
    /// The feed is down: ticks are lost, and `source_seq` has a hole.
    FeedOutage,
    /// The receiver's clock is 250 ms slow: `ts_recv_ns` is before `ts_event_ns`.
    ClockSkew,
    /// Every tick arrives twice, the second a millisecond later, with the same `source_seq`.
    DuplicateFeed,
}

/// A text that names no scenario.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown scenario `{0}`; write calm, crisis, flash-crash, opening-burst, halt, hot-symbol, \
     feed-outage, clock-skew or duplicate-feed"
)]
pub struct UnknownScenario(String);

impl ScenarioKind {
    /// Every kind.
    pub const ALL: [ScenarioKind; 9] = [
        ScenarioKind::Calm,
        ScenarioKind::Crisis,
        ScenarioKind::FlashCrash,
        ScenarioKind::OpeningBurst,
        ScenarioKind::Halt,
        ScenarioKind::HotSymbol,
        ScenarioKind::FeedOutage,
        ScenarioKind::ClockSkew,
        ScenarioKind::DuplicateFeed,
    ];

    /// Its name in a pipeline's file.
    pub const fn name(self) -> &'static str {
        match self {
            ScenarioKind::Calm => "calm",
            ScenarioKind::Crisis => "crisis",
            ScenarioKind::FlashCrash => "flash-crash",
            ScenarioKind::OpeningBurst => "opening-burst",
            ScenarioKind::Halt => "halt",
            ScenarioKind::HotSymbol => "hot-symbol",
            ScenarioKind::FeedOutage => "feed-outage",
            ScenarioKind::ClockSkew => "clock-skew",
            ScenarioKind::DuplicateFeed => "duplicate-feed",
        }
    }

    /// The kind of that name.
    ///
    /// # Errors
    /// Where no kind has it.
    pub fn parse(name: &str) -> Result<ScenarioKind, UnknownScenario> {
        ScenarioKind::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| UnknownScenario(name.chars().take(32).collect()))
    }

    fn acts_on_feed(self) -> bool {
        matches!(
            self,
            ScenarioKind::FeedOutage | ScenarioKind::ClockSkew | ScenarioKind::DuplicateFeed
        )
    }
}

impl fmt::Display for ScenarioKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Something that happens from one instant to another, to one symbol or to all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// What.
    pub kind: ScenarioKind,
    /// First instant, nanoseconds since 1970-01-01T00:00:00Z.
    pub from_ns: i64,
    /// The instant it ends, which no longer belongs to it.
    pub until_ns: i64,
    /// The symbol it happens to; none: all.
    pub symbol: Option<Symbol>,
}

/// How long prices fall in a flash crash, how long trading stands, how long prices rise again.
const CRASH_MINUTES: i64 = 5;
const CRASH_HALT_MINUTES: i64 = 5;
const CRASH_REGAIN_MINUTES: i64 = 15;
/// ln 0.92, and the part of it that is regained.
const CRASH_LOG: f64 = -0.083_381_608_939_051;
const CRASH_REGAINED: f64 = 0.7;

/// What a minute is like for a symbol, or (without regard to single symbols) for the factors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Weather {
    /// Factor on volatility.
    pub(super) volatility: f64,
    /// Factor on the rate of ticks.
    pub(super) rate: f64,
    /// Added to the correlation of all symbols.
    pub(super) correlation: f64,
    /// Log return that is added to all symbols'.
    pub(super) drift: f64,
    /// No quotes and no trades.
    pub(super) halted: bool,
}

const FAIR: Weather = Weather {
    volatility: 1.0,
    rate: 1.0,
    correlation: 0.0,
    drift: 0.0,
    halted: false,
};

/// What the feed does with a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reception {
    pub(super) lost: bool,
    pub(super) twice: bool,
    /// How much the receiver's clock is slow, nanoseconds.
    pub(super) slow_ns: i64,
}

/// The receiver's clock in [`ScenarioKind::ClockSkew`].
const SLOW_NS: i64 = 250_000_000;

impl Scenario {
    fn of(&self, symbol: Option<&Symbol>) -> bool {
        self.symbol.is_none() || self.symbol.as_ref() == symbol
    }

    /// What it does to the minute that begins at an instant, `into` minutes into its session.
    fn on(&self, weather: &mut Weather, start_ns: i64, into: usize) {
        if self.kind == ScenarioKind::FlashCrash {
            return self.crash(weather, start_ns);
        }
        if start_ns < self.from_ns || start_ns >= self.until_ns {
            return;
        }
        let (volatility, rate) = match self.kind {
            ScenarioKind::Calm => (0.5, 0.7),
            ScenarioKind::Crisis => {
                weather.correlation += 0.2;
                (3.0, 1.5)
            }
            ScenarioKind::OpeningBurst if into < 10 => (2.0, 5.0),
            ScenarioKind::HotSymbol => (3.0, 20.0),
            ScenarioKind::Halt => {
                weather.halted = true;
                (1.0, 1.0)
            }
            _ => (1.0, 1.0),
        };
        weather.volatility *= volatility;
        weather.rate *= rate;
    }

    fn crash(&self, weather: &mut Weather, start_ns: i64) {
        // It begins with the first whole minute.
        let from = self.from_ns.div_euclid(MINUTE) + i64::from(self.from_ns % MINUTE != 0);
        let minute = start_ns.div_euclid(MINUTE) - from;
        let halt = CRASH_MINUTES + CRASH_HALT_MINUTES;
        if (0..CRASH_MINUTES).contains(&minute) {
            weather.drift += CRASH_LOG / CRASH_MINUTES as f64;
            weather.rate *= 3.0;
        } else if (CRASH_MINUTES..halt).contains(&minute) {
            weather.halted = true;
        } else if (halt..halt + CRASH_REGAIN_MINUTES).contains(&minute) {
            weather.drift -= CRASH_LOG * CRASH_REGAINED / CRASH_REGAIN_MINUTES as f64;
            weather.rate *= 2.0;
        }
    }
}

/// All that is asked to happen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Forecast {
    market: Vec<Scenario>,
    feed: Vec<Scenario>,
}

impl Forecast {
    pub(super) fn new(scenarios: &[Scenario]) -> Forecast {
        let (feed, market) = scenarios
            .iter()
            .cloned()
            .partition(|scenario| scenario.kind.acts_on_feed());
        Forecast { market, feed }
    }

    /// Whether ticks need the feed's own numbers.
    pub(super) fn has_feed(&self) -> bool {
        !self.feed.is_empty()
    }

    /// The minute that begins at an instant, `into` minutes into its session; for one symbol, or
    /// as the factors have it.
    pub(super) fn minute(&self, start_ns: i64, into: usize, symbol: Option<&Symbol>) -> Weather {
        let mut weather = FAIR;
        for scenario in self.market.iter().filter(|scenario| scenario.of(symbol)) {
            scenario.on(&mut weather, start_ns, into);
        }
        weather
    }

    /// What the feed does with a symbol's tick of that instant.
    pub(super) fn reception(&self, ns: i64, symbol: &Symbol) -> Reception {
        let mut reception = Reception::default();
        for scenario in &self.feed {
            if ns < scenario.from_ns || ns >= scenario.until_ns || !scenario.of(Some(symbol)) {
                continue;
            }
            match scenario.kind {
                ScenarioKind::FeedOutage => reception.lost = true,
                ScenarioKind::ClockSkew => reception.slow_ns += SLOW_NS,
                _ => reception.twice = true,
            }
        }
        reception
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(kind: ScenarioKind, from: i64, until: i64) -> Scenario {
        Scenario {
            kind,
            from_ns: from * MINUTE,
            until_ns: until * MINUTE,
            symbol: None,
        }
    }

    #[test]
    fn names_are_parsed_and_others_refused_with_a_sentence() {
        for kind in ScenarioKind::ALL {
            assert_eq!(ScenarioKind::parse(kind.name()), Ok(kind));
        }
        let refusal = ScenarioKind::parse("panic").map_err(|e| e.to_string());
        assert!(refusal.is_err_and(|e| e.starts_with("unknown scenario `panic`; write calm,")));
    }

    #[test]
    fn overlapping_scenarios_both_act_and_only_in_their_time() {
        let forecast = Forecast::new(&[
            scenario(ScenarioKind::Crisis, 10, 20),
            scenario(ScenarioKind::Calm, 15, 30),
        ]);
        let volatility = |minute| forecast.minute(minute * MINUTE, 50, None).volatility;
        assert_eq!(
            [9, 10, 15, 20, 30].map(volatility),
            [1.0, 3.0, 1.5, 0.5, 1.0]
        );
    }

    #[test]
    fn a_flash_crash_falls_by_eight_per_cent_and_regains_most_of_it() {
        let forecast = Forecast::new(&[scenario(ScenarioKind::FlashCrash, 100, 101)]);
        let minutes: Vec<Weather> = (95..130)
            .map(|minute| forecast.minute(minute * MINUTE, 50, None))
            .collect();
        let fall: f64 = minutes[5..10].iter().map(|minute| minute.drift).sum();
        assert!((fall.exp() - 0.92).abs() < 1e-9);
        let all: f64 = minutes.iter().map(|minute| minute.drift).sum();
        assert!((all / fall - 0.3).abs() < 1e-9);
        assert_eq!(minutes.iter().filter(|minute| minute.halted).count(), 5);
    }
}
