"""Checks the simulator's gates with code of others (numpy, scipy, statsmodels).

    cargo run -p stockpipe-market --example gates -- --seeds 1 --model-only --export DIR
    python3 tests/python/market_gates.py DIR [--plots PNG]

Rebuilds one day's one-minute bars from the raw ticks and requires equality, holds every tick of a
market in which much goes wrong to the rules, then computes every statistic anew and compares it
with its bound and with what the tool printed (gates.csv). With STOCKPIPE_PRICES, a folder of daily
prices (*-daily.csv.gz with Date and Close), it prints their statistics beside the model's.
"""

import argparse
import csv
import gzip
import os
import pathlib
import sys
from decimal import Decimal

import numpy as np
from scipy import stats
from statsmodels.tsa.stattools import acf

MINUTES, BUCKETS = 390, 78
FIRST = 60 * BUCKETS
PRICES = ("open", "high", "low", "close")

# name: (least, greatest, how far this estimator may be from the tool's)
BOUNDS = {
    "kurtosis": (3, 50, 0.02),
    "hill": (2, 5, 0.02),
    "acf r": (0, 0.05, 0.01),
    "acf |r| 1 h": (0.1, np.inf, 0.02),
    "acf |r| 1 d": (0.03, np.inf, 0.02),
    "decay": (0.1, 0.5, 0.05),
    "taylor": (0.02, np.inf, 0.02),
    "aggregation": (0, 1, 0.02),
    "daily r/RV": (-1, 0.5, 0.02),
    "volume-volatility": (0.2, np.inf, 0.02),
    "edge / midday": (1.5, 5, 0.02),
    "fano": (3, np.inf, 0.02),
    "self-excitation": (1.2, np.inf, 0.02),
    "durations": (1.3, np.inf, 0.02),
    "bounce": (-0.5, -0.05, 0.02),
    "signs acf": (0.1, 0.6, 0.02),
    "signs slope": (0.3, 0.8, 0.05),
    "impact": (0.03, 0.5, 0.02),
    "leverage": (-1, -0.02, 0.02),
    "correlation": (0, 0.1, 0.02),
    "epps": (0, 0.9, 0.02),
    "spread-volatility": (0.3, np.inf, 0.02),
    "overnight": (0.1, 0.35, 0.02),
    "integrity": (0, 0, 0),
    "zipf slope": (-1.15, -0.85, 0.001),
}


def steps(text):
    """A price as a whole number of 1e-9, exactly."""
    scaled = Decimal(text).scaleb(9)
    assert scaled == scaled.to_integral_value(), text
    return int(scaled)


def read_bars(path):
    """Bars as arrays of shape (symbol, day, minute)."""
    with open(path, encoding="utf-8") as file:
        header = file.readline().strip().split(",")
        names = list(dict.fromkeys(line.split(",", 1)[0] for line in file))
    columns = np.loadtxt(path, delimiter=",", skiprows=1, usecols=range(1, len(header)))
    shape = (len(names), -1, MINUTES)
    bars = {name: columns[:, at].reshape(shape) for at, name in enumerate(header[1:])}
    for name in ("twice_mid", "open_mid", *PRICES):
        assert (np.abs(bars[name]) < 2**53).all(), "a float holds every price exactly"
    return names, bars


def read_ticks(path):
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


def rebuild(ticks, symbol, day):
    """One day's bars out of raw ticks."""
    bars = [[0] * 6 for _ in range(MINUTES)]
    mids = [0] * MINUTES
    for tick in ticks:
        if tick["symbol"] != symbol or int(tick["day"]) != day:
            continue
        minute = int(tick["after_ns"]) // 60_000_000_000
        if minute >= MINUTES:
            continue
        if tick["kind"] == "quote":
            mids[minute] = steps(tick["bid"]) + steps(tick["ask"])
        elif tick["kind"] == "trade" and tick["side"]:
            price, size = steps(tick["price"]), int(Decimal(tick["size"]))
            bar = bars[minute]
            # An odd lot counts for the volume, and for no price.
            if tick["conditions"] != "I":
                first = bar[0] or price
                least = min(bar[2] or price, price)
                bar[:4] = [first, max(bar[1], price), least, price]
            bar[4] += size
            bar[5] += 1
    return bars, mids


