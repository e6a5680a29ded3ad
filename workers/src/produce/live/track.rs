//! The numbers of one symbol: ours, and the feed's own. Pure.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

use crate::produce::pace::Nanos;

/// A number below the last, of a trade that is so much later, is given anew: the feed has begun to count again.
pub const ANEW: Nanos = 60 * 1_000_000_000;
/// Most gaps of a symbol that a late trade may still fill.
const MOST_OPEN: usize = 8;

/// What is known of a symbol.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Track {
    /// Our next number.
    #[serde(rename = "n")]
    pub next_seq: u64,
    /// The feed's last number.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u64>,
    /// Event time of the newest trade.
    #[serde(rename = "t", default)]
    pub at: Nanos,
    /// Numbers that did not come, the last included.
    #[serde(rename = "m", default, skip_serializing_if = "Vec::is_empty")]
    open: Vec<(u64, u64)>,
    /// The number that the feed last told as its last.
    #[serde(skip)]
    told: Option<u64>,
    /// Whether all that is known of it was before the subscription.
    #[serde(skip)]
    before: bool,
}

/// What a trade's number says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is the next, or the first.
    Next,
    /// It came before.
    Again,
    /// It was missing, and comes late.
    Late,
    /// Numbers are missing before it.
    After(Missing),
    /// The feed has begun to count again, so that nobody knows what is missing.
    Anew,
}

/// Numbers that did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The first.
    pub first: u64,
    /// How many, at least 1.
    pub count: u64,
}

impl Track {
    /// Our next number, which is then given away.
    pub fn take_seq(&mut self) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        seq
    }

    /// Moves on behind numbers that the log tells of. What was missing before them is not waited for any more: the log
    /// does not tell which of it came late.
    pub fn go_on(&mut self, highest: u64, at: Nanos) {
        self.last = self.last.max(Some(highest));
        self.at = self.at.max(at);
        self.open.clear();
    }

    /// Takes the number of a trade that happened at `at`.
    pub fn trade(&mut self, number: u64, at: Nanos) -> Turn {
        self.before = false;
        let is_late = self.last.is_some_and(|last| number <= last) && self.fill(number);
        let turn = match self.last {
            _ if is_late => return Turn::Late,
            None => Turn::Next,
            Some(last) if number > last => match number - last - 1 {
                0 => Turn::Next,
                count => {
                    let missing = Missing {
                        first: last + 1,
                        count,
                    };
                    self.open(missing);
                    Turn::After(missing)
                }
            },
            Some(_) if at <= self.at.saturating_add(ANEW) => return Turn::Again,
            Some(_) => {
                self.open.clear();
                self.told = None;
                Turn::Anew
            }
        };
        self.last = Some(number);
        self.at = self.at.max(at);
        turn
    }

    /// Takes the number of a trade that may be of before the subscription. Of a symbol of which nothing is known it is
    /// nobody's gap and no tick: then `None`.
    pub fn past(&mut self, number: u64, at: Nanos) -> Option<Turn> {
        if self.last.is_none() || self.before {
            self.before = true;
            self.last = self.last.max(Some(number));
            self.at = self.at.max(at);
            return None;
        }
        Some(self.trade(number, at))
    }

    /// A subscription stands again: what comes from now on was not before it.
    pub fn subscribed(&mut self) {
        self.before = false;
    }

    /// Takes what the feed says is the number of its last trade. What is missing is told at the second time, since the
    /// trade itself may be on its way.
    pub fn told(&mut self, number: u64) -> Option<Missing> {
        let last = *self.last.get_or_insert(number);
        let told = self.told.replace(number)?;
        if told <= last {
            return None;
        }
        let missing = Missing {
            first: last + 1,
            count: told - last,
        };
        self.last = Some(told);
        self.open(missing);
        Some(missing)
    }

    fn open(&mut self, missing: Missing) {
        if self.open.len() == MOST_OPEN {
            self.open.remove(0);
        }
        self.open
            .push((missing.first, missing.first + missing.count - 1));
    }

    /// Whether `number` was missing; now it is not.
    fn fill(&mut self, number: u64) -> bool {
        let Some(at) = self
            .open
            .iter()
            .position(|(first, last)| (*first..=*last).contains(&number))
        else {
            return false;
        };
        let (first, last) = self.open.remove(at);
        if number < last {
            self.open.insert(at, (number + 1, last));
        }
        if first < number {
            self.open.insert(at, (first, number - 1));
        }
        true
    }
}

