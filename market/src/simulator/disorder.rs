//! What goes wrong all the time: ticks that arrive late, and trades that are taken back.
//!
//! Both stay within their minute, from which a market is made again after a restart: nothing of
//! them needs remembering.

use super::MINUTE;
use super::draws::Draws;

/// How often ticks arrive late and trades are corrected. [`Default`] is never.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Disorder {
    /// Share of ticks that arrive seconds late, after ticks that happened later; a trade then has
    /// the condition [`OUT_OF_SEQUENCE`](crate::tick::OUT_OF_SEQUENCE). From 0 to 0.5.
    pub late: f64,
    /// Share of trades that are cancelled (seven of ten) or corrected. From 0 to 0.5.
    pub corrections: f64,
}

/// Mean delay of a late tick, and mean time to a correction, seconds.
const LATE_SECONDS: f64 = 2.0;
const CORRECTION_SECONDS: f64 = 5.0;
/// Share of cancels in corrections, in 256ths.
const CANCELS: u64 = 179;

/// [`Disorder`] as thresholds of 32 random bits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Disturbance {
    late: u64,
    corrections: u64,
}

/// What comes upon a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mishap {
    None,
    /// It arrives at this instant of the minute.
    Late(i64),
    /// It will be taken back at this instant of the minute, or told anew.
    Corrected {
        at_ns: i64,
        cancel: bool,
    },
}

impl Disorder {
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let rules = [
            (self.late, "share of late ticks must be from 0 to 0.5"),
            (
                self.corrections,
                "share of corrected trades must be from 0 to 0.5",
            ),
        ];
        match rules
            .into_iter()
            .find(|(share, _)| !(0.0..=0.5).contains(share))
        {
            Some((_, rule)) => Err(rule),
            None => Ok(()),
        }
    }

    /// Whether it is never.
    pub(super) fn is_none(&self) -> bool {
        *self == Disorder::default()
    }
}

impl Disturbance {
    pub(super) fn new(disorder: Disorder) -> Disturbance {
        // A delay that does not fit into the minute is none; the others come the more often.
        let threshold = |share: f64, mean: f64| {
            let fits = 1.0 - mean / 60.0 * (1.0 - libm::exp(-60.0 / mean));
            libm::rint(share / fits * 4_294_967_296.0) as u64
        };
        Disturbance {
            late: threshold(disorder.late, LATE_SECONDS),
            corrections: threshold(disorder.corrections, CORRECTION_SECONDS),
        }
    }

    /// What comes upon the tick of that instant of the minute.
    #[inline]
    pub(super) fn mishap(&self, draws: &mut Draws, now_ns: i64, is_trade: bool) -> Mishap {
        let bits = draws.bits();
        let after = |draws: &mut Draws, mean: f64| {
            let ns = libm::rint(draws.exponential() * mean * 1e9).min(MINUTE as f64) as i64;
            Some(now_ns + ns.max(1)).filter(|&at_ns| at_ns < MINUTE - 1000)
        };
        if bits & 0xffff_ffff < self.late {
            after(draws, LATE_SECONDS).map_or(Mishap::None, Mishap::Late)
        } else if is_trade && bits >> 32 < self.corrections {
            let cancel = draws.bits() & 255 < CANCELS;
            after(draws, CORRECTION_SECONDS)
                .map_or(Mishap::None, |at_ns| Mishap::Corrected { at_ns, cancel })
        } else {
            Mishap::None
        }
    }
}

/// A correction that is still to come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) at_ns: i64,
    pub(super) number: u32,
    pub(super) price: i64,
    pub(super) size: u32,
    pub(super) cancel: bool,
}
