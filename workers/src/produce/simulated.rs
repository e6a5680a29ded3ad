//! The synthetic market as a source.

use jiff::civil::Date;
use serde_json::Value;
use stockpipe_crds::pipeline::{MarketClock, Pipeline, Source as Spec};
use stockpipe_market::calendar::Calendar;
use stockpipe_market::simulator::{
    Checkpoint, Disorder, Model, Rate, RestoreError, Scenario, ScenarioKind, Settings, Simulator,
    universe,
};
use stockpipe_market::tick::{Symbol, Tick};

use super::feed::{Feed, FeedError, Source, fingerprint};
use super::pace::{Nanos, Pace, StartLine};
use super::wall_ns;

const SECOND: Nanos = 1_000_000_000;

/// `source.simulated`.
pub struct Simulated {
    symbols: Vec<Symbol>,
    calendar: Calendar,
    seed: u64,
    rate: Rate,
    speed: u32,
    start: Option<Date>,
    clock: MarketClock,
    scenarios: Vec<Scenario>,
    disorder: Disorder,
}

/// The settings of `pipeline`'s simulated market, as the producer has them.
///
/// # Errors
/// Where the source is another, the calendar is unknown or a symbol is none.
pub fn settings(pipeline: &Pipeline, run: &str, start_ns: Nanos) -> Result<Settings, FeedError> {
    Simulated::new(pipeline).map(|source| source.market(run, start_ns))
}

impl Simulated {
    /// The market of `pipeline`'s source.
    ///
    /// # Errors
    /// Where the calendar is unknown or a symbol is none.
    pub fn new(pipeline: &Pipeline) -> Result<Self, FeedError> {
        let Spec::Simulated {
            seed,
            ticks_per_second,
            top_ticks_per_second,
            speed,
            start,
            clock,
            ref scenarios,
            late,
            corrections,
        } = pipeline.source
        else {
            return Err(FeedError("the source is not simulated".to_owned()));
        };
        let symbol = |text: &str| {
            Symbol::new(text).map_err(|e| FeedError(format!("a symbol of the market: {e}")))
        };
        let symbols = match pipeline.market.universe {
            Some(size) => universe(size),
            None => pipeline
                .market
                .symbols
                .iter()
                .map(|text| symbol(text))
                .collect::<Result<_, _>>()?,
        };
        let scenarios = scenarios
            .iter()
            .map(|scenario| {
                Ok(Scenario {
                    kind: ScenarioKind::parse(&scenario.kind)
                        .map_err(|e| FeedError(format!("source.simulated.scenarios: {e}")))?,
                    from_ns: scenario.from_ns,
                    until_ns: scenario.until_ns,
                    symbol: scenario.symbol.as_deref().map(symbol).transpose()?,
                })
            })
            .collect::<Result<_, FeedError>>()?;
        Ok(Self {
            symbols,
            calendar: Calendar::parse(&pipeline.market.calendar)
                .map_err(|e| FeedError(format!("market.calendar: {e}")))?,
            seed,
            rate: top_ticks_per_second.map_or(Rate::Total(ticks_per_second), Rate::Top),
            speed,
            start,
            clock,
            scenarios,
            disorder: Disorder { late, corrections },
        })
    }

    fn market(&self, run: &str, start_ns: Nanos) -> Settings {
        Settings {
            symbols: self.symbols.clone(),
            calendar: self.calendar,
            seed: self.seed,
            rate: self.rate,
            start_ns,
            run: run.into(),
            universe: Vec::new(),
            model: Model::default(),
            scenarios: self.scenarios.clone(),
            disorder: self.disorder,
        }
    }

    fn feed(&self, simulator: Simulator) -> Box<dyn Feed> {
        Box::new(Market {
            ticks_per_second: i64::try_from(simulator.settings().ticks_per_second())
                .unwrap_or(i64::MAX),
            simulator,
            skips_closed: self.clock == MarketClock::FromStart { skip_closed: true },
        })
    }
}

impl Source for Simulated {
    fn settings(&self) -> String {
        let symbols: Vec<&str> = self.symbols.iter().map(Symbol::as_str).collect();
        // What is added to the list changes nothing where each symbol has its own rate; what else
        // happens to the list, a checkpoint knows.
        let (rate, listed) = match self.rate {
            Rate::Total(rate) => (rate.to_string(), symbols.join(",")),
            Rate::Top(rate) => (format!("top {rate}"), String::new()),
        };
        fingerprint(&[
            "simulated",
            self.calendar.name(),
            &self.seed.to_string(),
            &rate,
            &self.start.map(|s| s.to_string()).unwrap_or_default(),
            &listed,
            &format!("{:?}", self.scenarios),
            &format!("{:?}", self.disorder),
        ])
    }

    fn pace(&self) -> Pace {
        let line = match self.clock {
            MarketClock::Wall => StartLine::Now,
            MarketClock::FromStart { .. } => StartLine::Here,
        };
        Pace::new(self.speed, line)
    }

