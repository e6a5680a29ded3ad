import { describe, expect, test } from "vitest";
import {
  bytes,
  clock,
  compact,
  count,
  decimal,
  direction,
  dollars,
  duration,
  percent,
  places,
  rate,
  room,
  soon,
} from "./format";

describe("decimal", () => {
  test.each([
    ["189.1", 2, "189.10"],
    ["189.105", 2, "189.11"],
    ["-0.004", 2, "0.00"],
    ["-1234567.895", 2, "\u22121,234,567.90"],
    ["999.999", 2, "1,000.00"],
    ["0.000000001", 9, "0.000000001"],
    ["7", 0, "7"],
    ["0.5", 0, "1"],
  ])("%s with %d decimals is %s", (value, digits, expected) => {
    expect(decimal(value, digits)).toBe(expected);
  });

  test("keeps digits that a float would lose", () => {
    expect(decimal("9007199254740993.123456789", 9)).toBe("9,007,199,254,740,993.123456789");
  });

  test("an unknown value is a dash", () => {
    expect(decimal(null, 2)).toBe("–");
  });
});

test.each([
  ["2506.850098", 2],
  ["65000.123456", 2],
  ["1.0851234", 5],
  ["0.000012345", 9],
  ["12.5", 4],
  [null, 9],
])("a price of %s has room for %d decimals", (value, digits) => {
  expect(room(value)).toBe(digits);
});

test("places counts the digits after the point", () => {
  expect([places("1"), places("1.25"), places("0.0001"), places(null)]).toEqual([0, 2, 4, 0]);
});

test("compact keeps three significant digits and never shows 1000K", () => {
  expect(
    ["0", "7.125", "12.34", "999", "999.6", "1234", "999999", "1234567890"].map(compact),
  ).toEqual(["0", "7.13", "12.3", "999", "1.00K", "1.23K", "1.00M", "1.23B"]);
});

test("bytes are binary units", () => {
  expect([0, 1023, 1024, 73400320, null].map(bytes)).toEqual([
    "0 B",
    "1023 B",
    "1.00 KiB",
    "70.0 MiB",
    "–",
  ]);
});

test("percent always carries a sign unless it is zero", () => {
  expect(["0.4", "-1.25", "0", "-0.00", null].map(percent)).toEqual([
    "+0.40%",
    "\u22121.25%",
    "0.00%",
    "0.00%",
    "–",
  ]);
});

test("direction reads the sign, and zero is flat however it is written", () => {
  expect(["1", "-0.01", "0.00", "-0", null].map(direction)).toEqual([
    "up",
    "down",
    "flat",
    "flat",
    "flat",
  ]);
});

test("a report that costs a fraction of a cent does not read as free", () => {
  expect([dollars("0.000335"), dollars("12.5"), dollars("0")]).toEqual([
    "$0.000335",
    "$12.50",
    "$0.00",
  ]);
});

test("durations use the unit that a reader would", () => {
  expect([420, 9960, 61_000, 3_600_000, 7_500_000, 400_000_000, -5].map(duration)).toEqual([
    "0.4 s",
    "10 s",
    "1 min",
    "1 h",
    "2 h 5 min",
    "5 days",
    "0.0 s",
  ]);
});

test("counts and rates", () => {
  expect([count(1234567), count(null), rate(3.14159), rate(512.4), rate(50_000)]).toEqual([
    "1,234,567",
    "–",
    "3.1",
    "512",
    "50.0K",
  ]);
});

test("clock shows UTC; soon names the weekday only where that is clear", () => {
  const now = new Date("2026-11-21T10:00:00Z");
  expect(clock("2026-11-20T20:59:00.123Z")).toBe("20:59:00");
  expect(soon("2026-11-23T14:30:00Z", now)).toBe("Mon 14:30 UTC");
  expect(soon("2026-12-28T14:30:00Z", now)).toBe("2026-12-28 14:30 UTC");
});
