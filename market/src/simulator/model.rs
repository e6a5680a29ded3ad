//! The parameters of the model, and the poorer models that the gates must tell apart from it.

use serde::{Deserialize, Serialize};

/// A part of log-volatility: an autoregression of first order.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Time in which it forgets all but 1/e of itself, in sessions.
    pub sessions: f64,
    /// Its standard deviation.
    pub sd: f64,
}

/// A part of the arrivals' self-excitation: an exponential kernel.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Excitation {
    /// Mean number of events that an event brings forth directly.
    pub branching: f64,
    /// Rate at which the excitement decays, per second.
    pub decay: f64,
}

/// How activity is spread over a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DayShape {
    /// Evenly.
    Flat,
    /// High after the open and before the close; in a market that never closes, a wave that is
    /// highest at 15:00 UTC.
    Phases,
}

/// The parameters of a synthetic market. [`Model::default`] passes the gates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Model {
    /// Least and greatest standard deviation of a session's log return; a symbol's own is drawn
    /// evenly between them.
    pub volatility: (f64, f64),
    /// What all symbols share of log-volatility.
    pub common: [Component; 3],
    /// What each symbol has of its own.
    pub own: [Component; 2],
    /// Correlation of the market's return with the shocks of `common` that follow it.
    pub leverage: f64,
    /// Half the degrees of freedom of a minute's returns; none: normal.
    pub tail: Option<u32>,
    /// Share of the market factor in a symbol's variance.
    pub market: f64,
    /// Share of the sector.
    pub sector: f64,
    /// Jumps a session of each symbol.
    pub jumps: f64,
    /// Jumps a session of the market.
    pub market_jumps: f64,
    /// Standard deviation of a jump, in standard deviations of five minutes.
    pub jump_size: f64,
    /// Standard deviation of the step over night, in those of a session.
    pub overnight: f64,
    /// Shape of the day.
    pub shape: DayShape,
    /// Exponent with which the rate of ticks follows volatility.
    pub rate_volatility: f64,
    /// Exponent with which it follows the size of the minute's own factor.
    pub rate_tail: f64,
    /// Self-excitation of arrivals, fast and slow.
    pub excitation: [Excitation; 2],
    /// Share of trades in all ticks.
    pub trades: f64,
    /// Probability that a trade has the sign of the order that is being worked.
    pub persistence: f64,
    /// Exponent of the length of such an order: P(L ≥ l) = l^−exponent.
    pub run_exponent: f64,
    /// Share (as a correlation) of the surprise of trades' signs in the mid's next step.
    pub impact: f64,
    /// Spread in standard deviations of the mid from trade to trade.
    pub spread: f64,
    /// Whether companies pay dividends and split their shares.
    pub corporate_actions: bool,
}

impl Default for Model {
    fn default() -> Model {
        let component = |sessions, sd| Component { sessions, sd };
        let excitation = |branching, decay| Excitation { branching, decay };
        Model {
            volatility: (0.011, 0.021),
            common: [
                component(20.0, 0.40),
                component(1.0, 0.25),
                component(20.0 / 390.0, 0.12),
            ],
            own: [component(1.0, 0.25), component(20.0 / 390.0, 0.28)],
            leverage: -0.8,
            tail: Some(3),
            market: 0.3,
            sector: 0.2,
            jumps: 0.1,
            market_jumps: 0.02,
            jump_size: 6.0,
            overnight: 0.5,
            shape: DayShape::Phases,
            rate_volatility: 0.8,
            rate_tail: 0.48,
            excitation: [excitation(0.35, 5.0), excitation(0.35, 1.0 / 20.0)],
            trades: 0.3,
            persistence: 0.84,
            run_exponent: 1.5,
            impact: 0.5,
            spread: 1.5,
            corporate_actions: true,
        }
    }
}

impl Model {
    /// Geometric Brownian motion and Poisson arrivals: what the gates must refuse.
    pub fn gbm() -> Model {
        let mut model = Model {
            leverage: 0.0,
            tail: None,
            jumps: 0.0,
            market_jumps: 0.0,
            shape: DayShape::Flat,
            rate_volatility: 0.0,
            rate_tail: 0.0,
            persistence: 0.5,
            impact: 0.0,
            corporate_actions: false,
            ..Model::cox()
        };
        for component in model.common.iter_mut().chain(&mut model.own) {
            component.sd = 0.0;
        }
        model
    }

    /// [`Model::gbm`] with the day's shape.
    pub fn gbm_with_shape() -> Model {
        Model {
            shape: DayShape::Phases,
            ..Model::gbm()
        }
    }

    /// The model with arrivals that follow volatility but do not excite one another (D. R. Cox,
    /// "Some statistical methods connected with series of events", 1955).
    pub fn cox() -> Model {
        let mut model = Model::default();
        for excitation in &mut model.excitation {
            excitation.branching = 0.0;
        }
        model
    }

