#!/usr/bin/env python3
"""Computes every built-in report anew, with nothing of stockpipe's own, and compares.

    reports.py ticks --endpoint URL --bucket B --prefix P --day D --previous D --end-ns N --reports DIR
    reports.py bars --prices CSV --day D --previous D --reports DIR

`ticks` reads the lake's Parquet with boto3 and pyarrow; `bars` reads the file that was replayed with polars and knows
no tick. DIR has `<report>.csv` as `stockpipe report` printed it. Decimals, counts and dates must be equal; roots and
logarithms may differ by 1e-9, which is the last digit that is printed (2e-9 after two roundings).
Prints one JSON line; exits 1 on any difference.
"""

import argparse
import collections
import csv
import datetime
import io
import json
import math
import pathlib
import re
import sys
from decimal import ROUND_HALF_UP, Context, Decimal, setcontext

# Decimals of 38 digits and their products, without a rounding of our own.
setcontext(Context(prec=120))

TOLERANCE = {"realized", "realized_annual", "parkinson", "garman_klass"}
BUCKET_NS = 300 * 10**9
AUCTION = re.compile(r"(^|,) *[O56] *(,|$)")


def rounded(value, digits):
    """Half up, away from zero, as SQL rounds decimals."""
    return value.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)


def ratio(value, by, digits, inner=19):
    """A quotient as decimals are divided in Athena: at the scale of the operands, then of the column."""
    if value is None or not by:
        return None
    return rounded(rounded(value / by, inner), digits)


def scaled(ns, digits=6):
    return None if ns is None else Decimal(ns).scaleb(-digits)


def total(values):
    """Sum of what is there; nothing of nothing."""
    values = [v for v in values if v is not None]
    return sum(values) if values else None


def by(rows, *keys):
    groups = collections.defaultdict(list)
    for row in rows:
        groups[tuple(row[k] for k in keys)].append(row)
    return groups


def flag(tick, bit):
    return bool((tick["flags"] or 0) & bit)


def order(tick):
    return (tick["ts_event_ns"], tick["run"], tick["seq"])


# --- What stands: trades once, as corrections leave them -----------------------------------------


def standing(ticks):
    """Trades of regular sessions and bars; a trade is told once, as its last correction leaves it."""
    trades, corrections, stand = {}, {}, []
    for tick in sorted(ticks, key=order):
        if tick["kind"] == "bar":
            stand.append(tick)
        if tick["kind"] not in ("trade", "correction"):
            continue
        name = (tick["symbol"], tick["venue"], tick["trade_date"], tick["trade_id"])
        if tick["trade_id"] is None:
            name = (tick["run"], tick["symbol"], tick["seq"])
        if tick["kind"] == "trade":
            trades.setdefault(name, tick)
        else:
            corrections[name] = tick
    for name, trade in trades.items():
        told = corrections.get(name)
        if told is not None:
            if told["status"] == "cancel":
                continue
            trade = {
                **trade,
                "price": trade["price"] if told["price"] is None else told["price"],
                "size": trade["size"] if told["size"] is None else told["size"],
            }
        if trade["price"] is not None and trade["session"] in (None, "regular"):
            stand.append(trade)
    return sorted(stand, key=order)


def preferred(stand):
    """By symbol and currency: its trades where it has any, else its bars."""
    for key, rows in sorted(by(stand, "symbol", "currency").items(), key=lambda i: (i[0][0], i[0][1] or "\uffff")):
        trades = [r for r in rows if r["kind"] == "trade"]
        yield key, ("trades", trades) if trades else ("bars", rows)


