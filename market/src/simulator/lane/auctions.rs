//! What happens at the instant at which a minute begins: phases, halts and auctions.

use super::{Lane, Rules};
use crate::simulator::block::{Block, Part, has_status};
use crate::simulator::draws::Purpose;
use crate::simulator::event::{Auction, Event, Status, What};

/// Share of the day's volume that the closing and the opening auction print.
const CLOSING_SHARE: f64 = 0.08;
const OPENING_SHARE: f64 = 0.015;
/// Minutes before a closing auction without a call of its own in which it is told of, each minute.
const INDICATIONS: i64 = 10;

impl Lane {
    /// What happens at the instant at which a block begins, in its order.
    pub(in crate::simulator) fn start(
        &mut self,
        rules: &Rules,
        index: usize,
        block: &Block,
        events: &mut Vec<Event>,
    ) {
        let halt = self.state.halt;
        let has_auctions = has_status(rules.calendar);
        let closing_call_ns = block.session.closing_call_ns;
        let mut all = Vec::new();
        if block.opens_session() && has_auctions {
            all.extend(self.action.take().map(What::Corporate));
            all.push(What::Status(Status::Open));
            if !halt.halted() {
                self.auction(rules, block.day(), Auction::Opening, &mut all);
            }
        }
        if halt.begins() {
            all.push(What::Status(Status::Halt));
        } else if halt.resumes() {
            all.push(What::Status(Status::Resume));
            // What resumes in a call, or at its end, is crossed there.
            if block.is_trading() {
                self.auction(rules, block.day(), Auction::Reopening, &mut all);
            }
        }
        match block.part {
            Part::Trading if closing_call_ns == Some(block.session.last_trade_ns) => {
                let left = block.minutes_left();
                if (1..=INDICATIONS).contains(&left) && !halt.halted() {
                    all.push(self.indication(rules, block.day(), (left, INDICATIONS)));
                }
            }
            Part::Trading => {}
            Part::Call => {
                if let (Some(call), false) = (block.call(), halt.halted()) {
                    all.push(self.indication(rules, block.day(), call));
                }
            }
            Part::End => {
                if closing_call_ns.is_some() && !halt.halted() {
                    self.auction(rules, block.day(), Auction::Closing, &mut all);
                }
                all.push(What::Status(Status::Close));
            }
        }
        let placed = (0..).zip(all);
        events.extend(placed.map(|(place, what)| Event::at_start(place, index, what)));
    }

    /// An auction at the mid: its record and its print.
    fn auction(&mut self, rules: &Rules, day: u64, at: Auction, events: &mut Vec<What>) {
        let (price, size, imbalance) = self.cross(rules, day, at, 1.0);
        self.traded += 1;
        events.push(What::Cross {
            price,
            size,
            imbalance,
            at,
            indicative: false,
        });
        events.push(What::Auction {
            price,
            size,
            at,
            number: self.traded,
        });
    }

    /// What the closing auction would be, with so many minutes left of so many: interest gathers.
    fn indication(&self, rules: &Rules, day: u64, (left, of): (i64, i64)) -> What {
        let gathered = 1.0 - left as f64 / (of + 2) as f64;
        let (price, size, imbalance) = self.cross(rules, day, Auction::Closing, gathered);
        What::Cross {
            price,
            size,
            imbalance,
            at: Auction::Closing,
            indicative: true,
        }
    }

    /// Price, size and imbalance of an auction of which a part has gathered: at the mid, of a share
    /// of the day's usual volume; what is left over shrinks as the other side comes.
    fn cross(&self, rules: &Rules, day: u64, at: Auction, gathered: f64) -> (i64, u32, i32) {
        let ladder = &rules.ladder;
        let mid = (self.mid_then * 1e9) as i64;
        let step = ladder.band(mid).2;
        let number = day * 3 + at as u64;
        let mut draws = self.key.draws(Purpose::Auction, number);
        let luck = libm::exp(0.3 * draws.normal());
        let share = match at {
            Auction::Closing => CLOSING_SHARE,
            Auction::Opening | Auction::Reopening => OPENING_SHARE,
        };
        let trades = self.rate * rules.model.trades * 60.0 * rules.minutes;
        let lot = self.state.lot;
        let size = trades * rules.sizes.mean(lot, ladder.odd_lots) * share * luck;
        let most = 1e9 / f64::from(lot);
        let lots = |size: f64| libm::rint(size / f64::from(lot)).clamp(-most, most);
        let left = size * draws.normal() * (0.05 + 0.4 * (1.0 - gathered));
        (
            ladder.at_or_below(mid + step / 2),
            lots(size * gathered).max(1.0) as u32 * lot,
            lots(left) as i32 * lot as i32,
        )
    }
}
