//! The ticks of a minute, which bridge to its grid.

use super::{Lane, Rules};
use crate::simulator::SECOND;
use crate::simulator::disorder::{Disturbance, Mishap, Pending};
use crate::simulator::draws::BELL_SD;
use crate::simulator::event::{Event, What};
use crate::simulator::factors::Factors;
use crate::tick::Side;

impl Lane {
    /// Makes the ticks before an instant of the minute.
    #[inline]
    pub(in crate::simulator) fn make(
        &mut self,
        rules: &Rules,
        factors: &Factors,
        index: usize,
        until: i64,
        events: &mut Vec<Event>,
    ) {
        while self.next_ns < until {
            let bits = self.ticks.bits();
            // 50 to 312 microseconds.
            let latency_ns = 50_000 + (bits >> 46) as u32;
            let what = if self.bid != 0 && (bits & 0xffff) < rules.trades {
                self.trade(rules, bits >> 16)
            } else {
                self.quote(rules, factors, bits >> 16)
            };
            let mut event = Event::new(self.next_ns, index, latency_ns, what);
            if let Some(disturbance) = &rules.disturbance {
                event = self.disturb(disturbance, rules, event);
                self.correct(index, self.next_ns, events);
            }
            events.push(event);
            self.arrivals
                .event((self.next_ns - self.last_ns) as f64 / SECOND as f64);
            self.last_ns = self.next_ns;
            self.next_ns = self.after_wait();
        }
        self.correct(index, until, events);
    }

    /// What comes upon a tick of this instant: it may be late, or corrected later.
    fn disturb(&mut self, disturbance: &Disturbance, rules: &Rules, event: Event) -> Event {
        let trade = match event.what {
            What::Trade {
                price,
                size,
                number,
                ..
            } => Some((price, size, number)),
            _ => None,
        };
        let Some(mishaps) = &mut self.mishaps else {
            return event;
        };
        match disturbance.mishap(mishaps, self.next_ns, trade.is_some()) {
            Mishap::Late(at_ns) => event.arriving_at(at_ns),
            Mishap::Corrected { at_ns, cancel } => {
                if let Some((price, size, number)) = trade {
                    let step = rules.ladder.band(price).2;
                    let price = if cancel {
                        price
                    } else {
                        rules.ladder.at_or_below((price - step).max(step))
                    };
                    let pending = Pending {
                        at_ns,
                        number,
                        price,
                        size,
                        cancel,
                    };
                    // The next one is the last of the list.
                    let place = self.pending.partition_point(|other| other.at_ns > at_ns);
                    self.pending.insert(place, pending);
                }
                event
            }
            Mishap::None => event,
        }
    }

    /// Tells the corrections that are due before an instant.
    #[inline]
    fn correct(&mut self, index: usize, until: i64, events: &mut Vec<Event>) {
        const LATENCY_NS: u32 = 100_000;
        while let Some(pending) = self.pending.pop_if(|pending| pending.at_ns < until) {
            let what = What::Correction {
                number: pending.number,
                price: pending.price,
                size: pending.size,
                cancel: pending.cancel,
            };
            events.push(Event::new(pending.at_ns, index, LATENCY_NS, what));
        }
    }

    /// The instant of the next tick.
    #[inline]
    pub(super) fn after_wait(&mut self) -> i64 {
        let wait = self.arrivals.wait(&mut self.ticks);
        let ns = libm::rint(wait.min(60.0) * SECOND as f64) as i64;
        self.last_ns + ns.max(1)
    }

    /// The mid at the instant of the next tick, in units of currency.
    #[inline]
    fn mid(&mut self, factors: &Factors) -> f64 {
        let at = self.next_ns as f64 / SECOND as f64;
        let (then, stood) = self.own_at;
        let (passed, left) = (at - then, 60.0 - then);
        // Trades since the last quote push the mid, as far as their signs were a surprise.
        let noise = self.ticks.bell() as f64 / BELL_SD;
        let push = match self.surprise {
            (_, 0) => noise,
            (sum, count) => {
                self.impact.0 * sum / libm::sqrt(f64::from(count)) + self.impact.1 * noise
            }
        };
        self.surprise = (0.0, 0);
        let sd = self.own_sd * libm::sqrt(passed * (left - passed).max(0.0) / left);
        let own = stood + (self.own_end - stood) * passed / left + sd * push;
        self.own_at = (at, own);
        let way = factors.way(self.sector);
        let second = at as usize;
        let part = at - second as f64;
        let shared = way[second] + (way[second + 1] - way[second]) * part;
        let jumped = if self.next_ns < self.jump.0 {
            0.0
        } else {
            self.jump.1
        };
        let log = self.scale * shared + self.drift * at / 60.0 + own + jumped;
        self.mid_then * grown(log)
    }

    /// A new bid and ask around the mid of this instant.
    #[inline]
    fn quote(&mut self, rules: &Rules, factors: &Factors, bits: u64) -> What {
        let mid = self.mid(factors);
        let steps = (mid * 1e9) as i64;
        if steps < self.band.0 || steps >= self.band.1 {
            let (from, until, step) = rules.ladder.band(steps);
            self.band = (from, until, step, 1e9 / step as f64);
        }
        let (from, until, step, per_unit) = self.band;
        let width = self.spread * mid * per_unit;
        // A quarter of the quotes is one step wider, on one side or the other.
        let wider = i64::from(bits & 3 == 0);
        let spread = libm::rint(width).max(1.0) as i64;
        let bid = libm::rint(mid * per_unit - 0.5 * spread as f64) as i64;
        let bid = (bid - wider * (bits >> 2 & 1) as i64).max(1);
        self.bid = bid * step;
        self.ask = (bid + spread + wider) * step;
        if self.bid < from || self.ask > until {
            // Across the edge of a band, where each side keeps its own step.
            self.bid = rules.ladder.at_or_below(self.bid);
            self.ask = rules
                .ladder
                .at_or_below(self.ask)
                .max(rules.ladder.above(self.bid));
        }
        let lot = self.state.lot;
        let sizes = |bits: u64| lot * (1 + (bits & 15) as u32);
        let unit = if lot == 1 { 100 } else { 1 };
        What::Quote {
            bid: self.bid,
            ask: self.ask,
            bid_size: unit * sizes(bits >> 3),
            ask_size: unit * sizes(bits >> 7),
        }
    }

    /// A trade within the quote of this instant.
    #[inline]
    fn trade(&mut self, rules: &Rules, bits: u64) -> What {
        let (side, surprise) = self.flow.trade(&mut self.ticks);
        self.surprise = (self.surprise.0 + surprise, self.surprise.1 + 1);
        let inside = bits & 7 == 0;
        let price = match side {
            // One of eight is between bid and ask, where there is room.
            _ if inside && self.ask - self.bid > self.band.2 && self.ask <= self.band.1 => {
                self.bid + (self.ask - self.bid) / self.band.2 / 2 * self.band.2
            }
            Side::Buy => self.ask,
            Side::Sell => self.bid,
        };
        let (ladder, lot) = (&rules.ladder, self.state.lot);
        let size = rules.sizes.draw(bits >> 3, lot, ladder.odd_lots);
        self.traded += 1;
        What::Trade {
            price,
            size,
            side,
            number: self.traded,
            odd: ladder.tells_odd_lots && size < lot,
        }
    }
}

/// e^x: a polynomial where that is exact to 1e-9.
#[inline]
fn grown(x: f64) -> f64 {
    if libm::fabs(x) < 0.04 {
        1.0 + x * (1.0 + x * (1.0 / 2.0 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x * (1.0 / 120.0)))))
    } else {
        libm::exp(x)
    }
}