def check_equal(names, bars, ticks):
    """The tool's bars of one day are those that the raw ticks make."""
    compared = 0
    for symbol in dict.fromkeys(tick["symbol"] for tick in ticks):
        at = names.index(symbol)
        rebuilt, mids = rebuild(ticks, symbol, 7)
        for minute, bar in enumerate(rebuilt):
            told = [int(bars[name][at, 7, minute]) for name in (*PRICES, "volume", "trades")]
            assert told == bar, (symbol, minute, told, bar)
            if mids[minute]:
                assert int(bars["twice_mid"][at, 7, minute]) == mids[minute], (symbol, minute)
            compared += 1
    return compared


MINUTE_NS = 60_000_000_000
CLOSE_NS = MINUTES * MINUTE_NS
CENT = 10_000_000


def integrity(ticks):
    """How many ticks break a rule, in a market of late ticks, corrections, halts and a slow clock."""
    wrong = 0
    numbers, live, days = {}, {}, {}
    for tick in ticks:
        symbol, day, name = tick["symbol"], int(tick["day"]), tick["trade_id"]
        # In the order in which they arrive: numbers, receipts, and what corrections name.
        wrong += int(tick["seq"]) != numbers.get(symbol, 0)
        numbers[symbol] = int(tick["seq"]) + 1
        wrong += tick["skewed"] == "0" and int(tick["recv_ns"]) < int(tick["event_ns"])
        if tick["kind"] == "trade":
            wrong += (symbol, day, name) in live
            live[symbol, day, name] = tick["size"]
        elif tick["kind"] == "correction":
            wrong += live.pop((symbol, day, name), None) != tick["size"]
        days.setdefault((symbol, day), []).append(tick)
    for told in days.values():
        # In the order in which they happened: phases, halts, the ladder, and the quote.
        bid, ask, halted = 0, 0, False
        for tick in sorted(told, key=lambda tick: int(tick["event_ns"])):
            at, status = int(tick["event_ns"]), tick["status"]
            price = steps(tick["price"]) if tick["price"] else None
            trading = 0 <= at < CLOSE_NS
            if tick["kind"] == "quote":
                bid, ask = steps(tick["bid"]), steps(tick["ask"])
                on_ladder = bid > 0 and bid % CENT == 0 and ask % CENT == 0
                wrong += halted or not trading or bid >= ask or not on_ladder
            elif tick["kind"] == "trade":
                wrong += halted or price <= 0 or price % CENT != 0
                if tick["side"]:
                    wrong += not trading or not bid <= price <= ask
                else:
                    wrong += at % MINUTE_NS != 0 or not 0 <= at <= CLOSE_NS
                odd = Decimal(tick["size"]) < lot(price) and bool(tick["side"])
                wrong += odd != ("I" in tick["conditions"].split())
            elif tick["kind"] == "auction" and tick["flags"] == "8":
                wrong += halted or at < CLOSE_NS - 10 * MINUTE_NS
            elif tick["kind"] == "status":
                wrong += (status == "open" and at != 0) or (status == "close" and at != CLOSE_NS)
                halted = status == "halt" or (halted and status == "close")
    return int(wrong)


def lot(price):
    """Shares of a round lot: 40 from 250.01 to 1,000 dollars; here none is dearer, or near the edge."""
    assert price < 1000 * 10**9
    return 100 if price <= 250 * 10**9 else 40


def zipf(path):
    """Slope of trades over rank, both logarithmic, of ranks 1 to 250."""
    counts = np.sort(np.loadtxt(path))[::-1][:250]
    return float(stats.linregress(np.log(np.arange(1, 251)), np.log(np.maximum(counts, 0.5))).slope)


