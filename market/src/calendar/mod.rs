//! Exchange sessions: on which dates a market trades, from when to when.
//!
//! Ten exchanges by their MIC, and `24x7`, of which every UTC day is a session. Trading days
//! follow from rules, a file an exchange, and where there are none from a table. Time-zone rules
//! come from the database built into the binary.

mod exchange;
mod feast;
mod hours;
#[cfg(test)]
mod tests;
mod xasx;
mod xbom;
mod xbom_holidays;
mod xetr;
mod xhkg;
mod xhkg_feasts;
mod xlon;
mod xnys;
mod xpar;
mod xtks;
mod xtse;

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

pub use hours::{Phase, PhaseSpan};

/// A market's calendar.
///
/// Hours are those of the exchange's clock today; see each exchange's file for earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Calendar {
    /// New York Stock Exchange: 09:30–16:00 America/New_York.
    Xnys,
    /// Nasdaq: as New York.
    Xnas,
    /// London Stock Exchange: 08:00–16:30 Europe/London.
    Xlon,
    /// Xetra, Frankfurt: 09:00–17:30 Europe/Berlin.
    Xetr,
    /// Tokyo Stock Exchange: 09:00–15:30 Asia/Tokyo, with lunch.
    Xtks,
    /// Euronext Paris: 09:00–17:30 Europe/Paris.
    Xpar,
    /// Stock Exchange of Hong Kong: 09:30–16:00 Asia/Hong_Kong, with lunch.
    Xhkg,
    /// Australian Securities Exchange: 10:00–16:00 Australia/Sydney.
    Xasx,
    /// Toronto Stock Exchange: 09:30–16:00 America/Toronto.
    Xtse,
    /// BSE, Bombay: 09:15–15:30 Asia/Kolkata.
    Xbom,
    /// `24x7`: a session is a UTC day, and there is one every day.
    AlwaysOpen,
}

/// A name that is no calendar's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown calendar `{0}`; write XNYS, XNAS, XLON, XETR, XTKS, XPAR, XHKG, XASX, XTSE, XBOM \
     (an exchange by its MIC) or 24x7"
)]
pub struct UnknownCalendar(String);

/// One session of a calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// The exchange's date: the trade date of what happens in it.
    pub date: Date,
    /// Its first instant, nanoseconds since 1970-01-01T00:00:00Z.
    pub open_ns: i64,
    /// The instant it ends, which no longer belongs to it. A closing auction may follow.
    pub close_ns: i64,
    /// The break of the middle of the day: its first instant, and the one it ends.
    pub lunch_ns: Option<(i64, i64)>,
    /// The instant at which continuous trading ends and the call of the closing auction begins: the
    /// close, where orders for the auction are gathered beside continuous trading; none, where the
    /// exchange has no such auction.
    pub closing_call_ns: Option<i64>,
    /// The instant of its last trade: of its closing auction where that comes after the close.
    pub last_trade_ns: i64,
}

impl Session {
    /// The instant at which continuous trading ends.
    pub fn trading_end_ns(&self) -> i64 {
        self.closing_call_ns.unwrap_or(self.close_ns)
    }

    /// Whether the instant lies in the session, lunch included.
    pub fn contains(&self, ns: i64) -> bool {
        (self.open_ns..self.close_ns).contains(&ns)
    }
}

/// The last year for which rules are followed: nanoseconds in 64 bits end in 2262.
const LAST_YEAR: i16 = 2199;

impl Calendar {
    /// Every calendar.
    pub const ALL: [Calendar; 11] = [
        Calendar::Xnys,
        Calendar::Xnas,
        Calendar::Xlon,
        Calendar::Xetr,
        Calendar::Xtks,
        Calendar::Xpar,
        Calendar::Xhkg,
        Calendar::Xasx,
        Calendar::Xtse,
        Calendar::Xbom,
        Calendar::AlwaysOpen,
    ];

    /// The calendar of that name: a MIC such as `XNYS`, or `24x7`.
    ///
    /// # Errors
    /// Where no calendar has that name.
    pub fn parse(name: &str) -> Result<Calendar, UnknownCalendar> {
        Calendar::ALL
            .into_iter()
            .find(|calendar| calendar.name() == name)
            .ok_or_else(|| UnknownCalendar(name.chars().take(32).collect()))
    }

