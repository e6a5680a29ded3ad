//! What all symbols share: the market's and the sectors' returns, and common volatility.
//!
//! Volatility on several time scales, each an autoregression, looks like long memory (F. Corsi,
//! "A simple approximate long-memory model of realized volatility", Journal of Financial
//! Econometrics 7, 2009). Its shocks follow the market's return with opposite sign, the leverage
//! effect (F. Black, 1976; J.-P. Bouchaud, A. Matacz, M. Potters, "Leverage effect in financial
//! markets", Physical Review Letters 87, 2001).

use super::draws::{BELL_SD, Draws, Key, Purpose};
use super::listing::SECTORS;
use super::model::{Component, Model};
use super::scenario::Weather;

/// Steps of log-volatility in 1: states are whole numbers of them, so that a checkpoint is exact.
const STEPS: f64 = 1e5;

/// One autoregression, ready to be stepped by a minute.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ar {
    keep: f64,
    shock: f64,
    sd: f64,
}

impl Ar {
    pub(super) fn new(component: Component, minutes: f64) -> Ar {
        let keep = libm::exp(-1.0 / (component.sessions * minutes));
        Ar {
            keep,
            shock: component.sd * libm::sqrt(1.0 - keep * keep),
            sd: component.sd,
        }
    }

    /// A state out of its stationary law.
    pub(super) fn first(&self, draws: &mut Draws) -> i32 {
        libm::rint(draws.normal() * self.sd * STEPS) as i32
    }

    /// The state a minute later, after a standard normal shock.
    pub(super) fn next(&self, state: i32, shock: f64) -> i32 {
        libm::rint(f64::from(state) * self.keep + shock * self.shock * STEPS) as i32
    }
}

/// The sum of states, as log-volatility.
pub(super) fn level(states: &[i32]) -> f64 {
    f64::from(states.iter().sum::<i32>()) / STEPS
}

/// A way through a minute: where a factor stands at each second, from 0 on.
type Way = [f64; 61];

/// The shared part of a minute.
pub(super) struct Factors {
    market: Key,
    sectors: Vec<Key>,
    components: [Ar; 3],
    /// Variance of common log-volatility.
    common: f64,
    /// States when the minute began, and when it ends.
    pub(super) states: [i32; 3],
    next: [i32; 3],
    /// Standard deviation of a minute, in those of a session, before any volatility.
    minute_sd: f64,
    /// e^H of the minute, of mean square 1.
    pub(super) volatility: f64,
    /// H, whose e^{2H} has mean 1.
    pub(super) log_volatility: f64,
    /// Per sector, market and sector together, in standard deviations of a session.
    ways: Vec<Way>,
    /// Share of a symbol's own part in its variance.
    pub(super) own_share: f64,
}

impl Factors {
    /// The factors of a seed, in a given state or in their first. `minutes` are a session's.
    pub(super) fn new(seed: u64, model: &Model, minutes: f64, states: Option<[i32; 3]>) -> Factors {
        let market = Key::new(seed, "\u{1}market");
        let components = model.common.map(|component| Ar::new(component, minutes));
        let states = states.unwrap_or_else(|| {
            let mut draws = market.draws(Purpose::Constants, 0);
            components.map(|component| component.first(&mut draws))
        });
        Factors {
            market,
            sectors: (0..SECTORS)
                .map(|sector| Key::new(seed, &format!("\u{1}sector {sector}")))
                .collect(),
            components,
            common: model.log_variances().0,
            states,
            next: states,
            minute_sd: 1.0 / libm::sqrt(minutes),
            volatility: 1.0,
            log_volatility: 0.0,
            ways: vec![[0.0; 61]; SECTORS],
            own_share: 0.5,
        }
    }

    /// Where a sector (with the market in it) stands at each second of the minute.
    #[inline]
    pub(super) fn way(&self, sector: usize) -> &Way {
        &self.ways[sector]
    }

    /// Goes on to the minute after.
    pub(super) fn go_on(&mut self) {
        self.states = self.next;
    }