def daily(closes):
    """Statistics of daily returns: deviation, kurtosis, tail, memory of sizes, leverage."""
    r = np.diff(np.log(closes))
    size = np.abs(r)
    memory = autocorrelations(size, 20)
    top = np.sort(size)[::-1]
    k = len(top) // 50 - 1
    # How sizes of the ten days that follow go with today's return.
    later = [np.corrcoef(r[:-lag], size[lag:])[0, 1] for lag in range(1, 11)]
    return [r.std(), stats.kurtosis(r), k / np.log(top[:k] / top[k]).sum(), *memory[[1, 5, 20]], np.mean(later)]


DAILY = ["sd", "ex. kurtosis", "tail index", "ACF|r| 1", "ACF|r| 5", "ACF|r| 20", "leverage"]


def print_daily(folder):
    """The model's daily statistics over twenty years, and those of real indices beside them."""
    closes = np.loadtxt(folder / "daily.csv", delimiter=",", skiprows=1)
    index = np.exp(np.concatenate([[0], np.cumsum(np.diff(np.log(closes), axis=0).mean(axis=1))]))
    rows = {
        "model, 12 symbols (median)": np.median([daily(column) for column in closes.T], axis=0),
        "model, their equal-weight index": daily(index),
    }
    prices = os.environ.get("STOCKPIPE_PRICES")
    for path in sorted(pathlib.Path(prices).glob("*-daily.csv.gz")) if prices else []:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            real = [float(row["Close"]) for row in csv.DictReader(file)]
        rows[f"{path.name.removesuffix('-daily.csv.gz')}, {len(real)} sessions"] = daily(np.array(real))
    print(f"\n{'daily closes':<32}" + "".join(f"{name:>14}" for name in DAILY))
    for name, values in rows.items():
        print(f"{name:<32}" + "".join(f"{value:>14.4f}" for value in values))


def prints(ticks, symbol):
    """Trades with the quote that stood before each: day, time, price, sign, mid, half spread."""
    rows, bid, ask = [], 0.0, 0.0
    for tick in ticks:
        if tick["symbol"] != symbol:
            continue
        if tick["kind"] == "quote":
            bid, ask = float(tick["bid"]), float(tick["ask"])
        elif tick["side"]:
            sign = 1.0 if tick["side"] == "buy" else -1.0
            day, after = int(tick["day"]), int(tick["after_ns"])
            price = float(tick["price"])
            rows.append((day, after, price, sign, (bid + ask) / 2, (ask - bid) / 2))
    return np.array(rows)


def by_bucket(x):
    """Divided by the mean size in the bucket of the day."""
    days = x.reshape(x.shape[0], -1, BUCKETS)
    return (days / np.abs(days).mean(axis=1, keepdims=True)).reshape(x.shape)


def autocorrelations(x, lags):
    return acf(x, nlags=lags, fft=True)


def decay(sizes):
    edges = 3 * (780 / 3) ** (np.arange(13) / 12)
    mean = np.mean([autocorrelations(series, 790) for series in sizes], axis=0)
    bins = []
    for low, high in zip(edges[:-1], edges[1:]):
        low, high = round(low), max(round(high), round(low) + 1)
        bins.append(mean[low:high].mean())
    if min(bins) <= 0.005:
        return np.nan
    return -stats.linregress(np.log(np.sqrt(edges[:-1] * edges[1:])), np.log(bins)).slope


