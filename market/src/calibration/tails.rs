//! The tail of a minute's return.
//!
//! Of two neighbouring minutes volatility is nearly the same, so that E|r r'| / E r² is the square
//! of E|x| / √E x², which falls as the tail grows (O. Barndorff-Nielsen, N. Shephard, "Power and
//! bipower variation with stochastic volatility and jumps", Journal of Financial Econometrics 2,
//! 2004). Which tail has which ratio is found by drawing.

use crate::simulator::Model;

/// Tails that are told apart, as half their degrees of freedom.
const HALVES: [u32; 7] = [2, 3, 4, 5, 6, 8, 12];
const DRAWS: u32 = 60_000;

/// The tail whose ratio is nearest; `None`: normal.
pub(super) fn half_degrees(seen: f64, model: &Model, symbols: usize) -> Option<u32> {
    let shares = if symbols == 1 {
        [1.0, 0.0, 0.0]
    } else {
        [
            model.market,
            model.sector,
            1.0 - model.market - model.sector,
        ]
    };
    let normal = std::f64::consts::FRAC_2_PI;
    let candidates = HALVES
        .into_iter()
        .map(|half| (Some(half), ratio(half, shares)));
    candidates
        .chain([(None, normal)])
        .min_by(|a, b| (a.1 - seen).abs().total_cmp(&(b.1 - seen).abs()))
        .and_then(|(half, _)| half)
}

/// (E|x|)² / E x² of a sum of independent Student t's of variances `shares`.
fn ratio(half: u32, shares: [f64; 3]) -> f64 {
    let mut draws = crate::simulator::draws("tails");
    let mut sum = 0.0;
    for _ in 0..DRAWS {
        let x: f64 = shares
            .iter()
            .filter(|share| **share > 0.0)
            .map(|share| share.sqrt() * draws.normal() * draws.student(half))
            .sum();
        sum += x.abs();
    }
    (sum / f64::from(DRAWS)).powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_of_a_t_is_the_known_one() {
        // ν = 6: E|x| = 2 √(4/π) Γ(5/2) / (Γ(3) 2) … = 0.75.
        assert!((ratio(3, [1.0, 0.0, 0.0]) - 0.5625).abs() < 0.01);
        assert_eq!(half_degrees(0.5625, &Model::default(), 1), Some(3));
        assert_eq!(half_degrees(0.637, &Model::default(), 1), None);
    }
}