/// What came lately, of trades that have a name but no number: the same comes again where connections overlap.
#[derive(Default)]
pub struct Recent {
    order: VecDeque<u64>,
    known: HashSet<u64>,
}

/// Trades that are remembered.
const REMEMBERED: usize = 1 << 16;

impl Recent {
    /// Whether `key` is new.
    pub fn is_new(&mut self, key: impl Hash) -> bool {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let hash = hasher.finish();
        if !self.known.insert(hash) {
            return false;
        }
        self.order.push_back(hash);
        if self.order.len() > REMEMBERED
            && let Some(old) = self.order.pop_front()
        {
            self.known.remove(&old);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Nanos = 1_000_000_000;

    fn after(first: u64, count: u64) -> Turn {
        Turn::After(Missing { first, count })
    }

    #[test]
    fn numbers_that_did_not_come_are_counted_and_may_come_late() {
        let mut track = Track::default();
        for (number, at, expected) in [
            (10, 100, Turn::Next),
            (11, 101, Turn::Next),
            (11, 101, Turn::Again),
            (15, 105, after(12, 3)),
            (13, 103, Turn::Late),
            (13, 103, Turn::Again),
            (12, 102, Turn::Late),
            (14, 104, Turn::Late),
            (14, 104, Turn::Again),
            (9, 99, Turn::Again),
            (16, 106, Turn::Next),
            (7, 110, Turn::Again),
            (7, 170, Turn::Anew),
            (8, 170, Turn::Next),
        ] {
            assert_eq!(track.trade(number, at * S), expected, "{number} at {at}");
        }
    }

    #[test]
    fn a_heartbeat_tells_a_gap_only_where_the_trade_does_not_follow() {
        let mut track = Track::default();
        assert_eq!(track.told(5), None, "nothing is known yet");
        track.trade(6, S);
        assert_eq!(track.told(8), None, "7 and 8 may be on their way");
        track.trade(7, S);
        track.trade(8, S);
        assert_eq!(track.told(10), None);
        let missing = Missing { first: 9, count: 2 };
        assert_eq!(track.told(10), Some(missing));
        assert_eq!(track.told(10), None, "once");
        assert_eq!(track.trade(10, 2 * S), Turn::Late);
        assert_eq!(track.trade(11, 2 * S), Turn::Next);
    }

    #[test]
    fn what_was_before_the_subscription_tells_only_the_number() {
        let mut track = Track::default();
        assert_eq!((track.past(8, S), track.past(7, S)), (None, None));
        assert_eq!(track.trade(9, S), Turn::Next);
        assert_eq!(track.past(9, S), Some(Turn::Again), "now it is known");

        let mut track = Track::default();
        track.past(8, S);
        track.subscribed();
        let missing = after(9, 1);
        assert_eq!(
            track.past(10, S),
            Some(missing),
            "it came while we were away"
        );
    }

    #[test]
    fn what_is_known_of_a_symbol_survives_a_checkpoint() {
        let mut track = Track::default();
        track.trade(1, S);
        track.trade(5, S);
        track.take_seq();
        let text = serde_json::to_string(&track).unwrap();
        let mut again: Track = serde_json::from_str(&text).unwrap();
        assert_eq!(again, track);
        assert_eq!(again.trade(3, S), Turn::Late);
    }

    #[test]
    fn what_came_lately_is_known_and_bounded() {
        let mut recent = Recent::default();
        assert!(recent.is_new(("AAPL", 1)));
        assert!(!recent.is_new(("AAPL", 1)));
        assert!(recent.is_new(("MSFT", 1)));
        for n in 0..REMEMBERED {
            recent.is_new(("X", n));
        }
        assert!(recent.is_new(("AAPL", 1)), "forgotten");
        assert!(recent.known.len() <= REMEMBERED);
    }
}