def measure(bars, trades):
    """Every statistic, by name, and what the plots need."""
    log_mid = np.log(bars["twice_mid"] / 2e9)
    log_open = np.log(bars["open_mid"][:, :, 0] / 2e9)
    count, days, _ = log_mid.shape
    edges = np.concatenate([log_open[:, :, None], log_mid[:, :, 4::5]], axis=2)
    returns = np.diff(edges, axis=2).reshape(count, -1)
    plain = by_bucket(returns)
    volume = by_bucket(bars["volume"].reshape(count, days, BUCKETS, 5).sum(axis=3).reshape(count, -1))
    sizes = np.abs(plain)
    out = {}

    def over(of, symbols=range(count)):
        return float(np.median([of(at) for at in symbols]))

    def blocks(at):
        whole = plain.shape[1] // FIRST
        return np.median([stats.kurtosis(b) for b in plain[at, : whole * FIRST].reshape(whole, -1)])

    out["kurtosis"] = over(blocks)

    def hill(at):
        top = np.sort(sizes[at, :FIRST])[::-1]
        k = int(0.01 * len(top))
        return k / np.log(top[:k] / top[k]).sum()

    out["hill"] = over(hill)

    def worst(at):
        bound = 4 * np.median(sizes[at])
        return np.abs(autocorrelations(np.clip(plain[at], -bound, bound), 20)[1:]).max()

    out["acf r"] = over(worst)
    size_acf = [autocorrelations(series, 780) for series in sizes]
    out["acf |r| 1 h"] = over(lambda at: size_acf[at][12])
    out["acf |r| 1 d"] = over(lambda at: size_acf[at][BUCKETS])
    out["decay"] = decay(sizes)
    out["taylor"] = over(lambda at: size_acf[at][3] - autocorrelations(plain[at] ** 2, 3)[3])

    def hours(at):
        day = plain[at].reshape(-1, BUCKETS)[:, :72].reshape(-1, 12).sum(axis=1)
        return stats.kurtosis(day) / stats.kurtosis(plain[at])

    out["aggregation"] = over(hours)
    by_day = returns.reshape(count, days, BUCKETS)
    daily = by_day.sum(axis=2) / np.sqrt((by_day**2).sum(axis=2))
    out["daily r/RV"] = over(lambda at: stats.kurtosis(daily[at]))
    out["volume-volatility"] = over(
        lambda at: stats.spearmanr(sizes[at, :FIRST], volume[at, :FIRST]).statistic, range(4)
    )
    day_volume = bars["volume"][:, :60].sum(axis=1)
    edge = (day_volume[:, :30].sum(axis=1) + day_volume[:, -30:].sum(axis=1)) / 60
    out["edge / midday"] = float(np.median(edge / (day_volume[:, 150:240].sum(axis=1) / 90)))
    counts = bars["trades"]
    fano = (counts.var(axis=1, ddof=1) / counts.mean(axis=1)).mean(axis=1)
    out["fano"] = float(np.median(fano[:4]))

    first = trades[0]
    minute = first[:, 0] * 1000 + first[:, 1] // 60_000_000_000
    cell = (first[:, 1] % 60_000_000_000 // 5_000_000_000).astype(int)
    _, which = np.unique(minute, return_inverse=True)
    table = np.zeros((which.max() + 1, 12))
    np.add.at(table, (which, cell), 1)
    table = table[table.sum(axis=1) >= 12]
    out["self-excitation"] = float((stats.chisquare(table, axis=1).statistic / 11).mean())

    def within(rows, value):
        same = rows[1:, 0] == rows[:-1, 0]
        return value(rows[:-1][same], rows[1:][same])

    gaps = within(first, lambda a, b: b[:, 1] - a[:, 1])
    out["durations"] = float(gaps.std() / gaps.mean())
    steps_of = [within(rows, lambda a, b: np.log(b[:, 2] / a[:, 2])) for rows in trades]
    out["bounce"] = float(np.mean([autocorrelations(x, 1)[1] for x in steps_of]))
    sign_acf = np.mean([autocorrelations(rows[:, 3], 64) for rows in trades], axis=0)
    out["signs acf"] = float(sign_acf[1])
    lags = 2 ** np.arange(7)
    out["signs slope"] = float(-stats.linregress(np.log(lags), np.log(sign_acf[lags])).slope)
    moves = [within(rows, lambda a, b: a[:, 3] * (b[:, 4] - a[:, 4]) / a[:, 5]) for rows in trades]
    out["impact"] = float(np.concatenate(moves).mean())

    index = by_bucket(returns.sum(axis=0)[None])[0]
    later = np.convolve(np.abs(index), np.ones(BUCKETS), "valid")[1:]
    out["leverage"] = float(np.corrcoef(index[: len(later)], later)[0, 1])
    pairs = [(a, b) for a in range(count) for b in range(a)]
    slow = np.corrcoef(returns)
    errors = [abs(slow[a, b] - (0.5 if a % 3 == b % 3 else 0.3)) for a, b in pairs]
    out["correlation"] = float(np.quantile(errors, 0.9, method="nearest"))
    out["epps"], fast_slow = epps(bars, returns, pairs)

    spread = bars["spread_sum"][:, :60].reshape(count, 60, 13, 30).sum(axis=3)
    quotes = bars["quotes"][:, :60].reshape(count, 60, 13, 30).sum(axis=3)
    path = np.concatenate([log_open[:, :60, None], log_mid[:, :60]], axis=2)
    realized = (np.diff(path, axis=2) ** 2).reshape(count, 60, 13, 30).sum(axis=3)

    def spread_volatility(at):
        seen = quotes[at] > 0
        mean = spread[at][seen] / quotes[at][seen]
        return stats.spearmanr(mean, realized[at][seen]).statistic

    out["spread-volatility"] = over(spread_volatility)
    nights = (log_open[:, 1:] - log_mid[:, :-1, -1]) ** 2
    sessions = (log_mid[:, :, -1] - log_open) ** 2
    night = nights.mean(axis=1)
    out["overnight"] = float(np.median(night / (night + sessions.mean(axis=1))))
    plots = {
        "plain": plain[0],
        "size_acf": np.mean(size_acf, axis=0),
        "volume": bars["volume"].mean(axis=(0, 1)),
        "volatility": np.sqrt((by_day**2).mean(axis=(0, 1))),
        "sign_acf": sign_acf,
        "spread": (spread[0] / np.maximum(quotes[0], 1)).ravel() * 1e4,
        "realized": np.sqrt(realized[0]).ravel() * 1e4,
        "gaps": gaps / 1e9,
        "index": index,
        "mid": np.exp(log_mid[0]).ravel(),
        "fast_slow": fast_slow,
    }
    return out, plots


def epps(bars, returns, pairs):
    close = bars["close"][:, :60]
    count = close.shape[0]
    fast = np.zeros((count, 60, MINUTES))
    for at in range(count):
        for day in range(60):
            x = close[at, day]
            known = np.maximum.accumulate(np.where(x > 0, np.arange(MINUTES), -1))
            price = np.where(known >= 0, np.log(np.maximum(x[known], 1)), np.nan)
            fast[at, day, 1:] = np.nan_to_num(np.diff(price))
    quick = np.corrcoef(fast.reshape(count, -1))
    slow = np.corrcoef(returns[:, :FIRST])
    points = [(slow[a, b], quick[a, b]) for a, b in pairs]
    x, y = np.array(points).T
    return float(y.mean() / x.mean()), points


def plot(data, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(3, 3, figsize=(13, 11), constrained_layout=True)
    axes = axes.ravel()

    def panel(at, title, x, y):
        axes[at].set(title=title, xlabel=x, ylabel=y)
        axes[at].grid(alpha=0.25)
        return axes[at]

    ax = panel(0, "A year of mids (NVDA)", "session", "dollars")
    ax.plot(np.arange(len(data["mid"])) / MINUTES, data["mid"], lw=0.6)
    ax = panel(1, "Five-minute returns, day's shape removed", "session", "mean sizes")
    ax.plot(np.arange(len(data["plain"])) / BUCKETS, data["plain"], lw=0.3)
    ax = panel(2, "Fat tails", "|return| / standard deviation", "P(greater)")
    z = np.sort(np.abs(data["plain"] / data["plain"].std()))
    ax.loglog(z, 1 - np.arange(len(z)) / len(z), label="model")
    grid = np.linspace(0.1, 6, 100)
    ax.loglog(grid, 2 * stats.norm.sf(grid), "--", label="normal")
    ax.set_ylim(1e-5, 1.2)
    ax.set_xlim(0.05, 30)
    ax.legend()
    ax = panel(3, "Volatility clusters for weeks", "lag, sessions", "ACF of |return|")
    lags = np.arange(1, len(data["size_acf"]))
    ax.loglog(lags / BUCKETS, np.maximum(data["size_acf"][1:], 1e-3))
    ax = panel(4, "A day's shape", "minutes since the open", "relative to the mean")
    volume = data["volume"] / data["volume"].mean()
    ax.plot(volume, lw=0.7, label="volume")
    ax.plot(np.arange(BUCKETS) * 5 + 2.5, data["volatility"] / data["volatility"].mean(), label="volatility")
    ax.legend()
    ax = panel(5, "Trades come in bursts", "seconds between trades", "P(greater)")
    gaps = np.sort(data["gaps"])
    ax.loglog(gaps + 1e-4, 1 - np.arange(len(gaps)) / len(gaps), label="model")
    grid = np.geomspace(1e-3, gaps.mean() * 10, 100)
    ax.loglog(grid, np.exp(-grid / gaps.mean()), "--", label="Poisson")
    ax.set_ylim(1e-5, 1.2)
    ax.set_xlim(1e-3, 300)
    ax.legend()
    ax = panel(6, "Signs of trades persist", "lag, trades", "ACF of signs")
    ax.loglog(np.arange(1, 65), data["sign_acf"][1:], "o-", ms=3)
    ax = panel(7, "Spread follows volatility", "half an hour's volatility, bp", "mean spread, bp")
    ax.loglog(data["realized"], data["spread"], ".", ms=3, alpha=0.5)
    ax = panel(8, "Epps effect", "correlation of mids, 5 min", "of last trades, 1 min")
    x, y = np.array(data["fast_slow"]).T
    ax.plot(x, y, "o", ms=4)
    ax.plot([0, 0.6], [0, 0.6], "--")
    figure.savefig(path, dpi=75)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--plots", type=pathlib.Path)
    arguments = parser.parse_args()
    names, bars = read_bars(arguments.folder / "bars.csv")
    ticks = read_ticks(arguments.folder / "ticks.csv")
    compared = check_equal(names, bars, ticks)
    print(f"{compared} bars of one day rebuilt from raw ticks: equal")
    trades = [prints(ticks, names[at]) for at in range(2)]
    found, plots = measure(bars, trades)
    found["integrity"] = integrity(read_ticks(arguments.folder / "disturbed.csv"))
    found["zipf slope"] = zipf(arguments.folder / "activity.csv")
    with open(arguments.folder / "gates.csv", encoding="utf-8") as file:
        told = {row[0]: float(row[1]) for row in csv.reader(file)}
    bad = 0
    print(f"{'gate':<18} {'bound':<16} {'here':>8} {'tool':>8}")
    for name, (least, greatest, tolerance) in BOUNDS.items():
        value = found[name]
        within = least <= value <= greatest
        agrees = abs(value - told[name]) <= tolerance * max(1.0, abs(told[name]))
        bad += not (within and agrees)
        verdict = "ok" if within and agrees else ("OUT OF BOUNDS" if agrees else "DIFFERS")
        print(f"{name:<18} {f'{least} … {greatest}':<16} {value:>8.3f} {told[name]:>8.3f}  {verdict}")
    print_daily(arguments.folder)
    if arguments.plots:
        plot(plots, arguments.plots)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
