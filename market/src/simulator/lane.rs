//! One symbol of a synthetic market.
//!
//! Its grid comes first: where the log mid stands at each minute's edge. Within the minute the
//! ticks bridge to the grid (a Brownian bridge for the symbol's own part, the factors' ways for
//! the rest) and never change it.

mod auctions;
mod ticks;

use super::arrivals::Arrivals;
use super::block::{Block, Part, usual_minutes};
use super::checkpoint::SymbolState;
use super::corporate::{self, Action};
use super::disorder::{Disorder, Disturbance, Pending};
use super::draws::{Draws, Key, Purpose};
use super::factors::{Ar, Factors, jump, level, tail};
use super::flow::{Flow, Sizes};
use super::halt::{Bands, Halt, Passed};
use super::ladder::Ladder;
use super::listing;
use super::model::Model;
use super::scenario::Weather;
use super::{MINUTE, SECOND};
use jiff::civil::Date;

use crate::calendar::Calendar;
use crate::tick::Symbol;

/// Steps of a logarithm in 1.
const LOG_STEPS: f64 = 1e10;
/// The mid stays within a factor of e⁴ of where it began.
const RANGE: f64 = 4.0;
/// The widest spread, as a part of the mid.
const WIDEST: f64 = 0.05;

/// What all lanes share.
pub(super) struct Rules {
    pub(super) model: Model,
    pub(super) ladder: Ladder,
    pub(super) sizes: Sizes,
    pub(super) calendar: Calendar,
    /// Minutes of continuous trading of a whole session.
    pub(super) minutes: f64,
    /// Variance of own log-volatility.
    own_variance: f64,
    mean_rate: f64,
    immigrants: f64,
    /// Share of trades in 65536ths.
    pub(super) trades: u64,
    /// What goes wrong, if anything does.
    pub(super) disturbance: Option<Disturbance>,
}

impl Rules {
    pub(super) fn new(model: Model, calendar: Calendar, disorder: Disorder) -> Rules {
        let (_, own) = model.log_variances();
        Rules {
            calendar,
            ladder: Ladder::of(calendar.mic()),
            sizes: Sizes::new(),
            minutes: usual_minutes(calendar) as f64,
            own_variance: own,
            mean_rate: model.mean_rate(),
            immigrants: model.immigrants(),
            trades: (model.trades * 65_536.0) as u64,
            disturbance: (!disorder.is_none()).then(|| Disturbance::new(disorder)),
            model,
        }
    }
}

/// One symbol: what it keeps, and where it stands within the minute.
pub(super) struct Lane {
    key: Key,
    sector: usize,
    /// How far its price may go before it halts.
    bands: Bands,
    /// Mean ticks a second.
    rate: f64,
    /// Standard deviation of a session's log return.
    volatility: f64,
    components: [Ar; 2],
    /// Least and greatest log mid.
    range: (i64, i64),
    /// State when the minute began, and when it ends.
    state: SymbolState,
    next: [i32; 2],
    end_log_mid: i64,
    /// The minute's own part: how far it goes, per √second, and its jump.
    own_end: f64,
    own_sd: f64,
    jump: (i64, f64),
    /// What the factors' ways are multiplied by, and the scenario's drift over the minute.
    scale: f64,
    drift: f64,
    /// Weights of surprise and noise in the mid's step after a trade.
    impact: (f64, f64),
    mid_then: f64,
    /// The instant to which the own part has been drawn, seconds, and where it stands.
    own_at: (f64, f64),
    /// Surprises of trades since the last quote, and their number.
    surprise: (f64, u32),
    arrivals: Arrivals,
    flow: Flow,
    ticks: Draws,
    /// What goes wrong in the minute; apart, so that a market without has its lanes close together.
    mishaps: Option<Box<Draws>>,
    /// Corrections to come, the next one last.
    pending: Vec<Pending>,
    /// Trades of the minute.
    traded: u32,
    /// What happened to the company over night.
    action: Option<Action>,
    last_ns: i64,
    /// Nanoseconds into the minute of the next tick; at or beyond its end: none.
    next_ns: i64,
    /// The quote now; 0: none yet.
    bid: i64,
    ask: i64,
    /// Spread as a part of the mid.
    spread: f64,
    /// The price band of the last quote: from, until, step, steps in a unit of currency.
    band: (i64, i64, i64, f64),
}

