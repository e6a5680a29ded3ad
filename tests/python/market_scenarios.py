"""Draws one symbol's session under each scenario.

    cargo run -p stockpipe-market --example scenarios | python3 tests/python/market_scenarios.py PNG
"""

import csv
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  (the backend comes first)


def main():
    sessions = {}
    for row in csv.DictReader(sys.stdin):
        sessions.setdefault(row["scenario"], []).append(row)
    usual = [float(row["mid"]) for row in sessions["normal"]]
    figure, axes = plt.subplots(5, 2, figsize=(12, 13), constrained_layout=True)
    for axis, (name, rows) in zip(axes.ravel(), sessions.items()):
        minutes = [int(row["minute"]) for row in rows]
        axis.set_title(name, loc="left")
        axis.plot(minutes, usual, color="0.75", lw=0.8)
        axis.plot(minutes, [float(row["mid"]) for row in rows], lw=0.9)
        axis.set_ylabel("mid")
        other = axis.twinx()
        column, label = {
            "feed-outage": ("holes", "numbers missing"),
            "duplicate-feed": ("repeats", "repeated"),
            "clock-skew": ("delay_ms", "receipt − event, ms"),
        }.get(name, ("ticks", "ticks a minute"))
        other.bar(minutes, [float(row[column]) for row in rows], width=1, color="C1", alpha=0.35)
        other.set_ylabel(label)
    figure.savefig(sys.argv[1], dpi=65)


if __name__ == "__main__":
    main()
