"""Compares every session of every calendar with exchange-calendars, 2000 to 2030.

    pip install -r tests/python/calendar-requirements.txt
    python3 tests/python/calendar_oracle.py target/debug/examples/calendar

The argument is the built example `calendar` of stockpipe-market. Every difference must be one that
EXCEPTIONS foresees with exactly these hours, and every exception must occur; else it exits with 1.
"""

import csv
import subprocess
import sys
from collections import Counter
from datetime import date, datetime, time, timezone
from zoneinfo import ZoneInfo

import exchange_calendars

FIRST, LAST = date(2000, 1, 1), date(2030, 12, 31)
CALENDARS = ["XNYS", "XNAS", "XLON", "XETR", "XTKS", "XPAR", "XHKG", "XASX", "XTSE", "XBOM", "24x7"]
# The oracle's names, where they are others.
ORACLES = {"24x7": "24/7"}


def at(text):
    return time.fromisoformat(text) if text else None


def hours(opening, lunch_from, lunch_to, close):
    return at(opening), at(lunch_from), at(lunch_to), at(close)


# Where the oracle applies one rule to all years and the exchange did not: (exchange, first and last
# date, hours of the oracle, hours of the exchange, which of the dates, source).
EXCEPTIONS = [
    (
        "XTKS lunch from 11:00 until November 2011",
        "XTKS",
        (date(2000, 1, 1), date(2011, 11, 18)),
        hours("09:00", "11:30", "12:30", "15:00"),
        hours("09:00", "11:00", "12:30", "15:00"),
        None,
        "TSE: longer morning session since 21 November 2011"
        " (postponed from May: tse.or.jp/english/news/20/110408_a.html)",
    ),
    (
        "XTKS mornings only at the year's two ends until January 2009",
        "XTKS",
        (date(2000, 1, 1), date(2009, 1, 5)),
        hours("09:00", "11:30", "12:30", "15:00"),
        hours("09:00", None, None, "11:00"),
        {date(2000, 1, 4), date(2000, 12, 29), date(2001, 1, 4), date(2001, 12, 28)}
        | {date(2002, 1, 4), date(2002, 12, 30), date(2003, 1, 6), date(2003, 12, 30)}
        | {date(2004, 1, 5), date(2004, 12, 30), date(2005, 1, 4), date(2005, 12, 30)}
        | {date(2006, 1, 4), date(2006, 12, 29), date(2007, 1, 4), date(2007, 12, 28)}
        | {date(2008, 1, 4), date(2008, 12, 30), date(2009, 1, 5)},
        "TSE: whole sessions since 30 December 2009 (media.rakuten-sec.net/articles/print/18698)",
    ),
    (
        "XHKG lunch 12:30-14:30 until March 2011",
        "XHKG",
        (date(2000, 1, 1), date(2011, 3, 4)),
        hours("10:00", "12:00", "13:00", "16:00"),
        hours("10:00", "12:30", "14:30", "16:00"),
        None,
        "HKEX news of 23 November 2010 (hkex.com.hk/News/News-Release/2010/101123news)",
    ),
    (
        "XHKG lunch 12:00-13:30 until March 2012",
        "XHKG",
        (date(2011, 3, 7), date(2012, 3, 2)),
        hours("09:30", "12:00", "13:00", "16:00"),
        hours("09:30", "12:00", "13:30", "16:00"),
        None,
        "HKEX news of 1 March 2012 (hkex.com.hk/news/news-release/2012/120301news)",
    ),
    (
        "XHKG mornings only on the eve of the Lunar New Year before 2013",
        "XHKG",
        (date(2000, 1, 1), date(2012, 12, 31)),
        hours("10:00", "12:00", "13:00", "16:00"),
        hours("10:00", None, None, "12:30"),
        {date(2001, 1, 23), date(2002, 2, 11), date(2004, 1, 21), date(2005, 2, 8)}
        | {date(2008, 2, 6), date(2011, 2, 2)},
        "HKEX news of 19 May 2008 names the half days (hkex.com.hk/News/News-Release/2008/0805192news)",
    ),
    (
        "XBOM Saturdays that the oracle's source lists and its schedule leaves out",
        "XBOM",
        (date(2024, 1, 20), date(2025, 2, 1)),
        None,
        hours("09:15", None, None, "15:30"),
        {date(2024, 1, 20), date(2025, 2, 1)},
        "BSE media release of 5 January 2024; Budget of 2025 (special_weekmasks of the oracle)",
    ),
]


def oracle(name):
    """Each session's hours on the exchange's clock, its zone, and the last date that is known."""
    name = ORACLES.get(name, name)
    klass = type(exchange_calendars.get_calendar(name))
    bound = klass.bound_max()
    last = LAST if bound is None else min(LAST, bound.date())
    calendar = exchange_calendars.get_calendar(name, start=str(FIRST), end=str(last))
    sessions = {}
    for day, row in calendar.schedule.iterrows():
        moments = [row["open"], row["break_start"], row["break_end"], row["close"]]
        sessions[day.date()] = [None if m is None or m != m else m.to_pydatetime() for m in moments]
    return sessions, calendar.tz, last


def ours(example, name, last):
    command = [example, name, str(FIRST), str(last)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    columns = ["open", "break_start", "break_end", "close"]
    sessions = {}
    for row in csv.DictReader(output.splitlines()):
        moments = [
            datetime.fromisoformat(row[column]) if row[column] else None for column in columns
        ]
        sessions[date.fromisoformat(row["date"])] = moments
    return sessions


def on_the_clock(day, moments, zone):
    """The local times of a session, which must all be of its date: the trade date."""
    if moments is None:
        return None
    local = [m and m.astimezone(zone) for m in moments]
    assert all(m is None or m.date() == day for m in local), f"{day} {moments}"
    return tuple(m and m.time() for m in local)


def explained(name, day, theirs, mine):
    for title, exchange, (first, last), before, after, days, _ in EXCEPTIONS:
        named = exchange == name and first <= day <= last and (days is None or day in days)
        if named and (theirs, mine) == (before, after):
            return title
    return None


def main():
    example = sys.argv[1]
    seen, wrong, compared = Counter(), [], 0
    print(f"exchange-calendars {exchange_calendars.__version__}")
    for name in CALENDARS:
        theirs, zone, last = oracle(name)
        mine = ours(example, name, last)
        zone = ZoneInfo(str(zone))
        differing, other_date = 0, 0
        for day in sorted(theirs.keys() | mine.keys()):
            if theirs.get(day) == mine.get(day):
                continue
            differing += 1
            pair = [on_the_clock(day, side.get(day), zone) for side in (theirs, mine)]
            title = explained(name, day, *pair)
            seen[title] += 1
            if title is None:
                wrong.append(f"{name} {day}: oracle {pair[0]}, stockpipe {pair[1]}")
        other_date = sum(m[0].astimezone(timezone.utc).date() != day for day, m in mine.items())
        compared += (last - FIRST).days + 1
        print(
            f"{name} {FIRST}..{last}: {len(mine)} sessions, {differing} differences,"
            f" {other_date} open on another UTC date"
        )
    for title, *_, days, source in EXCEPTIONS:
        print(f"{seen[title]:5} {title} [{source}]")
        if seen[title] == 0 or (days is not None and seen[title] != len(days)):
            wrong.append(f"exception `{title}` was met {seen[title]} times")
    print(f"{compared} days compared, {len(wrong)} unexplained differences")
    print("\n".join(wrong[:40]))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
