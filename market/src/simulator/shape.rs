//! The shape of a session: how volatility and the rate of ticks go over the day.
//!
//! Both are highest after the open and before the close (R. Wood, T. McInish, J. Ord, "An
//! investigation of transactions data for NYSE stocks", Journal of Finance 40, 1985; A. Admati,
//! P. Pfleiderer, "A theory of intraday patterns", Review of Financial Studies 1, 1988).

use std::f64::consts::TAU;

use super::model::DayShape;

/// Factors of each minute of a session.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// On volatility; the mean of the squares is 1.
    volatility: Vec<f64>,
    /// On the rate; the mean is 1.
    rate: Vec<f64>,
}

impl Shape {
    /// The shape of a session of that many minutes.
    pub(super) fn new(shape: DayShape, minutes: usize, never_closes: bool) -> Shape {
        let minutes = minutes.max(1);
        let at = |minute: usize| (minute as f64 + 0.5) / minutes as f64;
        let decay = |size: f64, far: f64, scale: f64| size * libm::exp(-far / scale);
        let wave = |u: f64, size: f64| 1.0 + size * libm::cos(TAU * (u - 15.0 / 24.0));
        let (volatility, rate): (Vec<f64>, Vec<f64>) = (0..minutes)
            .map(at)
            .map(|u| match (shape, never_closes) {
                (DayShape::Flat, _) => (1.0, 1.0),
                (DayShape::Phases, true) => (wave(u, 0.25), wave(u, 0.4)),
                (DayShape::Phases, false) => (
                    0.62 + decay(1.15, u, 0.09) + decay(0.30, 1.0 - u, 0.06),
                    0.55 + decay(1.6, u, 0.07) + decay(1.8, 1.0 - u, 0.06),
                ),
            })
            .unzip();
        let square: f64 = volatility.iter().map(|d| d * d).sum::<f64>() / minutes as f64;
        let mean: f64 = rate.iter().sum::<f64>() / minutes as f64;
        Shape {
            volatility: volatility.iter().map(|d| d / libm::sqrt(square)).collect(),
            rate: rate.iter().map(|n| n / mean).collect(),
        }
    }

    /// Minutes of the session.
    pub(super) fn minutes(&self) -> usize {
        self.rate.len()
    }

    /// The factors on volatility and on the rate in a minute, counted from the open.
    pub(super) fn at(&self, minute: usize) -> (f64, f64) {
        let minute = minute.min(self.minutes() - 1);
        (self.volatility[minute], self.rate[minute])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_busy_at_its_ends_and_keeps_its_mean() {
        for minutes in [1, 210, 390, 510] {
            let shape = Shape::new(DayShape::Phases, minutes, false);
            let rate: f64 = (0..minutes).map(|minute| shape.at(minute).1).sum();
            let square: f64 = (0..minutes).map(|minute| shape.at(minute).0.powi(2)).sum();
            assert!((rate / minutes as f64 - 1.0).abs() < 1e-9);
            assert!((square / minutes as f64 - 1.0).abs() < 1e-9);
        }
        let shape = Shape::new(DayShape::Phases, 390, false);
        assert!(shape.at(0).0 > 2.0 * shape.at(195).0);
        assert!(shape.at(389).1 > 2.0 * shape.at(195).1);
    }

    #[test]
    fn a_market_that_never_closes_has_no_edge_at_midnight() {
        let shape = Shape::new(DayShape::Phases, 1440, true);
        assert!((shape.at(0).1 - shape.at(1439).1).abs() < 0.01);
        assert!(shape.at(900).1 > 1.3 && shape.at(180).1 < 0.7);
    }
}