    /// The calendar's name.
    pub fn name(self) -> &'static str {
        self.mic().unwrap_or("24x7")
    }

    /// What the calendar is of, in words.
    pub fn title(self) -> &'static str {
        self.exchange()
            .map_or("every UTC day", |exchange| exchange.title)
    }

    /// The MIC of the exchange (ISO 10383), if the calendar is one's.
    pub fn mic(self) -> Option<&'static str> {
        self.exchange().map(|exchange| exchange.mic)
    }

    /// The zone in which the exchange's clocks and dates are.
    pub fn time_zone(self) -> TimeZone {
        self.zone().clone()
    }

    fn zone(self) -> &'static TimeZone {
        static UTC: TimeZone = TimeZone::UTC;
        self.exchange()
            .map_or(&UTC, |exchange| exchange.time_zone())
    }

    /// The first date that the calendar knows. Dates before it, and after
    /// [`last_date`](Self::last_date), have no session.
    pub fn first_date(self) -> Date {
        self.exchange()
            .map_or(Date::constant(1700, 1, 1), |exchange| exchange.first_date())
    }

    /// The last date that the calendar knows: in 2199, but for Tokyo (2099: equinoxes), Hong Kong
    /// (2049: lunar feasts) and Bombay (2026: holidays announced).
    pub fn last_date(self) -> Date {
        self.exchange()
            .map_or(Date::constant(LAST_YEAR, 12, 31), |exchange| {
                exchange.last_date()
            })
    }

    /// The session of a date; `None` where the market is closed all day, or the calendar does
    /// not reach.
    pub fn session(self, date: Date) -> Option<Session> {
        let Some(exchange) = self.exchange() else {
            return (self.first_date()..=self.last_date())
                .contains(&date)
                .then(|| self.utc_day(date));
        };
        let hours = exchange.hours(date)?;
        let at = |time: Time| self.instant(date.to_datetime(time));
        Some(Session {
            date,
            open_ns: at(hours.open),
            close_ns: at(hours.close),
            lunch_ns: hours.lunch.map(|(from, to)| (at(from), at(to))),
            closing_call_ns: hours.closing_call().map(at),
            last_trade_ns: at(hours.last_trade()),
        })
    }

    /// A session of a market that never closes.
    fn utc_day(self, date: Date) -> Session {
        let close_ns = self.instant(start_of(next(date)));
        Session {
            date,
            open_ns: self.instant(start_of(date)),
            close_ns,
            lunch_ns: None,
            closing_call_ns: None,
            last_trade_ns: close_ns - 1,
        }
    }

    /// The phases of a date's session in their order, without gaps; empty where it has none.
    pub fn phases(self, date: Date) -> Vec<PhaseSpan> {
        let span = |phase, start_ns, end_ns| PhaseSpan {
            phase,
            start_ns,
            end_ns,
        };
        match self.exchange() {
            Some(exchange) => exchange.hours(date).map_or_else(Vec::new, |hours| {
                let at = |time: Time| self.instant(date.to_datetime(time));
                hours
                    .phases()
                    .map(|(phase, from, to)| span(phase, at(from), at(to)))
                    .collect()
            }),
            None => self
                .session(date)
                .map(|day| span(Phase::Continuous, day.open_ns, day.close_ns))
                .into_iter()
                .collect(),
        }
    }

    /// The phase at an instant; `None` where the exchange takes no orders.
    pub fn phase_at(self, ns: i64) -> Option<Phase> {
        let local = self.zone().to_datetime(timestamp(ns));
        match self.exchange() {
            Some(exchange) => exchange
                .hours(local.date())?
                .phases()
                .find(|(_, from, to)| (*from..*to).contains(&local.time()))
                .map(|(phase, ..)| phase),
            None => self.session(local.date()).map(|_| Phase::Continuous),
        }
    }

    /// The first session after a date.
    pub fn next_session(self, after: Date) -> Option<Session> {
        let mut date = after.max(previous(self.first_date()));
        while date < self.last_date() {
            date = next(date);
            if let Some(session) = self.session(date) {
                return Some(session);
            }
        }
        None
    }

    /// The last session before a date.
    pub fn previous_session(self, before: Date) -> Option<Session> {
        let mut date = before.min(next(self.last_date()));
        while date > self.first_date() {
            date = previous(date);
            if let Some(session) = self.session(date) {
                return Some(session);
            }
        }
        None
    }

    /// The exchange's date at an instant, session or not.
    pub fn local_date(self, ns: i64) -> Date {
        self.zone().to_datetime(timestamp(ns)).date()
    }

    /// The date that an instant counts for: the exchange's date if that has a session (before
    /// its open and after its close, too), else the next session's.
    ///
    /// Outside the dates that the calendar knows, it is the exchange's date.
    pub fn trade_date_at(self, ns: i64) -> Date {
        let date = self.local_date(ns);
        if date < self.first_date() || self.session(date).is_some() {
            return date;
        }
        self.next_session(date).map_or(date, |session| session.date)
    }

    /// The session that is open at an instant.
    pub fn session_at(self, ns: i64) -> Option<Session> {
        self.session(self.local_date(ns))
            .filter(|session| session.contains(ns))
    }

    /// The first session that closes after an instant: the one that is open, or the next.
    pub fn session_closing_after(self, ns: i64) -> Option<Session> {
        let date = self.local_date(ns);
        match self.session(date) {
            Some(session) if ns < session.close_ns => Some(session),
            _ => self.next_session(date),
        }
    }

    /// The newest session that had closed at an instant (closing just then counts).
    pub fn newest_closed_session(self, before_ns: i64) -> Option<Date> {
        let date = self.local_date(before_ns);
        match self.session(date) {
            Some(session) if session.close_ns <= before_ns => Some(date),
            _ => self.previous_session(date).map(|session| session.date),
        }
    }

    /// The half-open UTC range `(start_ns, end_ns)` of all instants whose
    /// [trade date](Self::trade_date_at) is the session's; `None` where the date has no session.
    ///
    /// It is what a query prunes by: from the midnight after the previous session's date to the
    /// midnight after this date, in the exchange's zone.
    pub fn window(self, date: Date) -> Option<(i64, i64)> {
        self.session(date)?;
        let first = self
            .previous_session(date)
            .map_or_else(|| self.first_date(), |session| next(session.date));
        Some((
            self.instant(start_of(first)),
            self.instant(start_of(next(date))),
        ))
    }

    /// The watermark that proves a session complete: when no tick with an event time before it
    /// is still to come, all of the session has. `None` where the date has no session.
    ///
    /// An exchange's closing status, closing auction and daily bars carry the instant of the close
    /// or of the last trade itself, so that it must have passed; a UTC day ends before the next
    /// begins.
    pub fn complete_at(self, date: Date) -> Option<i64> {
        self.session(date).map(|session| session.last_trade_ns + 1)
    }

    /// The event time of a session's daily bar: its last trade's, or the last nanosecond of a UTC
    /// day.
    pub fn daily_bar_at(self, date: Date) -> Option<i64> {
        self.session(date).map(|session| session.last_trade_ns)
    }

    /// The instant of a date and time of the exchange's clock. Of two instants (clocks set
    /// back) the first; for none (clocks set forward) as far after the gap.
    pub fn instant(self, local: DateTime) -> i64 {
        self.zone()
            .to_timestamp(local)
            .ok()
            .and_then(|instant| i64::try_from(instant.as_nanosecond()).ok())
            .unwrap_or(if local.year() < 1970 {
                i64::MIN
            } else {
                i64::MAX
            })
    }
}

impl FromStr for Calendar {
    type Err = UnknownCalendar;

    fn from_str(name: &str) -> Result<Self, UnknownCalendar> {
        Calendar::parse(name)
    }
}

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

fn timestamp(ns: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(ns)).expect("64 bits of nanoseconds are years 1677–2262")
}

fn start_of(date: Date) -> DateTime {
    date.at(0, 0, 0, 0)
}

fn next(date: Date) -> Date {
    date.tomorrow().unwrap_or(date)
}

fn previous(date: Date) -> Date {
    date.yesterday().unwrap_or(date)
}
