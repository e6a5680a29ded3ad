//! Randomness that can be had again: every draw has a key.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The version of the draws, raised where all of them are to be others: markets that differ in what
/// is made of the draws keep their prices.
const DRAWS: u32 = 2;

/// What draws are for; each has streams of its own.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// What a symbol keeps for ever: start price, volatility, sector.
    Constants = 1,
    /// A minute's step of the grid.
    Grid = 2,
    /// A minute's ticks.
    Ticks = 3,
    /// The step between two sessions.
    Overnight = 4,
    /// The way of a factor from second to second within a minute.
    Seconds = 5,
    /// What auctions print.
    Auction = 6,
    /// What happens to a company.
    Corporate = 7,
    /// What goes wrong on the way to the receiver.
    Disorder = 8,
}

/// The key of all draws of one symbol or factor: seed, version and name. A factor's name begins
/// with a control character, which no symbol has.
#[derive(Clone, Debug)]
pub(super) struct Key([u8; 32]);

impl Key {
    pub(super) fn new(seed: u64, symbol: &str) -> Key {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..24].copy_from_slice(&fnv1a_128(symbol.as_bytes()).to_le_bytes());
        key[24..28].copy_from_slice(&DRAWS.to_le_bytes());
        Key(key)
    }

    /// The draws for a purpose, for the minute or day of that number.
    pub(super) fn draws(&self, purpose: Purpose, number: u64) -> Draws {
        let mut key = self.0;
        key[28] = purpose as u8;
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(number);
        Draws(rng)
    }
}

/// Fowler–Noll–Vo 1a, 128 bits (draft-eastlake-fnv).
fn fnv1a_128(bytes: &[u8]) -> u128 {
    bytes
        .iter()
        .fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash, &byte| {
            (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
        })
}

/// A stream of draws.
#[derive(Clone, Debug)]
pub(crate) struct Draws(ChaCha8Rng);

impl Draws {
    /// 64 random bits.
    #[inline]
    pub(super) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in (0, 1].
    #[inline]
    pub(super) fn uniform(&mut self) -> f64 {
        ((self.bits() >> 11) + 1) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// Exponential with mean 1.
    #[inline]
    pub(super) fn exponential(&mut self) -> f64 {
        -libm::log(self.uniform())
    }

    /// Standard normal (G. Marsaglia, T. Bray, "A convenient method for generating normal
    /// variables", SIAM Review 6, 1964).
    pub(crate) fn normal(&mut self) -> f64 {
        loop {
            let (x, y) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                return x * libm::sqrt(-2.0 * libm::log(square) / square);
            }
        }
    }

    /// The factor that makes a standard normal a Student t of variance 1 with 2 `half` degrees
    /// of freedom: √((ν − 2) / χ²_ν), where χ²_ν = −2 ln of a product of ν/2 uniforms.
    pub(crate) fn student(&mut self, half: u32) -> f64 {
        let product: f64 = (0..half).map(|_| self.uniform()).product();
        libm::sqrt((f64::from(half) - 1.0) / (-libm::log(product)).max(1e-9))
    }

    /// The sum of four uniforms on 0…65535, less its mean: nearly normal with mean 0 and
    /// standard deviation [`BELL_SD`].
    #[inline]
    pub(super) fn bell(&mut self) -> i64 {
        let bits = self.bits();
        let sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
        sum as i64 - 131_070
    }
}

/// Standard deviation of [`Draws::bell`]: √(4 (65536² − 1) / 12).
pub(super) const BELL_SD: f64 = 37_837.227_226_166_57;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_seed_symbol_purpose_and_number_and_come_again() {
        let first =
            |seed, symbol, purpose, number| Key::new(seed, symbol).draws(purpose, number).bits();
        let draw = first(1, "A", Purpose::Grid, 0);
        assert_eq!(draw, first(1, "A", Purpose::Grid, 0));
        assert_ne!(draw, first(2, "A", Purpose::Grid, 0));
        assert_ne!(draw, first(1, "B", Purpose::Grid, 0));
        assert_ne!(draw, first(1, "A", Purpose::Ticks, 0));
        assert_ne!(draw, first(1, "A", Purpose::Grid, 1));
    }

    #[test]
    fn draws_have_their_moments() {
        let mut draws = Key::new(7, "A").draws(Purpose::Grid, 0);
        let count = 200_000;
        let bells: Vec<f64> = (0..count).map(|_| draws.bell() as f64 / BELL_SD).collect();
        let mean = bells.iter().sum::<f64>() / f64::from(count);
        let variance = bells.iter().map(|bell| bell * bell).sum::<f64>() / f64::from(count);
        assert!(
            mean.abs() < 0.01 && (variance - 1.0).abs() < 0.01,
            "{mean} {variance}"
        );
        let normals: Vec<f64> = (0..count).map(|_| draws.normal()).collect();
        let moment =
            |power: i32| normals.iter().map(|z| z.powi(power)).sum::<f64>() / f64::from(count);
        assert!((moment(2) - 1.0).abs() < 0.02 && (moment(4) - 3.0).abs() < 0.15);
        let squares = (0..count).map(|_| draws.student(3).powi(2));
        let variance = squares.sum::<f64>() / f64::from(count);
        assert!((variance - 1.0).abs() < 0.05, "{variance}");
        let mean = (0..count).map(|_| draws.exponential()).sum::<f64>() / f64::from(count);
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
    }
}
