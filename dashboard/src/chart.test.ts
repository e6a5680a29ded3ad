import { expect, test } from "vitest";
import type { Bar } from "./api";
import {
  area,
  candles,
  daily,
  moved,
  scale,
  SLOT,
  spark,
  tickPlaces,
  ticks,
  timeForm,
  timeText,
} from "./chart";

const bar = (time: number, open: string, high: string, low: string, close: string): Bar => ({
  time,
  open,
  high,
  low,
  close,
  volume: "10",
  vwap: null,
  ticks: 1,
});

test("a spark line runs over the whole width, from the lowest price at the bottom to the highest at the top", () => {
  expect(spark(["1", "3", "2"], null, 100, 22).line).toBe("M0 20L50 2L100 11");
});

test("the reference price is in view even when every price is above it", () => {
  const shape = spark(["2", "3"], "1", 100, 22);
  expect(shape.base).toBe(20);
  expect(shape.line).toBe("M0 11L100 2");
});

test("one price, or a flat line, lies in the middle", () => {
  expect(spark(["5"], null, 100, 22).line).toBe("M0 11L100 11");
  expect(spark([], null, 100, 22).line).toBe("");
});

test("an area that has not filled its slots begins at the right", () => {
  expect(area([0, 10], 5, 100, 21).line).toBe("M75 20L100 2");
});

test("a burst that is over is cut off, and what came after it keeps its shape", () => {
  const quiet = Array.from({ length: 30 }, () => 10);
  const { line } = area([9000, ...quiet], 31, 300, 21);
  expect(line.startsWith("M0 2L10 11")).toBe(true);
});

test("a scale maps its ends exactly", () => {
  const y = scale(10, 20, 100, 0);
  expect([y(10), y(15), y(20)]).toEqual([100, 50, 0]);
});

test("axis values are round and inside the range", () => {
  expect(ticks(187.3, 189.1, 4)).toEqual([187.5, 188, 188.5, 189]);
  expect(tickPlaces([187.5, 188], 2)).toBe(2);
  expect(tickPlaces([0.001, 0.002], 2)).toBe(3);
});

test("only the newest candles that fit are drawn, against the right edge", () => {
  const bars = Array.from({ length: 50 }, (_, i) => bar(i, "1", "3", "0.5", "2"));
  const layout = candles(bars, SLOT * 10, 100, 20);
  expect(layout.candles.map((c) => c.bar.time)).toEqual([40, 41, 42, 43, 44, 45, 46, 47, 48, 49]);
  expect(layout.candles.at(-1)?.x).toBe(SLOT * 10 - SLOT / 2);
});

test("a candle's high is above its low, and equal prices still have a scale", () => {
  const [c] = candles([bar(0, "1", "3", "0.5", "2")], 100, 100, 20).candles;
  expect(c && c.high < c.close && c.close < c.open && c.open < c.low).toBe(true);
  const flat = candles([bar(0, "5", "5", "5", "5")], 100, 100, 20);
  expect(flat.candles[0]?.close).toBeCloseTo(50);
});

test("the newest bar follows the last price and stretches its range", () => {
  const bars = [bar(0, "1", "1", "1", "1"), bar(60, "2", "2.5", "1.5", "2")];
  expect(moved(bars, "3").at(-1)).toMatchObject({ close: "3", high: "3", low: "1.5" });
  expect(moved(bars, "2")).toBe(bars);
  expect(moved([], "2")).toEqual([]);
});

test("bars a day apart are labelled by date, others by time", () => {
  const day = 86_400_000;
  expect(timeForm([0, day, 4 * day], "1m")).toBe("day");
  expect(timeForm([0, 60_000], "1m")).toBe("minute");
  expect(timeForm([0, 1000], "1s")).toBe("second");
  const time = Date.parse("2026-11-20T20:59:07Z");
  expect([timeText(time, "day"), timeText(time, "minute"), timeText(time, "second")]).toEqual([
    "2026-11-20",
    "20:59",
    "20:59:07",
  ]);
});

test("bars a day apart are daily", () => {
  const at = (time: number) => ({
    time,
    open: "1",
    high: "1",
    low: "1",
    close: "1",
    volume: "1",
    vwap: null,
    ticks: 1,
  });
  const day = 86_400_000;
  expect([daily([at(0), at(day), at(4 * day)]), daily([at(0), at(60_000)]), daily([])]).toEqual([
    true,
    false,
    false,
  ]);
});
