//! Randomness that can be had again: every draw has a key.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::checkpoint::MODEL;

/// What draws are for; each has streams of its own.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// What a symbol keeps for ever: start price, volatility, spread.
    Constants = 1,
    /// A minute's steps of the mid.
    Walk = 2,
    /// A minute's ticks.
    Ticks = 3,
    /// The step between two sessions.
    Overnight = 4,
}

/// The key of all draws of one symbol: seed, model and name.
#[derive(Clone, Debug)]
pub(super) struct Key([u8; 32]);

impl Key {
    pub(super) fn new(seed: u64, symbol: &str) -> Key {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..24].copy_from_slice(&fnv1a_128(symbol.as_bytes()).to_le_bytes());
        key[24..28].copy_from_slice(&MODEL.to_le_bytes());
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
pub(super) struct Draws(ChaCha8Rng);

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
        let draw = first(1, "A", Purpose::Walk, 0);
        assert_eq!(draw, first(1, "A", Purpose::Walk, 0));
        assert_ne!(draw, first(2, "A", Purpose::Walk, 0));
        assert_ne!(draw, first(1, "B", Purpose::Walk, 0));
        assert_ne!(draw, first(1, "A", Purpose::Ticks, 0));
        assert_ne!(draw, first(1, "A", Purpose::Walk, 1));
    }

    #[test]
    fn draws_have_their_moments() {
        let mut draws = Key::new(7, "A").draws(Purpose::Walk, 0);
        let count = 200_000;
        let bells: Vec<f64> = (0..count).map(|_| draws.bell() as f64 / BELL_SD).collect();
        let mean = bells.iter().sum::<f64>() / f64::from(count);
        let variance = bells.iter().map(|bell| bell * bell).sum::<f64>() / f64::from(count);
        assert!(
            mean.abs() < 0.01 && (variance - 1.0).abs() < 0.01,
            "{mean} {variance}"
        );
        let mean = (0..count).map(|_| draws.exponential()).sum::<f64>() / f64::from(count);
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
    }
}
