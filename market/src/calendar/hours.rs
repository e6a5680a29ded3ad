//! The hours of one session on the exchange's clock, and the phases they consist of.

use jiff::civil::Time;

/// What an exchange does with orders in a part of its day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Orders are taken; nothing trades.
    PreOpen,
    /// The call of the opening auction, which is crossed at its end: the open.
    ///
    /// Where an exchange only takes orders and opens at one price (NYSE, Nasdaq, Toronto, Tokyo,
    /// Paris, Sydney), its auction is the end of [`PreOpen`](Self::PreOpen).
    OpeningAuction,
    /// Orders meet as they come.
    Continuous,
    /// The break of the middle of the day.
    Lunch,
    /// The call of the closing auction, which is crossed at its end.
    ///
    /// Where an exchange crosses at the close what was gathered beside continuous trading (NYSE,
    /// Nasdaq, Toronto), there is no such phase.
    ClosingAuction,
}

/// A phase of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhaseSpan {
    /// What the exchange does.
    pub phase: Phase,
    /// Its first instant, nanoseconds since 1970-01-01T00:00:00Z.
    pub start_ns: i64,
    /// The instant it ends, which no longer belongs to it.
    pub end_ns: i64,
}

/// The hours of a session, on the exchange's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hours {
    orders_from: Time,
    opening_call: Option<Time>,
    pub(super) open: Time,
    pub(super) lunch: Option<(Time, Time)>,
    closing_auction: Option<(Time, Time)>,
    pub(super) close: Time,
}

/// A time of day.
pub(super) const fn at(hour: i8, minute: i8) -> Time {
    Time::constant(hour, minute, 0, 0)
}

impl Hours {
    /// Continuous trading from the open to the close, and nothing else.
    pub(super) const fn new(open: Time, close: Time) -> Hours {
        Hours {
            orders_from: open,
            opening_call: None,
            open,
            lunch: None,
            closing_auction: None,
            close,
        }
    }

    /// Orders are taken from this time on.
    pub(super) const fn orders_from(self, orders_from: Time) -> Hours {
        Hours {
            orders_from,
            ..self
        }
    }

    /// The opening auction's call begins.
    pub(super) const fn opening_call(self, call: Time) -> Hours {
        Hours {
            opening_call: Some(call),
            ..self
        }
    }

    /// Trading pauses.
    pub(super) const fn lunch(self, from: Time, to: Time) -> Hours {
        Hours {
            lunch: Some((from, to)),
            ..self
        }
    }

    /// The closing auction's call begins, and is crossed: at the close or after it. Where orders are
    /// gathered beside continuous trading, the call has no time of its own: both are the close.
    pub(super) const fn closing_auction(self, call: Time, cross: Time) -> Hours {
        Hours {
            closing_auction: Some((call, cross)),
            ..self
        }
    }

    /// The time at which continuous trading ends and the closing auction's call begins, where the
    /// exchange has such an auction.
    pub(super) fn closing_call(&self) -> Option<Time> {
        self.closing_auction.map(|(call, _)| call)
    }

    /// The time after which nothing more trades: that of the closing auction where it comes
    /// after the close.
    pub(super) fn last_trade(&self) -> Time {
        self.closing_auction
            .map_or(self.close, |(_, cross)| cross.max(self.close))
    }

    /// The phases in their order, without gaps.
    pub(super) fn phases(&self) -> impl Iterator<Item = (Phase, Time, Time)> + use<> {
        let call = self.opening_call.unwrap_or(self.open);
        let end = self.closing_auction.map_or(self.close, |(call, _)| call);
        let (lunch_from, lunch_to) = self.lunch.unwrap_or((end, end));
        [
            (Phase::PreOpen, self.orders_from.min(call), call),
            (Phase::OpeningAuction, call, self.open),
            (Phase::Continuous, self.open, lunch_from),
            (Phase::Lunch, lunch_from, lunch_to),
            (Phase::Continuous, lunch_to, end),
            (Phase::ClosingAuction, end, self.last_trade()),
        ]
        .into_iter()
        .filter(|(_, from, to)| from < to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_follow_each_other_and_those_an_exchange_lacks_are_left_out() {
        let plain = Hours::new(at(9, 30), at(16, 0));
        assert_eq!(
            plain.phases().collect::<Vec<_>>(),
            [(Phase::Continuous, at(9, 30), at(16, 0))]
        );
        assert_eq!(plain.last_trade(), at(16, 0));
        let full = Hours::new(at(9, 30), at(16, 0))
            .orders_from(at(8, 0))
            .opening_call(at(9, 0))
            .lunch(at(12, 0), at(13, 0))
            .closing_auction(at(16, 0), at(16, 10));
        assert_eq!(
            full.phases().collect::<Vec<_>>(),
            [
                (Phase::PreOpen, at(8, 0), at(9, 0)),
                (Phase::OpeningAuction, at(9, 0), at(9, 30)),
                (Phase::Continuous, at(9, 30), at(12, 0)),
                (Phase::Lunch, at(12, 0), at(13, 0)),
                (Phase::Continuous, at(13, 0), at(16, 0)),
                (Phase::ClosingAuction, at(16, 0), at(16, 10)),
            ]
        );
        assert_eq!(full.last_trade(), at(16, 10));
        let within = Hours::new(at(9, 0), at(15, 30)).closing_auction(at(15, 25), at(15, 30));
        assert_eq!(within.last_trade(), at(15, 30));
        assert_eq!(
            within.phases().last(),
            Some((Phase::ClosingAuction, at(15, 25), at(15, 30)))
        );
    }
}