impl Lane {
    /// A symbol in a checkpoint's state, or in its first on a date. `rate` is its mean ticks a
    /// second.
    pub(super) fn new(
        seed: u64,
        rules: &Rules,
        symbol: &Symbol,
        rate: f64,
        date: Date,
        state: Option<SymbolState>,
    ) -> Lane {
        let model = &rules.model;
        let key = Key::new(seed, symbol);
        let mut draws = key.draws(Purpose::Constants, 0);
        let price = first_price(symbol, &rules.ladder, draws.uniform());
        let (least, greatest) = model.volatility;
        let volatility = least + (greatest - least) * draws.uniform();
        let log_price = libm::rint(libm::log(price) * LOG_STEPS) as i64;
        let reach = (RANGE * LOG_STEPS) as i64;
        let components = model.own.map(|component| Ar::new(component, rules.minutes));
        let first = components.map(|component| component.first(&mut draws));
        let state = state.unwrap_or_else(|| SymbolState {
            log_mid: log_price,
            volatility: first,
            excited: Arrivals::usual(model, rate),
            lot: {
                let luck = key.draws(Purpose::Constants, 3).bits();
                rules.ladder.first_lot((price * 1e9) as i64, date, luck)
            },
            ..SymbolState::default()
        });
        let bands = match rules.calendar {
            Calendar::Xnys | Calendar::Xnas => Bands::Plan {
                first_tier: listing::is_known(symbol),
            },
            _ => Bands::Plain,
        };
        Lane {
            bands,
            sector: listing::sector(symbol),
            rate,
            volatility,
            components,
            range: (log_price - reach, log_price + reach),
            next: state.volatility,
            end_log_mid: state.log_mid,
            own_end: 0.0,
            own_sd: 0.0,
            jump: (MINUTE, 0.0),
            scale: 0.0,
            drift: 0.0,
            impact: (model.impact, libm::sqrt(1.0 - model.impact * model.impact)),
            mid_then: 0.0,
            own_at: (0.0, 0.0),
            surprise: (0.0, 0),
            arrivals: Arrivals::new(model, state.excited),
            flow: Flow::new(model, state.order),
            mishaps: None,
            pending: Vec::new(),
            traded: 0,
            action: None,
            ticks: draws,
            last_ns: 0,
            next_ns: MINUTE,
            bid: state.bid,
            ask: state.ask,
            spread: 0.0,
            band: (0, 0, 1, 1.0),
            key,
            state,
        }
    }

    /// What a checkpoint keeps of it: the state when the minute began.
    pub(super) fn state(&self) -> SymbolState {
        self.state
    }