    fn begin(&self, run: &str, not_before: Option<Nanos>) -> Result<Box<dyn Feed>, FeedError> {
        let start = self
            .start
            .map_or_else(wall_ns, |date| self.calendar.instant(date.at(0, 0, 0, 0)));
        let start = start.max(not_before.unwrap_or(Nanos::MIN));
        let simulator = Simulator::new(self.market(run, start))
            .map_err(|e| FeedError(format!("source.simulated: {e}")))?;
        Ok(self.feed(simulator))
    }

    fn resume(&self, run: &str, state: &Value) -> Result<Option<Box<dyn Feed>>, FeedError> {
        let checkpoint = match serde_json::from_value::<Checkpoint>(state.clone()) {
            Ok(checkpoint) => checkpoint,
            Err(error) => {
                tracing::warn!(%error, run, "the checkpoint is not one of a simulated market");
                return Ok(None);
            }
        };
        let settings = self.market(run, 0);
        if !checkpoint.continues(&settings) {
            tracing::info!(
                run,
                "symbols of the market have another place or rate, or are gone"
            );
            return Ok(None);
        }
        match Simulator::restore(settings, checkpoint) {
            Ok(simulator) => Ok(Some(self.feed(simulator))),
            Err(RestoreError::Settings(e)) => Err(FeedError(format!("source.simulated: {e}"))),
            Err(error) => {
                tracing::warn!(%error, run, "the checkpoint cannot be restored");
                Ok(None)
            }
        }
    }
}

struct Market {
    simulator: Simulator,
    ticks_per_second: i64,
    skips_closed: bool,
}

impl Market {
    /// The end of the closed hours that the market stands in, if it stands in some.
    fn opening(&self) -> Option<Nanos> {
        let (now, calendar) = (self.position(), self.simulator.settings().calendar);
        // A session ends after its last trade, which may be a closing auction's after the close.
        let today = calendar
            .session(calendar.local_date(now))
            .filter(|session| now <= session.last_trade_ns);
        let session = today.or_else(|| calendar.session_closing_after(now))?;
        match session.lunch_ns {
            _ if now < session.open_ns => Some(session.open_ns),
            Some((from, to)) if (from..to).contains(&now) => Some(to),
            _ => None,
        }
    }
}

impl Feed for Market {
    fn position(&self) -> Nanos {
        self.simulator.until_ns()
    }

    fn emit(
        &mut self,
        until: Nanos,
        budget: usize,
        sink: &mut dyn FnMut(&Tick) -> bool,
    ) -> Result<(), FeedError> {
        // The simulator cannot stop within a step; the market's mean rate bounds what a step makes.
        let budget = i64::try_from(budget).unwrap_or(i64::MAX);
        let step = (budget.saturating_mul(SECOND) / self.ticks_per_second.max(1))
            .clamp(SECOND / 1000, 3600 * SECOND);
        let mut left = budget;
        let mut go_on = true;
        while go_on && left > 0 && self.position() < until {
            let end = until.min(self.position().saturating_add(step));
            self.simulator.emit(end, &mut |tick| {
                left -= 1;
                go_on = go_on && sink(tick);
            });
            if self.skips_closed
                && let Some(opening) = self.opening()
            {
                self.simulator.emit(opening, &mut |_| ());
                break;
            }
            // A step over closed hours makes nothing, yet must not go on for ever unseen.
            left -= 1;
        }
        Ok(())
    }

    fn end(&self) -> Option<Nanos> {
        None
    }

