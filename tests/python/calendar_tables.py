"""Writes the tables of holidays that follow the moon or an exchange's yearly notice.

    pip install -r tests/python/calendar-requirements.txt
    python3 tests/python/calendar_tables.py market/src/calendar && cargo fmt -p stockpipe-market

The dates are those of exchange-calendars (Apache-2.0), which gathered them from the exchanges'
notices and from the lunisolar calendar.
"""

import sys
from pathlib import Path

import exchange_calendars
from exchange_calendars import lunisolar_holidays
from exchange_calendars.exchange_calendar_xbom import precomputed_bse_holidays

FIRST_YEAR = 2000

# Of 2034 the oracle's lunar months are one too early: 2033 has its leap month after the eleventh
# (the "2033 problem"), not after the seventh. By the new moons of 18 May, 16 June, 13 September
# and 12 October 2034 (Chinese time) the feasts are these.
CORRECTIONS = {2034: {2: "525", 3: "620", 4: "927", 5: "1020"}}
HEADER = """//! {what}
//!
//! Written by `tests/python/calendar_tables.py` from exchange-calendars {version}
//! (<https://github.com/gerrymanoim/exchange_calendars>, Apache-2.0).

/// The year of the first row.
pub(super) const FIRST_YEAR: i16 = {first};

"""


def month_day(date):
    return str(date.month * 100 + date.day)


def header(what):
    return HEADER.format(what=what, version=exchange_calendars.__version__, first=FIRST_YEAR)


def hong_kong():
    columns = [
        lunisolar_holidays.chinese_lunar_new_year_dates,
        lunisolar_holidays.qingming_festival_dates,
        lunisolar_holidays.chinese_buddhas_birthday_dates,
        lunisolar_holidays.dragon_boat_festival_dates,
        lunisolar_holidays.mid_autumn_festival_dates,
        lunisolar_holidays.double_ninth_festival_dates,
    ]
    by_year = [{date.year: month_day(date) for date in column} for column in columns]
    last = min(max(column) for column in by_year)
    for year, corrected in CORRECTIONS.items():
        for column, day in corrected.items():
            by_year[column][year] = day
    rows = [[column[year] for column in by_year] for year in range(FIRST_YEAR, last + 1)]
    text = header("The lunar feasts that Hong Kong observes, a row a year.")
    text += "/// Of each year month × 100 + day of the Lunar New Year, Ching Ming, Buddha's Birthday,\n"
    text += "/// Tuen Ng, Mid-Autumn and Chung Yeung.\n"
    text += f"pub(super) const FEASTS: [[u16; 6]; {len(rows)}] = [\n"
    return text + "".join(f"    [{', '.join(row)}],\n" for row in rows) + "];\n"


def bombay():
    weekdays = [date for date in precomputed_bse_holidays if date.weekday() < 5]
    years = range(FIRST_YEAR, max(date.year for date in weekdays) + 1)
    text = header("The weekdays on which BSE did not open, a row a year.")
    text += "/// Of each year month × 100 + day of its holidays, sorted.\n"
    text += f"pub(super) const HOLIDAYS: [&[u16]; {len(years)}] = [\n"
    for year in years:
        days = sorted({date for date in weekdays if date.year == year})
        text += f"    &[{', '.join(month_day(date) for date in days)}],\n"
    return text + "];\n"


def main():
    folder = Path(sys.argv[1])
    (folder / "xhkg_feasts.rs").write_text(hong_kong())
    (folder / "xbom_holidays.rs").write_text(bombay())


if __name__ == "__main__":
    main()