def daily_ohlcv(stand):
    for (symbol, currency), (basis, rows) in preferred(stand):
        if basis == "bars":
            yield {
                "symbol": symbol, "currency": currency, "open": rows[0]["open"], "close": rows[-1]["close"],
                "high": max(r["high"] for r in rows), "low": min(r["low"] for r in rows),
                "volume": total(r["volume"] for r in rows), "vwap": None, "trades": None,
            }
            continue
        lasts = [r["price"] for r in rows if not flag(r, 1)]
        extremes = [r["price"] for r in rows if not flag(r, 2)]
        counted = [r for r in rows if not flag(r, 4) and r["size"] is not None]
        volume = total(r["size"] for r in counted)
        yield {
            "symbol": symbol, "currency": currency,
            "open": lasts[0] if lasts else None, "close": lasts[-1] if lasts else None,
            "high": max(extremes, default=None), "low": min(extremes, default=None),
            "volume": volume, "vwap": ratio(total(r["price"] * r["size"] for r in counted), volume, 9),
            "trades": len(rows),
        }


def vwap(stand, day):
    for (symbol, currency), (basis, rows) in preferred(stand):
        row = {"data_date": day, "symbol": symbol, "currency": currency, "basis": basis, "prints": len(rows)}
        if basis == "bars":
            volume = total(r["volume"] for r in rows)
            thrice = total((r["high"] + r["low"] + r["close"]) * r["volume"] for r in rows if r["volume"] is not None)
            yield {
                **row, "volume": volume, "vwap": ratio(thrice, volume and 3 * volume, 9), "continuous_vwap": None,
                "auction_volume": None, "turnover": ratio(thrice, 3, 9),
            }
            continue
        counted = [r for r in rows if not flag(r, 4) and r["size"] is not None]
        auction = [r for r in counted if AUCTION.search(r["conditions"] or "")]
        # A trade without conditions is one of continuous trading.
        continuous = [r for r in counted if not AUCTION.search(r["conditions"] or "")]
        volume = total(r["size"] for r in counted)
        turnover = total(r["price"] * r["size"] for r in counted)
        yield {
            **row, "volume": volume, "vwap": ratio(turnover, volume, 9), "turnover": turnover and rounded(turnover, 9),
            "continuous_vwap": ratio(
                total(r["price"] * r["size"] for r in continuous), total(r["size"] for r in continuous), 9
            ),
            "auction_volume": total(r["size"] for r in auction) or Decimal(0),
        }


def last_prices(stand):
    return {
        key: (rows[-1]["price"] if basis == "trades" else rows[-1]["close"])
        for key, (basis, rows) in preferred([r for r in stand if not flag(r, 1)])
    }


def top_movers(now, before, ticks, day, previous):
    splits = {}
    for tick in ticks:
        if tick["kind"] == "corporate_action" and tick["status"] == "split" and tick["size"] > 0:
            splits[tick["symbol"]] = max(tick["size"], splits.get(tick["symbol"], tick["size"]))
    closes, old = last_prices(now), last_prices(before)
    moves = collections.defaultdict(list)
    for symbol, currency in {**closes, **old}:
        close, was = closes.get((symbol, currency)), old.get((symbol, currency))
        split = splits.get(symbol)
        if was is not None:
            was = ratio(was, split or Decimal(1), 9, inner=10)
        change = None if close is None or was is None else close - was
        percent = ratio(100 * change, was, 6) if change is not None and was > 0 else None
        if close is None:
            move = "silent"
        elif was is None or was <= 0:
            move = "unknown"
        else:
            move = "up" if change > 0 else "down" if change < 0 else "unchanged"
        moves[move].append({
            "data_date": day, "previous_date": previous, "move": move, "symbol": symbol, "currency": currency,
            "close": close, "previous_close": was, "split": split, "change": change, "change_percent": percent,
        })
    for move in ("up", "down", "unknown", "silent"):
        found = sorted(moves[move], key=lambda r: (-abs(r["change_percent"] or 0), r["symbol"], r["currency"] or ""))
        for place, row in enumerate(found[:10], 1):
            yield {**row, "place": place, "symbols": len(found)}