    /// Bytes that it holds.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let mishaps = self.mishaps.as_deref().map_or(0, size_of_val);
        size_of::<Lane>() + mishaps + self.pending.capacity() * size_of::<Pending>()
    }

    /// Goes on from the end of a minute to what follows; `halted`: a scenario halts it then.
    pub(super) fn go_on(&mut self, from: &Block, to: &Block, halted: bool) {
        let moved = (self.end_log_mid - self.state.log_mid) as f64 / LOG_STEPS;
        let rest = (from.end_ns() - from.start_ns - self.last_ns) as f64 / SECOND as f64;
        let mut halt = if from.is_trading() {
            let passed = Passed {
                // A scenario's own fall brings its own halt.
                moved: moved - self.drift,
                log_mid: self.end_log_mid as f64 / LOG_STEPS,
                minutes_left: from.minutes_left(),
            };
            self.state.halt.after(passed, self.bands, halted)
        } else {
            self.state.halt.still(halted)
        };
        if to.part == Part::End {
            halt = halt.at_end(halted);
        }
        self.state = SymbolState {
            log_mid: self.end_log_mid,
            bid: self.bid,
            ask: self.ask,
            volatility: self.next,
            excited: self.arrivals.rest(rest),
            order: self.flow.order,
            halt,
            ..self.state
        };
    }

    /// Opens the session that begins with a block, after the night since the session of the day
    /// `before`.
    pub(super) fn open(
        &mut self,
        rules: &Rules,
        factors: &Factors,
        before: u64,
        first: &Block,
        halted: bool,
    ) {
        let (model, day) = (&rules.model, first.day());
        let mut draws = self.key.draws(Purpose::Overnight, day);
        let own = draws.normal() * tail(model, &mut draws);
        let share = libm::sqrt(1.0 - model.market - model.sector);
        let night = factors.night(model, day, self.sector) + share * own;
        let sd = model.overnight * self.volatility * factors.usual_volatility();
        let price = libm::exp(self.state.log_mid as f64 / LOG_STEPS);
        self.action = None;
        if model.corporate_actions {
            let level = f64::from(rules.ladder.price_level);
            self.action = corporate::action(&self.key, before, day, price, level);
        }
        let action = self.action.map_or(0.0, |action| action.log_step(price));
        let step = libm::rint((sd * night + action) * LOG_STEPS) as i64;
        let price = (price * libm::exp(action) * 1e9) as i64;
        self.bid = 0;
        self.ask = 0;
        self.flow.order = 0;
        self.state = SymbolState {
            log_mid: self.within_range(self.state.log_mid + step),
            bid: 0,
            ask: 0,
            excited: Arrivals::usual(model, self.rate),
            order: 0,
            halt: Halt::at_open(halted),
            lot: rules.ladder.lot(price, first.session.date, self.state.lot),
            ..self.state
        };
        self.arrivals = Arrivals::new(model, self.state.excited);
        self.end_log_mid = self.state.log_mid;
    }

    /// At a market's beginning, in the midst of a scenario.
    pub(super) fn begin_halted(&mut self) {
        self.state.halt = Halt::at_open(true);
    }

    /// Prepares a minute of a call, or the instant of a session's end: the mid stands.
    pub(super) fn stand(&mut self) {
        self.end_log_mid = self.state.log_mid;
        self.drift = 0.0;
        self.last_ns = 0;
        self.mid_then = libm::exp(self.state.log_mid as f64 / LOG_STEPS);
        self.next_ns = MINUTE;
        self.traded = 0;
    }

    /// Prepares a minute: its step of the grid, and its first tick. `shape` is the day's factors
    /// on volatility and rate; `market` the weather that the factors have, `weather` its own.
    pub(super) fn begin(
        &mut self,
        rules: &Rules,
        factors: &Factors,
        minute: u64,
        shape: (f64, f64),
        market: &Weather,
        weather: &Weather,
    ) {
        let model = &rules.model;
        let mut draws = self.key.draws(Purpose::Grid, minute);
        let z = draws.normal();
        let g = tail(model, &mut draws);
        for (at, component) in self.components.iter().enumerate() {
            self.next[at] = component.next(self.state.volatility[at], draws.normal());
        }
        let minute_sd = 1.0 / libm::sqrt(rules.minutes);
        let log_own = level(&self.state.volatility) - rules.own_variance;
        let own = libm::exp(log_own);
        // What a scenario does to this symbol alone.
        let scale = self.volatility * weather.volatility / market.volatility;
        let sd = scale * shape.0 * factors.volatility * minute_sd;
        let own_sd = sd * own * g * libm::sqrt(factors.own_share);
        self.jump = match jump(&mut draws, model.jumps, minute_sd) {
            Some((second, size)) => {
                let jump_sd = model.jump_size * libm::sqrt(5.0) * minute_sd * scale;
                (second as i64 * SECOND, size * jump_sd)
            }
            None => (MINUTE, 0.0),
        };
        self.scale = scale;
        self.drift = weather.drift;
        let rest = scale * factors.way(self.sector)[60] + weather.drift + self.jump.1;
        let end = self.state.log_mid + libm::rint((rest + own_sd * z) * LOG_STEPS) as i64;
        self.end_log_mid = self.within_range(end);
        self.own_end = (self.end_log_mid - self.state.log_mid) as f64 / LOG_STEPS - rest;
        self.own_sd = own_sd / libm::sqrt(60.0);

        let follows = model.rate_volatility * (factors.log_volatility + log_own);
        let burst = libm::exp(follows) * libm::pow(g, model.rate_tail) / rules.mean_rate;
        let rate = self.rate * shape.1 * weather.rate * burst;
        let trades_a_minute = 60.0 * model.trades * rate;
        let known_sd = sd * libm::sqrt(1.0 - factors.own_share + factors.own_share * own * own);
        self.spread = (model.spread * known_sd / libm::sqrt(trades_a_minute)).min(WIDEST);

        self.mid_then = libm::exp(self.state.log_mid as f64 / LOG_STEPS);
        self.own_at = (0.0, 0.0);
        self.surprise = (0.0, 0);
        self.last_ns = 0;
        self.next_ns = MINUTE;
        self.traded = 0;
        self.pending.clear();
        if rules.disturbance.is_some() {
            let draws = self.key.draws(Purpose::Disorder, minute);
            match &mut self.mishaps {
                Some(mishaps) => **mishaps = draws,
                None => self.mishaps = Some(Box::new(draws)),
            }
        }
        if self.state.halt.halted() {
            // Nothing that was quoted before holds after.
            self.bid = 0;
            self.ask = 0;
            return;
        }
        self.ticks = self.key.draws(Purpose::Ticks, minute);
        self.arrivals.begin(rate * rules.immigrants);
        self.next_ns = self.after_wait();
    }

    /// Reflects a log mid that left its range.
    #[inline]
    fn within_range(&self, log_mid: i64) -> i64 {
        let (least, greatest) = self.range;
        if log_mid < least {
            2 * least - log_mid
        } else if log_mid > greatest {
            2 * greatest - log_mid
        } else {
            log_mid
        }
    }
}

/// A symbol's first price in units of currency: what it has been known for, or any from 15 to 400
/// dollars, at the exchange's level of prices. `luck` is from 0 to 1.
pub(super) fn first_price(symbol: &str, ladder: &Ladder, luck: f64) -> f64 {
    let any = || libm::exp(libm::log(15.0) + luck * libm::log(400.0 / 15.0));
    listing::known_price(symbol).unwrap_or_else(any) * f64::from(ladder.price_level)
}