    fn state(&self) -> Value {
        serde_json::to_value(self.simulator.checkpoint())
            .expect("a checkpoint has only string keys")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(seed: u64) -> Simulated {
        Simulated {
            symbols: ["AAPL", "MSFT", "NVDA"]
                .map(|s| Symbol::new(s).unwrap())
                .to_vec(),
            calendar: Calendar::AlwaysOpen,
            seed,
            rate: Rate::Total(500),
            speed: 1,
            start: Some(jiff::civil::date(2026, 11, 20)),
            clock: MarketClock::Wall,
            scenarios: Vec::new(),
            disorder: Disorder::default(),
        }
    }

    #[test]
    fn closed_hours_take_no_time_where_they_are_skipped() {
        let source = Simulated {
            calendar: Calendar::Xnys,
            clock: MarketClock::FromStart { skip_closed: true },
            rate: Rate::Total(20),
            ..source(7)
        };
        let mut feed = source.begin("r", None).unwrap();
        let mut seen = 0;
        // Friday's midnight: the first step leads to the open, a step beyond its close to Monday's.
        let midnight = feed.position();
        let mut positions = Vec::new();
        for until in [midnight + SECOND, midnight + 17 * 3600 * SECOND] {
            while feed.position() < until {
                feed.emit(until, usize::MAX, &mut |_| {
                    seen += 1;
                    true
                })
                .unwrap();
            }
            positions.push(feed.position());
        }
        let open = |day| {
            Calendar::Xnys
                .session(jiff::civil::date(2026, 11, day))
                .unwrap()
                .open_ns
        };
        assert_eq!(positions, [open(20), open(23)]);
        assert!(seen > 100_000, "{seen}");
    }

    #[test]
    fn a_closing_auction_after_the_close_is_not_skipped() {
        let source = Simulated {
            calendar: Calendar::Xlon,
            clock: MarketClock::FromStart { skip_closed: true },
            rate: Rate::Total(2),
            ..source(7)
        };
        let mut feed = source.begin("r", None).unwrap();
        let until = feed.position() + 24 * 3600 * SECOND;
        let mut prints = 0;
        while feed.position() < until {
            feed.emit(until, 5_000, &mut |tick| {
                prints += u32::from(tick.conditions.as_deref() == Some("6"));
                true
            })
            .unwrap();
        }
        assert_eq!(prints, 3);
    }

    #[test]
    fn a_symbol_that_is_added_continues_a_run_whose_symbols_have_rates_of_their_own() {
        let own = Simulated {
            rate: Rate::Top(300),
            ..source(7)
        };
        let mut more = Simulated {
            rate: Rate::Top(300),
            ..source(7)
        };
        more.symbols.push(Symbol::new("XOM").unwrap());
        assert_eq!(own.settings(), more.settings());
        let mut first = own.begin("r", None).unwrap();
        let start = first.position();
        collect(first.as_mut(), start + 7 * SECOND / 3, 64);
        let state = first.state();
        let expected = collect(first.as_mut(), start + 20 * SECOND, 100);
        let mut second = more.resume("r", &state).unwrap().unwrap();
        let mut found = collect(second.as_mut(), start + 20 * SECOND, 5000);
        found.retain(|tick| &*tick.symbol != "XOM");
        assert_eq!(found, expected);
        // Another place in the list is another rate, and so another run.
        more.symbols.swap(0, 3);
        assert!(more.resume("r", &state).unwrap().is_none());
        // Of a fixed whole each has a share that every other changes.
        let mut shared = source(7);
        shared.symbols.push(Symbol::new("XOM").unwrap());
        assert_ne!(source(7).settings(), shared.settings());
    }

    #[test]
    fn what_happens_in_a_market_is_in_its_fingerprint() {
        let scenario = Scenario {
            kind: ScenarioKind::Crisis,
            from_ns: 0,
            until_ns: 1,
            symbol: None,
        };
        let changed = [
            Simulated {
                scenarios: vec![scenario.clone()],
                ..source(7)
            },
            Simulated {
                scenarios: vec![Scenario {
                    until_ns: 2,
                    ..scenario.clone()
                }],
                ..source(7)
            },
            Simulated {
                scenarios: vec![Scenario {
                    symbol: Some(Symbol::new("AAPL").unwrap()),
                    ..scenario
                }],
                ..source(7)
            },
            Simulated {
                disorder: Disorder {
                    late: 0.1,
                    corrections: 0.0,
                },
                ..source(7)
            },
            Simulated {
                disorder: Disorder {
                    late: 0.0,
                    corrections: 0.1,
                },
                ..source(7)
            },
        ];
        let mut settings: Vec<String> = changed.iter().map(Source::settings).collect();
        settings.push(source(7).settings());
        settings.sort();
        settings.dedup();
        assert_eq!(settings.len(), changed.len() + 1);
    }

    fn collect(feed: &mut dyn Feed, until: Nanos, budget: usize) -> Vec<Tick> {
        let mut ticks = Vec::new();
        while feed.position() < until {
            feed.emit(until, budget, &mut |tick| {
                ticks.push(tick.clone());
                true
            })
            .unwrap();
        }
        ticks
    }

    #[test]
    fn a_resumed_market_makes_the_ticks_that_the_first_would_have_made() {
        let source = source(7);
        let mut first = source.begin("r", None).unwrap();
        let start = first.position();
        collect(first.as_mut(), start + 7 * SECOND / 3, 64);
        let state = first.state();
        let expected = collect(first.as_mut(), start + 20 * SECOND, 100);
        let mut second = source.resume("r", &state).unwrap().unwrap();
        let found = collect(second.as_mut(), start + 20 * SECOND, 5000);
        assert!(expected.len() > 1000, "{}", expected.len());
        assert_eq!(found, expected);
    }

    #[test]
    fn a_new_run_begins_where_the_old_one_ended() {
        let source = source(7);
        let begin = |not_before| source.begin("r", not_before).unwrap().position();
        let start = begin(None);
        assert_eq!(begin(Some(start + 5)), start + 5);
        assert_eq!(begin(Some(start - 5)), start);
    }

    #[test]
    fn other_settings_have_another_fingerprint_and_anothers_state_is_not_resumed() {
        assert_eq!(source(7).settings(), source(7).settings());
        assert_ne!(source(7).settings(), source(8).settings());
        let state = source(7).begin("r", None).unwrap().state();
        assert!(source(8).resume("r", &state).unwrap().is_none());
        assert!(source(7).resume("r", &Value::Null).unwrap().is_none());
    }

    #[test]
    fn a_refusing_sink_is_given_no_further_tick() {
        let mut feed = source(7).begin("r", None).unwrap();
        let until = feed.position() + 100 * SECOND;
        let mut seen = 0;
        feed.emit(until, 5000, &mut |_| {
            seen += 1;
            seen < 3
        })
        .unwrap();
        assert_eq!(seen, 3);
        assert!(feed.position() < until);
    }
}
