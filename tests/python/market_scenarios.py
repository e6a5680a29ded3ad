"""Draws one symbol's session under each scenario.

    cargo run -p stockpipe-market --example scenarios | python3 tests/python/market_scenarios.py PNG
"""

import csv
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  (the backend comes first)

# What bars show, where it is not the ticks of a minute.
BARS = {
    "duplicate-feed": ("repeats", "repeated a minute"),
    "clock-skew": ("delay_ms", "receipt − event, ms"),
}
# What is said beside a scenario's name.
NOTES = {
    "hot-symbol": "one of eight; the others' ticks in all as a line",
    "feed-outage": "what is missing is told by one record as the feed is back",
    "halt": "no quote, so no mid",
    "flash-crash": "−8 %, a halt, 70 % regained",
}


def numbers(rows, column):
    return [float(row[column]) for row in rows]


def draw(axis, name, rows, usual):
    minutes = numbers(rows, "minute")
    axis.set_title(name, loc="left", fontweight="bold", fontsize=10)
    if name in NOTES:
        axis.set_title(NOTES[name], loc="right", fontsize=8, color="0.4")
    column, label = BARS.get(name, ("ticks", "ticks a minute"))
    bars = axis.twinx()
    bars.bar(minutes, numbers(rows, column), width=1.0, color="C1", alpha=0.35)
    bars.set_ylabel(label)
    if name == "hot-symbol":
        bars.plot(minutes, numbers(rows, "others"), color="C3", lw=0.8)
    for minute, missing in zip(minutes, numbers(rows, "holes")):
        if missing:
            bars.axvline(minute, color="C3", lw=1.2)
            bars.annotate(
                f"{missing:,.0f} ticks missing",
                (minute, bars.get_ylim()[1] * 0.92),
                xytext=(5, 0),
                textcoords="offset points",
                fontsize=8,
                color="C3",
            )
    if name != "normal":
        axis.axvspan(*((0, 10) if name == "opening-burst" else (90, 150)), color="C0", alpha=0.07, lw=0)
    # Prices over bars.
    axis.set_zorder(bars.get_zorder() + 1)
    axis.patch.set_visible(False)
    axis.plot(minutes, usual, color="0.7", lw=0.8)
    axis.plot(minutes, numbers(rows, "mid"), lw=1.0)
    axis.set_ylabel("mid, dollars")
    axis.set_xlim(0, 390)
    axis.set_xlabel("minutes since the open")


def main():
    sessions = {}
    for row in csv.DictReader(sys.stdin):
        sessions.setdefault(row["scenario"], []).append(row)
    usual = numbers(sessions["normal"], "mid")
    figure, axes = plt.subplots(5, 2, figsize=(12, 14), constrained_layout=True)
    for axis, (name, rows) in zip(axes.ravel(), sessions.items()):
        draw(axis, name, rows, usual)
    figure.savefig(sys.argv[1], dpi=72)


if __name__ == "__main__":
    main()
