//! The exchanges: what names them, where their clocks are, and their days, compiled.

use std::sync::OnceLock;

use jiff::civil::{Date, Time};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::hours::{Hours, at};
use super::{Calendar, LAST_YEAR, next, xasx, xbom, xetr, xhkg, xlon, xnys, xpar, xtks, xtse};
use crate::date::epoch_days;

/// An exchange with sessions and closed days.
pub(super) struct Exchange {
    pub(super) mic: &'static str,
    pub(super) title: &'static str,
    zone_name: &'static str,
    first_year: i16,
    last_year: i16,
    rules: fn(Date) -> Option<Hours>,
    zone: OnceLock<TimeZone>,
    days: OnceLock<Days>,
}

/// What every date of a calendar is, one byte a date: rules are asked once, not at each look-up.
struct Days {
    /// 0: closed; else 1 + an index into `hours`.
    kinds: Vec<u8>,
    /// The different hours that sessions have.
    hours: Vec<Hours>,
}

impl Exchange {
    const fn new(
        mic: &'static str,
        title: &'static str,
        zone_name: &'static str,
        (first_year, last_year): (i16, i16),
        rules: fn(Date) -> Option<Hours>,
    ) -> Exchange {
        Exchange {
            mic,
            title,
            zone_name,
            first_year,
            last_year,
            rules,
            zone: OnceLock::new(),
            days: OnceLock::new(),
        }
    }

    pub(super) fn first_date(&self) -> Date {
        Date::constant(self.first_year, 1, 1)
    }

    pub(super) fn last_date(&self) -> Date {
        Date::constant(self.last_year, 12, 31)
    }

    pub(super) fn time_zone(&self) -> &TimeZone {
        self.zone.get_or_init(|| {
            TimeZoneDatabase::bundled()
                .get(self.zone_name)
                .expect("the bundled database has every zone")
        })
    }

    /// The hours of a date; `None` where the exchange is closed or the calendar does not reach.
    pub(super) fn hours(&self, date: Date) -> Option<&Hours> {
        let days = self.days.get_or_init(|| self.compile());
        let index = epoch_days(date) - epoch_days(self.first_date());
        let kind = *days.kinds.get(usize::try_from(index).ok()?)?;
        days.hours.get(usize::from(kind).checked_sub(1)?)
    }

    fn compile(&self) -> Days {
        let mut days = Days {
            kinds: Vec::new(),
            hours: Vec::new(),
        };
        let (mut date, last) = (self.first_date(), self.last_date());
        while date <= last {
            let kind = (self.rules)(date).map_or(0, |hours| {
                let known = days.hours.iter().position(|other| *other == hours);
                let index = known.unwrap_or_else(|| {
                    days.hours.push(hours);
                    days.hours.len() - 1
                });
                u8::try_from(index + 1).expect("an exchange has few kinds of days")
            });
            days.kinds.push(kind);
            date = next(date);
        }
        days
    }
}

impl Calendar {
    /// The exchange whose calendar it is.
    pub(super) fn exchange(self) -> Option<&'static Exchange> {
        Some(match self {
            Calendar::Xnys => &XNYS,
            Calendar::Xnas => &XNAS,
            Calendar::Xlon => &XLON,
            Calendar::Xetr => &XETR,
            Calendar::Xtks => &XTKS,
            Calendar::Xpar => &XPAR,
            Calendar::Xhkg => &XHKG,
            Calendar::Xasx => &XASX,
            Calendar::Xtse => &XTSE,
            Calendar::Xbom => &XBOM,
            Calendar::AlwaysOpen => return None,
        })
    }
}

/// Trading until a close at which the orders for it are crossed.
const fn in_new_york(close: Time) -> Hours {
    Hours::new(at(9, 30), close).closing_auction(close, close)
}

static XNYS: Exchange = Exchange::new(
    "XNYS",
    "New York Stock Exchange",
    "America/New_York",
    (xnys::FIRST_YEAR, LAST_YEAR),
    |date| Some(in_new_york(xnys::close(date)?).orders_from(at(6, 30))),
);

/// Nasdaq keeps the trading days of the New York Stock Exchange; its orders begin earlier.
static XNAS: Exchange = Exchange::new(
    "XNAS",
    "Nasdaq",
    "America/New_York",
    (xnys::FIRST_YEAR, LAST_YEAR),
    |date| Some(in_new_york(xnys::close(date)?).orders_from(at(4, 0))),
);

static XLON: Exchange = Exchange::new(
    "XLON",
    "London Stock Exchange",
    "Europe/London",
    (2000, LAST_YEAR),
    xlon::hours,
);

static XETR: Exchange = Exchange::new(
    "XETR",
    "Xetra, Frankfurt",
    "Europe/Berlin",
    (2000, LAST_YEAR),
    xetr::hours,
);

static XTKS: Exchange = Exchange::new(
    "XTKS",
    "Tokyo Stock Exchange",
    "Asia/Tokyo",
    (2000, 2099),
    xtks::hours,
);

static XPAR: Exchange = Exchange::new(
    "XPAR",
    "Euronext Paris",
    "Europe/Paris",
    (2000, LAST_YEAR),
    xpar::hours,
);

static XHKG: Exchange = Exchange::new(
    "XHKG",
    "Stock Exchange of Hong Kong",
    "Asia/Hong_Kong",
    (2000, 2049),
    xhkg::hours,
);

static XASX: Exchange = Exchange::new(
    "XASX",
    "Australian Securities Exchange, Sydney",
    "Australia/Sydney",
    (2000, LAST_YEAR),
    xasx::hours,
);

static XTSE: Exchange = Exchange::new(
    "XTSE",
    "Toronto Stock Exchange",
    "America/Toronto",
    (2000, LAST_YEAR),
    xtse::hours,
);

static XBOM: Exchange = Exchange::new(
    "XBOM",
    "BSE, Bombay",
    "Asia/Kolkata",
    (2000, 2026),
    xbom::hours,
);