    /// Draws a minute. `shape` is the day's factor on volatility.
    pub(super) fn begin(&mut self, model: &Model, minute: u64, shape: f64, weather: &Weather) {
        self.log_volatility = level(&self.states) - self.common;
        self.volatility = libm::exp(self.log_volatility) * weather.volatility;
        let market_share = (model.market + weather.correlation).min(0.9);
        let sector_share = model.sector.min(1.0 - market_share);
        self.own_share = 1.0 - market_share - sector_share;
        let sd = self.minute_sd * shape * self.volatility;

        let mut draws = self.market.draws(Purpose::Grid, minute);
        let z = draws.normal();
        let g = tail(model, &mut draws);
        let independent = libm::sqrt(1.0 - model.leverage * model.leverage);
        for (at, component) in self.components.iter().enumerate() {
            let shock = model.leverage * z + independent * draws.normal();
            self.next[at] = component.next(self.states[at], shock);
        }
        let mut market = bridge(&self.market, minute, z, g);
        for step in &mut market {
            *step *= libm::sqrt(market_share) * sd;
        }
        // Five minutes of an average session are √5 of its minutes' standard deviation.
        let jump_sd = model.jump_size * libm::sqrt(5.0) * self.minute_sd;
        if let Some((second, size)) = jump(&mut draws, model.market_jumps, self.minute_sd) {
            for step in &mut market[second..] {
                *step += size * jump_sd;
            }
        }
        for (key, way) in self.sectors.iter().zip(&mut self.ways) {
            let mut draws = key.draws(Purpose::Grid, minute);
            let z = draws.normal();
            let g = tail(model, &mut draws);
            *way = bridge(key, minute, z, g);
            for (second, step) in way.iter_mut().enumerate() {
                *step = *step * libm::sqrt(sector_share) * sd + market[second];
            }
        }
    }

    /// e^H as it stands, whatever the scenario.
    pub(super) fn usual_volatility(&self) -> f64 {
        libm::exp(level(&self.states) - self.common)
    }

    /// A step over the night, in standard deviations of a session's own night step: what market
    /// and sector have in it.
    pub(super) fn night(&self, model: &Model, day: u64, sector: usize) -> f64 {
        let step = |key: &Key| {
            let mut draws = key.draws(Purpose::Overnight, day);
            draws.normal() * tail(model, &mut draws)
        };
        libm::sqrt(model.market) * step(&self.market)
            + libm::sqrt(model.sector) * step(&self.sectors[sector])
    }
}

/// The factor on a standard normal that gives it the model's tail.
pub(super) fn tail(model: &Model, draws: &mut Draws) -> f64 {
    model.tail.map_or(1.0, |half| draws.student(half))
}

/// Whether a jump comes in a minute, and then at which second, of what size (standard normal).
pub(super) fn jump(draws: &mut Draws, a_session: f64, minute_sd: f64) -> Option<(usize, f64)> {
    let (chance, bits) = (draws.uniform(), draws.bits());
    // The variance of a minute is the part that it is of a session.
    (chance < a_session * minute_sd * minute_sd).then(|| (1 + (bits % 60) as usize, draws.normal()))
}

/// A Brownian bridge over 60 seconds, of variance g² a minute, from 0 to z g.
fn bridge(key: &Key, minute: u64, z: f64, g: f64) -> Way {
    let mut draws = key.draws(Purpose::Seconds, minute);
    let mut way = [0.0; 61];
    let second_sd = g / libm::sqrt(60.0) / BELL_SD;
    for second in 1..61 {
        way[second] = way[second - 1] + draws.bell() as f64 * second_sd;
    }
    let excess = z * g - way[60];
    for (second, step) in way.iter_mut().enumerate() {
        *step += excess * second as f64 / 60.0;
    }
    way
}

#[cfg(test)]
mod tests {
    use super::super::scenario::Forecast;
    use super::*;

    #[test]
    fn common_volatility_has_its_spread_and_forgets_slowly() {
        let ar = Ar::new(
            Component {
                sessions: 1.0,
                sd: 0.25,
            },
            390.0,
        );
        let mut draws = Key::new(1, "A").draws(Purpose::Grid, 0);
        let mut state = ar.first(&mut draws);
        let (mut square, count) = (0.0, 400_000);
        for _ in 0..count {
            state = ar.next(state, draws.normal());
            square += level(&[state]).powi(2);
        }
        let sd = (square / f64::from(count)).sqrt();
        assert!((sd - 0.25).abs() < 0.02, "{sd}");
    }

    #[test]
    fn a_minutes_way_ends_where_the_grid_is_and_does_not_depend_on_what_was_asked_before() {
        let model = Model::default();
        let fair = Forecast::default().minute(0, 0, None);
        let way = |minutes: &[u64]| {
            let mut factors = Factors::new(7, &model, 390.0, Some([0; 3]));
            for &minute in minutes {
                factors.begin(&model, minute, 1.0, &fair);
            }
            *factors.way(3)
        };
        assert_eq!(way(&[5]), way(&[3, 4, 5]));
        assert_ne!(way(&[5]), way(&[6]));
        assert_eq!(way(&[5])[0].to_bits(), 0.0_f64.to_bits());
    }
}