    /// Whether these are parameters of a market; what they must be, where not.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let rules = [
            (
                self.volatility.0 > 0.0 && self.volatility.0 <= self.volatility.1,
                "volatility must be above 0, the least not above the greatest",
            ),
            (
                self.common
                    .iter()
                    .chain(&self.own)
                    .all(|part| part.sessions > 0.0 && part.sd >= 0.0),
                "parts of log-volatility must last longer than 0 sessions, with a standard deviation of 0 or more",
            ),
            (self.leverage.abs() <= 1.0, "leverage must be from -1 to 1"),
            (
                self.tail.is_none_or(|half| half >= 2),
                "tail must have 4 degrees of freedom or more",
            ),
            (
                self.market >= 0.0 && self.sector >= 0.0 && self.market + self.sector <= 1.0,
                "shares of market and sector must be 0 or more, and together at most 1",
            ),
            (
                self.jumps >= 0.0
                    && self.market_jumps >= 0.0
                    && self.jump_size >= 0.0
                    && self.overnight >= 0.0,
                "jumps and nights must be 0 or more",
            ),
            (
                self.excitation
                    .iter()
                    .all(|part| part.branching >= 0.0 && part.decay > 0.0)
                    && self.immigrants() > 0.0,
                "branching must be 0 or more and together below 1, its decay above 0",
            ),
            (
                self.rate_tail >= 0.0 && self.rate_volatility >= 0.0,
                "rate must not fall with volatility",
            ),
            (
                self.trades > 0.0 && self.trades < 1.0,
                "share of trades must be between 0 and 1",
            ),
            (
                (0.0..1.0).contains(&self.persistence) && self.run_exponent > 1.0,
                "persistence must be below 1 and the exponent of orders' lengths above 1",
            ),
            (
                (0.0..=1.0).contains(&self.impact) && self.spread > 0.0,
                "impact must be from 0 to 1 and the spread above 0",
            ),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, sentence)) => Err(sentence),
            None => Ok(()),
        }
    }

    /// Variance of the common and of the own part of log-volatility.
    pub(super) fn log_variances(&self) -> (f64, f64) {
        let sum = |parts: &[Component]| parts.iter().map(|part| part.sd * part.sd).sum();
        (sum(&self.common), sum(&self.own))
    }

    /// What the rate is divided by, so that its mean is 1: the mean of e^{a(H+h)} g^b, with
    /// H + h normal of variance v and mean −v (so that E e^{2(H+h)} = 1), and g as in
    /// [`Draws::student`](super::draws::Draws::student).
    pub(super) fn mean_rate(&self) -> f64 {
        let (common, own) = self.log_variances();
        let (v, a) = (common + own, self.rate_volatility);
        let volatility = libm::exp(a * a * v / 2.0 - a * v);
        let tail = self.tail.map_or(1.0, |half| {
            let (half, q) = (f64::from(half), self.rate_tail / 2.0);
            libm::pow(half - 1.0, q) * libm::tgamma(half - q) / libm::tgamma(half)
        });
        volatility * tail
    }

    /// Share of events that no other event brought forth.
    pub(super) fn immigrants(&self) -> f64 {
        1.0 - self.excitation[0].branching - self.excitation[1].branching
    }
}

#[cfg(test)]
mod tests {
    use super::super::draws::{Key, Purpose};
    use super::*;

    #[test]
    fn the_mean_rate_is_the_mean_of_its_draws() {
        let model = Model::default();
        let mut draws = Key::new(1, "A").draws(Purpose::Grid, 0);
        let (common, own) = model.log_variances();
        let v = common + own;
        let count = 400_000;
        let sum: f64 = (0..count)
            .map(|_| {
                let h = draws.normal() * v.sqrt() - v;
                (model.rate_volatility * h).exp() * draws.student(3).powf(model.rate_tail)
            })
            .sum();
        let mean = sum / f64::from(count);
        assert!((mean / model.mean_rate() - 1.0).abs() < 0.01, "{mean}");
    }

    #[test]
    fn parameters_that_are_no_markets_are_refused() {
        let good = Model::default();
        for model in [
            Model::default(),
            Model::gbm(),
            Model::gbm_with_shape(),
            Model::cox(),
        ] {
            assert_eq!(model.check(), Ok(()));
        }
        for (model, word) in [
            (
                Model {
                    volatility: (0.0, 0.1),
                    ..good.clone()
                },
                "volatility",
            ),
            (
                Model {
                    leverage: f64::NAN,
                    ..good.clone()
                },
                "leverage",
            ),
            (
                Model {
                    tail: Some(1),
                    ..good.clone()
                },
                "tail",
            ),
            (
                Model {
                    market: 0.9,
                    ..good.clone()
                },
                "shares",
            ),
            (
                Model {
                    excitation: [Excitation {
                        branching: 0.5,
                        decay: 1.0,
                    }; 2],
                    ..good.clone()
                },
                "branching",
            ),
            (
                Model {
                    trades: 1.0,
                    ..good.clone()
                },
                "trades",
            ),
            (
                Model {
                    persistence: 1.0,
                    ..good.clone()
                },
                "persistence",
            ),
        ] {
            let refusal = model.check().expect_err("no model");
            assert!(refusal.contains(word), "{refusal}");
        }
    }

    #[test]
    fn the_controls_are_poorer_and_have_the_same_mean_rate_of_one() {
        assert!((Model::gbm().mean_rate() - 1.0).abs() < 1e-12);
        assert!((Model::gbm().immigrants() - 1.0).abs() < 1e-12);
        assert_eq!(Model::gbm_with_shape().shape, DayShape::Phases);
        assert!((Model::default().immigrants() - 0.3).abs() < 1e-12);
    }
}
