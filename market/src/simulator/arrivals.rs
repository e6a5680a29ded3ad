//! When ticks come: a Hawkes process with two exponential kernels.
//!
//! Every event raises the rate of those that follow (A. Hawkes, "Spectra of some self-exciting
//! and mutually exciting point processes", Biometrika 58, 1971; V. Filimonov, D. Sornette,
//! "Quantifying reflexivity in financial markets", Physical Review E 85, 2012). With exponential
//! kernels the time to the next event is the least of three independent ones, each of which can
//! be drawn exactly (A. Dassios, H. Zhao, "Exact simulation of Hawkes process with exponentially
//! decaying intensity", Electronic Communications in Probability 18, 2013).

use super::draws::Draws;
use super::model::Model;

/// Steps of an intensity of 1 a second: excitement at a minute's beginning is a whole number of
/// them, so that a checkpoint is exact.
const STEPS: f64 = 1e4;

/// The arrivals of one symbol.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrivals {
    /// Intensity that no event excited, per second.
    base: f64,
    /// Intensity that events have excited, fast and slow, per second.
    excited: [f64; 2],
    decay: [f64; 2],
    /// 1 / decay: a division takes as long as four products.
    lasts: [f64; 2],
    /// What an event adds.
    kick: [f64; 2],
}

impl Arrivals {
    pub(super) fn new(model: &Model, excited: [i64; 2]) -> Arrivals {
        let [fast, slow] = model.excitation;
        Arrivals {
            base: 0.0,
            excited: excited.map(|steps| steps as f64 / STEPS),
            decay: [fast.decay, slow.decay],
            lasts: [1.0 / fast.decay, 1.0 / slow.decay],
            kick: [fast.branching * fast.decay, slow.branching * slow.decay],
        }
    }

    /// Excitement at a mean rate, per second: what a market begins with.
    pub(super) fn usual(model: &Model, rate: f64) -> [i64; 2] {
        model
            .excitation
            .map(|part| libm::rint(rate * part.branching * STEPS) as i64)
    }

    /// Begins a minute of that base intensity.
    pub(super) fn begin(&mut self, base: f64) {
        self.base = base;
    }

    /// Excitement in whole steps, after so many seconds without an event; it goes on from there.
    pub(super) fn rest(&mut self, seconds: f64) -> [i64; 2] {
        self.fade(seconds);
        let steps = self
            .excited
            .map(|excited| libm::rint(excited * STEPS) as i64);
        self.excited = steps.map(|steps| steps as f64 / STEPS);
        steps
    }

    #[inline]
    fn fade(&mut self, seconds: f64) {
        for (excited, decay) in self.excited.iter_mut().zip(self.decay) {
            *excited *= decayed(decay * seconds);
        }
    }

    /// Seconds to the next event.
    #[inline]
    pub(super) fn wait(&self, draws: &mut Draws) -> f64 {
        let mut wait = draws.exponential() / self.base;
        for part in 0..2 {
            let (excited, lasts) = (self.excited[part], self.lasts[part]);
            if excited <= 1e-9 {
                continue;
            }
            // How many events the part would still bring forth by itself: it may be none, and
            // with e^−x ≥ 1 − x most of those cases need no logarithm.
            let future = excited * lasts;
            let uniform = draws.uniform();
            if uniform <= 1.0 - future {
                continue;
            }
            let left = 1.0 + libm::log(uniform) / future;
            // Only if its event comes before the one found.
            if left > 0.0 && left > decayed(self.decay[part] * wait) {
                wait = -libm::log(left) * lasts;
            }
        }
        wait
    }

    /// An event, that many seconds after the last.
    #[inline]
    pub(super) fn event(&mut self, seconds: f64) {
        self.fade(seconds);
        for (excited, kick) in self.excited.iter_mut().zip(self.kick) {
            *excited += kick;
        }
    }
}

/// e^−x for x ≥ 0: a polynomial where that is exact to 1e-9, nothing where there is nothing.
#[inline]
fn decayed(x: f64) -> f64 {
    if x < 0.04 {
        1.0 - x * (1.0 - x * (1.0 / 2.0 - x * (1.0 / 6.0 - x * (1.0 / 24.0 - x * (1.0 / 120.0)))))
    } else if x > 40.0 {
        0.0
    } else {
        libm::exp(-x)
    }
}

#[cfg(test)]
mod tests {
    use super::super::draws::{Key, Purpose};
    use super::*;

    #[test]
    fn the_mean_rate_is_the_base_over_the_share_of_immigrants() {
        let model = Model::default();
        let mut arrivals = Arrivals::new(&model, Arrivals::usual(&model, 5.0));
        arrivals.begin(5.0 * model.immigrants());
        let mut draws = Key::new(3, "A").draws(Purpose::Ticks, 0);
        let (mut time, mut count) = (0.0, 0);
        while time < 40_000.0 {
            let wait = arrivals.wait(&mut draws);
            arrivals.event(wait);
            time += wait;
            count += 1;
        }
        let rate = f64::from(count) / time;
        assert!((rate - 5.0).abs() < 0.15, "{rate} a second");
    }

    #[test]
    fn the_fast_exponential_is_the_exponential() {
        for step in 0..2_000 {
            let x = f64::from(step) * 0.001;
            assert!((decayed(x) - (-x).exp()).abs() < 1e-9, "{x}");
        }
        assert_eq!(decayed(50.0).to_bits(), 0.0_f64.to_bits());
    }
}