def volatility(stand, day, a_year):
    for (symbol, currency), (basis, rows) in preferred(stand):
        if basis == "trades":
            rows = [r for r in rows if r["price"] > 0]
            points = [(r["ts_event_ns"], r["price"], r["price"]) for r in rows if not flag(r, 1)]
            extremes = [r["price"] for r in rows if not flag(r, 2)]
            high, low = max(extremes, default=None), min(extremes, default=None)
        else:
            rows = [r for r in rows if min(r["open"], r["high"], r["low"], r["close"]) > 0]
            points = [(r["ts_event_ns"], r["open"], r["close"]) for r in rows]
            high, low = max((r["high"] for r in rows), default=None), min((r["low"] for r in rows), default=None)
        if not points:
            continue
        samples = {ns // BUCKET_NS: last for ns, _, last in points}
        prices = [points[0][1], *samples.values()]
        variance = math.fsum(math.log(b / a) ** 2 for a, b in zip(prices, prices[1:]))
        spread = math.log(high / low) if high is not None else None
        move = math.log(prices[-1] / prices[0])
        yield {
            "data_date": day, "symbol": symbol, "currency": currency, "basis": basis, "returns": len(samples),
            "realized": math.sqrt(variance), "realized_annual": math.sqrt(variance * a_year) if a_year else None,
            "parkinson": None if spread is None else spread / math.sqrt(4 * math.log(2)),
            "garman_klass": None if spread is None else math.sqrt(
                max(spread**2 / 2 - (2 * math.log(2) - 1) * move**2, 0.0)
            ),
        }


# --- The quality of the data ----------------------------------------------------------------------

KINDS = {
    "trades": "trade", "quotes": "quote", "bars": "bar", "statuses": "status", "auctions": "auction",
    "corrections": "correction", "corporate_actions": "corporate_action", "gaps": "gap",
}


def holes(ticks, everything):
    """Numbers between the first and the last of a run's ticks that no tick has, and those that two have."""
    missing = doubled = 0
    all_numbers = {key: {t["seq"] for t in rows} for key, rows in by(everything, "run", "symbol").items()}
    for key, rows in by(ticks, "run", "symbol").items():
        numbers = [t["seq"] for t in rows]
        doubled += len(numbers) - len(set(numbers))
        missing += sum(1 for n in range(min(numbers), max(numbers) + 1) if n not in all_numbers[key])
    return missing, doubled


def quantile(sorted_values, percent):
    """The nearest rank."""
    return sorted_values[math.ceil(len(sorted_values) * percent / 100) - 1] if sorted_values else None


def halted(statuses, end_ns):
    last = 0
    statuses = sorted(statuses, key=order)
    for tick, after in zip(statuses, [*statuses[1:], None]):
        if tick["status"] == "halt" and tick["ts_event_ns"] < end_ns:
            last += min(after["ts_event_ns"] if after else end_ns, end_ns) - tick["ts_event_ns"]
    return last


def is_nonpositive(t):
    named = {"trade": ("price",), "quote": ("bid_price", "ask_price"), "bar": ("open", "high", "low", "close")}
    return any(t[c] is not None and t[c] <= 0 for c in named.get(t["kind"], ()))


def is_incomplete(t):
    lacks = {c: t[c] is None for c in ("price", "size", "open", "high", "low", "close", "trade_id")}
    return {
        "trade": lacks["price"] or lacks["size"],
        "quote": t["bid_price"] is None and t["ask_price"] is None,
        "bar": any(lacks[c] for c in ("open", "high", "low", "close")),
        "correction": lacks["trade_id"],
    }.get(t["kind"], False)


def data_quality(ticks, everything, day, end_ns, listed):
    groups = by(ticks, "symbol")
    trades = {(t["symbol"], t["venue"], t["trade_id"]) for t in ticks if t["kind"] == "trade"}
    for symbol in sorted({s for (s,) in groups} | set(listed)):
        rows = groups.get((symbol,), [])
        if not rows:
            yield {"data_date": day, "symbol": symbol, "ticks": 0, "verdict": "silent"}
            continue
        missing, doubled = holes(rows, [t for t in everything if t["symbol"] == symbol])
        late = 0
        for run in by([t for t in everything if t["symbol"] == symbol], "run").values():
            newest = -math.inf
            for tick in sorted(run, key=lambda t: t["seq"]):
                late += tick["ts_event_ns"] < newest and tick["trade_date"] == day
                newest = max(newest, tick["ts_event_ns"])
        numbers = [(t["run"], t["kind"], t["source_seq"]) for t in rows if t["source_seq"] is not None and t["kind"] != "gap"]
        delays = sorted(t["ts_recv_ns"] - t["ts_event_ns"] for t in rows if t["ts_recv_ns"] is not None)
        quotes = [
            t["bid_price"] - t["ask_price"]
            for t in rows if t["kind"] == "quote" and None not in (t["bid_price"], t["ask_price"])
        ]
        row = {
            "data_date": day, "symbol": symbol, "ticks": len(rows),
            **{name: sum(t["kind"] == kind for t in rows) for name, kind in KINDS.items()},
            "missing": missing, "doubled": doubled,
            "feed_missing": int(sum(t["size"] or 0 for t in rows if t["kind"] == "gap")),
            "feed_repeated": len(numbers) - len(set(numbers)),
            "late": late, "late_share": rounded(Decimal(late) / len(rows), 6),
            "delay_min_ms": scaled(delays[0]) if delays else None,
            "delay_p50_ms": scaled(quantile(delays, 50)), "delay_p99_ms": scaled(quantile(delays, 99)),
            "delay_max_ms": scaled(delays[-1]) if delays else None,
            "crossed": sum(q > 0 for q in quotes), "locked": sum(q == 0 for q in quotes),
            "nonpositive": sum(map(is_nonpositive, rows)), "incomplete": sum(map(is_incomplete, rows)),
            "orphan_corrections": sum(
                t["kind"] == "correction" and t["trade_id"] is not None
                and (t["symbol"], t["venue"], t["trade_id"]) not in trades
                for t in rows
            ),
            "halted_seconds": scaled(halted([t for t in rows if t["kind"] == "status"], end_ns), 9),
            "first_event": instant(min(t["ts_event_ns"] for t in rows)),
            "last_event": instant(max(t["ts_event_ns"] for t in rows)),
        }
        odd = ("feed_missing", "feed_repeated", "gaps", "crossed", "nonpositive", "incomplete", "orphan_corrections")
        row["verdict"] = "broken" if missing or doubled else "check" if any(row[c] for c in odd) else "good"
        yield row


def instant(ns):
    at = datetime.datetime.fromtimestamp(ns // 10**9, datetime.timezone.utc)
    return f"{at:%Y-%m-%d %H:%M:%S}.{ns % 10**9 // 10**6:03}"


# --- Comparison -----------------------------------------------------------------------------------


def read_report(folder, name):
    path = pathlib.Path(folder) / f"{name}.csv"
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def is_equal(column, got, want):
    if want is None:
        return got == ""
    if column in TOLERANCE:
        return got != "" and abs(float(got) - want) <= 2e-9
    if isinstance(want, (Decimal, int)):
        return got != "" and Decimal(got) == want
    return got == str(want)


def compare(folder, name, expected):
    """Rows and columns one by one; how many cells were compared."""
    found, expected = read_report(folder, name), list(expected)
    cells = 0
    assert len(found) == len(expected), f"{name}: {len(found)} rows, expected {len(expected)}"
    for number, (got, want) in enumerate(zip(found, expected), 1):
        unknown = set(want) - set(got)
        assert not unknown, f"{name} has no column {unknown}"
        for column, value in got.items():
            wanted = want.get(column)
            assert is_equal(column, value, wanted), f"{name} row {number} {column}: {value!r}, expected {wanted!r}: {got}"
            cells += 1
    return cells


# --- Where the data come from ---------------------------------------------------------------------


def lake(arguments):
    """Every tick of the lake, with the folder of its file."""
    import boto3
    import pyarrow.parquet as pq
    from botocore.config import Config

    s3 = boto3.client("s3", endpoint_url=arguments.endpoint, config=Config(s3={"addressing_style": "path"}))
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=arguments.bucket, Prefix=arguments.prefix + "/"):
        for item in page.get("Contents", []):
            body = s3.get_object(Bucket=arguments.bucket, Key=item["Key"])["Body"].read()
            folder = item["Key"].removeprefix(arguments.prefix + "/").rpartition("/")[0]
            for row in pq.read_table(io.BytesIO(body)).to_pylist():
                row["trade_date"] = str(row["trade_date"])
                row["folder"] = folder
                yield row


def reconciliation(folder, everything, day, first_ns, end_ns):
    """Rows of each directory that rows of the day may lie in; the numbers without a hole."""
    missing, doubled = holes(everything, everything)
    assert (missing, doubled) == (0, 0), (missing, doubled)
    rows = collections.Counter(
        t["folder"] for t in everything if first_ns <= hour_ns(t["folder"]) < end_ns
    )
    found = read_report(folder, "reconciliation")
    for row in found:
        # How many files there are is the lander's affair; that the rows are theirs is ours.
        assert int(row.pop("files")) > 0, row
    assert found == [
        {
            "data_date": day, "period": name, "sent_ticks": str(count), "claimed_rows": str(count),
            "landed_rows": str(count), "missing_ticks": "0", "doubled_ticks": "0", "verdict": "balanced",
        }
        for name, count in sorted(rows.items())
    ], (found, rows)
    return len(found) * 8


def hour_ns(folder):
    at = datetime.datetime.strptime(folder, "dt=%Y-%m-%d/hour=%H").replace(tzinfo=datetime.timezone.utc)
    return int(at.timestamp()) * 10**9


def of_ticks(arguments):
    everything = list(lake(arguments))
    day = [t for t in everything if t["trade_date"] == arguments.day]
    before = [t for t in everything if t["trade_date"] == arguments.previous]
    stand, stood = standing(day), standing(before)
    folder = arguments.reports
    cells = {
        "daily-ohlcv": compare(folder, "daily-ohlcv", daily_ohlcv(stand)),
        "vwap": compare(folder, "vwap", vwap(stand, arguments.day)),
        "top-movers": compare(
            folder, "top-movers", top_movers(stand, stood, day, arguments.day, arguments.previous)
        ),
        "volatility": compare(folder, "volatility", volatility(stand, arguments.day, 252)),
        "data-quality": compare(
            folder, "data-quality",
            data_quality(day, everything, arguments.day, arguments.end_ns, arguments.listed.split(",")),
        ),
        "reconciliation": reconciliation(folder, everything, arguments.day, arguments.first_ns, arguments.end_of_day_ns),
    }
    counts = collections.Counter(t["kind"] for t in day)
    late = sum(1 for t in day if (t["flags"] or 0) & 1)
    return {"cells": cells, "kinds": counts, "late_trades": late, "standing": len(stand)}


def of_bars(arguments):
    """Real prices: the expectation is made of columns by polars, and shares nothing with the one above."""
    import polars as pl

    frame = pl.read_csv(arguments.prices, infer_schema=False).with_columns(
        pl.col("Date").str.strptime(pl.Date, "%m/%d/%Y").alias("day"),
        *(pl.col(c).cast(pl.Decimal(38, 9)) for c in ("Open", "High", "Low", "Close")),
        *(pl.col(c).cast(pl.Float64).alias(f"f{c}") for c in ("Open", "High", "Low", "Close")),
        pl.col("Volume").cast(pl.Decimal(38, 10)),
    )
    log = lambda a, b: (pl.col(a) / pl.col(b)).log()  # noqa: E731  (three uses, one line each)
    spread, move = log("fHigh", "fLow"), log("fClose", "fOpen")
    frame = frame.with_columns(
        realized=move.abs(),
        realized_annual=move.abs() * math.sqrt(252),
        parkinson=spread / math.sqrt(4 * math.log(2)),
        garman_klass=(spread**2 / 2 - (2 * math.log(2) - 1) * move**2).sqrt(),
    )
    day = datetime.date.fromisoformat(arguments.day)
    previous = datetime.date.fromisoformat(arguments.previous)
    today = frame.filter(pl.col("day") == day).sort("Symbol").to_dicts()
    old = {r["Symbol"]: r["Close"] for r in frame.filter(pl.col("day") == previous).to_dicts()}
    dated = {"data_date": arguments.day, "currency": None, "basis": "bars"}
    expected_vwap = [
        {
            **dated, "symbol": r["Symbol"], "volume": r["Volume"], "prints": 1,
            "vwap": ratio((r["High"] + r["Low"] + r["Close"]) * r["Volume"], 3 * r["Volume"], 9),
            "turnover": ratio((r["High"] + r["Low"] + r["Close"]) * r["Volume"], 3, 9),
        }
        for r in today
    ]
    moves = collections.defaultdict(list)
    for r in today:
        was = old.get(r["Symbol"])
        change = None if was is None else r["Close"] - was
        move_of = "unknown" if was is None else "up" if change > 0 else "down" if change < 0 else "unchanged"
        moves[move_of].append({
            "data_date": arguments.day, "previous_date": arguments.previous, "move": move_of, "symbol": r["Symbol"],
            "currency": None, "close": r["Close"], "previous_close": was, "change": change,
            "change_percent": None if was is None else ratio(100 * change, was, 6),
        })
    movers = [
        {**row, "place": place, "symbols": len(moves[name])}
        for name in ("up", "down", "unknown")
        for place, row in enumerate(sorted(moves[name], key=lambda r: -abs(r["change_percent"] or 0)), 1)
    ]
    folder = arguments.reports
    ohlcv = [
        {
            "symbol": r["Symbol"], "currency": None, "volume": r["Volume"],
            **{c.lower(): r[c] for c in ("Open", "High", "Low", "Close")},
        }
        for r in today
    ]
    roots = [
        {**dated, "symbol": r["Symbol"], "returns": 1, **{c: r[c] for c in TOLERANCE}} for r in today
    ]
    cells = {
        "daily-ohlcv": compare(folder, "daily-ohlcv", ohlcv),
        "vwap": compare(folder, "vwap", expected_vwap),
        "top-movers": compare(folder, "top-movers", movers),
        "volatility": compare(folder, "volatility", roots),
    }
    quality = read_report(folder, "data-quality")
    assert [(r["symbol"], r["ticks"], r["bars"], r["verdict"]) for r in quality] == [
        (r["Symbol"], "1", "1", "good") for r in today
    ], quality
    balance = read_report(folder, "reconciliation")
    first = day.replace(day=1)
    rows = frame.filter(pl.col("day").dt.truncate("1mo") == first).height
    assert [(r["period"], r["sent_ticks"], r["claimed_rows"], r["landed_rows"], r["verdict"]) for r in balance] == [
        (f"month={day:%Y-%m}", str(rows), str(rows), str(rows), "balanced")
    ], (balance, rows)
    return {"day": arguments.day, "symbols": len(today), "cells": cells}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    for name, run in (("ticks", of_ticks), ("bars", of_bars)):
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        for flag_name in ("--day", "--previous", "--reports"):
            command.add_argument(flag_name, required=True)
        for flag_name in ("--endpoint", "--bucket", "--prefix", "--listed") if name == "ticks" else ("--prices",):
            command.add_argument(flag_name, required=True)
        if name == "ticks":
            # The session's end; the first and the last hour that its rows may lie in.
            for flag_name in ("--end-ns", "--first-ns", "--end-of-day-ns"):
                command.add_argument(flag_name, required=True, type=int)
    arguments = parser.parse_args()
    try:
        print(json.dumps(arguments.run(arguments)))
    except AssertionError as difference:
        sys.exit(str(difference))


if __name__ == "__main__":
    main()
