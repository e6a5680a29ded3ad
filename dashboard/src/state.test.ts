import { expect, test } from "vitest";
import type { Snapshot } from "./api";
import { apply, closed, fromSnapshot, matches, order, resorted } from "./state";

const snapshot: Snapshot = {
  seq: 7,
  pipeline: {
    name: "demo",
    namespace: "default",
    badge: "SIMULATED",
    calendar: "24x7",
    topic: "demo.ticks",
    lake: "s3://lake/demo/ticks",
    table: "stockpipe.demo_ticks",
  },
  market: {
    connected: true,
    time: null,
    since: null,
    symbols: 2,
    ticks: 0,
    rate: { current: 0, smoothed: 0 },
    session: { open: true, nextOpen: null },
  },
  history: [],
  lake: {
    lag: null,
    watermark: null,
    watermarkDelayMs: null,
    files: null,
    rows: null,
    bytes: null,
    quarantined: null,
    problem: null,
  },
  reports: [],
  rows: [
    {
      symbol: "AAPL",
      currency: "USD",
      last: "189.1",
      open: "188",
      change: "0.59",
      bid: "189.09",
      ask: "189.11",
      vwap: "188.5",
      volume: "100",
      rate: 2,
      spark: ["188", "189", "189.1"],
    },
    {
      symbol: "BTC",
      currency: null,
      last: "2.5",
      open: null,
      change: null,
      bid: null,
      ask: null,
      vwap: null,
      volume: "3",
      rate: 9,
      spark: ["2.5"],
    },
  ],
};

test("a patch changes only its own row, and only the fields it names", () => {
  const view = fromSnapshot(snapshot);
  const next = apply(view, { seq: 8, rows: [{ symbol: "AAPL", last: "190" }] });
  expect(next.rows.get("AAPL")).toMatchObject({ last: "190", bid: "189.09", volume: "100" });
  expect(next.rows.get("BTC")).toBe(view.rows.get("BTC"));
});

test("a delta that is not newer changes nothing", () => {
  const view = fromSnapshot(snapshot);
  expect(apply(view, { seq: 7, gone: ["AAPL"] })).toBe(view);
});

test("a spark patch keeps the points before `from` and replaces the rest", () => {
  const next = apply(fromSnapshot(snapshot), {
    seq: 8,
    rows: [{ symbol: "AAPL", spark: { from: 2, points: ["189.3", "189.4"] } }],
  });
  expect(next.rows.get("AAPL")?.spark).toEqual(["188", "189", "189.3", "189.4"]);
});

test("a new symbol appears and one that left disappears", () => {
  const next = apply(fromSnapshot(snapshot), {
    seq: 8,
    rows: [{ symbol: "MSFT", last: "400.125", spark: { from: 0, points: ["400.125"] } }],
    gone: ["BTC"],
  });
  expect([...next.rows.keys()]).toEqual(["AAPL", "MSFT"]);
  expect(next.rows.get("MSFT")?.places).toBe(3);
});

test("the shown precision never shrinks", () => {
  const fine = apply(fromSnapshot(snapshot), {
    seq: 8,
    rows: [{ symbol: "AAPL", last: "1.2345" }],
  });
  const coarse = apply(fine, { seq: 9, rows: [{ symbol: "AAPL", last: "1.2" }] });
  expect(coarse.rows.get("AAPL")?.places).toBe(4);
});

test("a price is shown with the precision that there is room for", () => {
  const next = apply(fromSnapshot(snapshot), {
    seq: 8,
    rows: [{ symbol: "AAPL", last: "2506.850098" }],
  });
  expect(next.rows.get("AAPL")?.places).toBe(2);
});

test("sections that a delta leaves out stay as they were", () => {
  const view = fromSnapshot(snapshot);
  const next = apply(view, { seq: 8, history: [1, 2] });
  expect(next.history).toEqual([1, 2]);
  expect(next.lake).toBe(view.lake);
});

test("sorting puts unknown values last in both directions", () => {
  const rows = fromSnapshot(snapshot).rows.values();
  const list = [...rows];
  expect(order(list, { column: "change", descending: true })).toEqual(["AAPL", "BTC"]);
  expect(order(list, { column: "change", descending: false })).toEqual(["AAPL", "BTC"]);
  expect(order(list, { column: "rate", descending: true })).toEqual(["BTC", "AAPL"]);
});

test("a second click on a heading turns the order round", () => {
  const first = resorted({ column: "symbol", descending: false }, "rate");
  expect(first).toEqual({ column: "rate", descending: true });
  expect(resorted(first, "rate")).toEqual({ column: "rate", descending: false });
});

test("search ignores case and surrounding spaces", () => {
  expect([matches("AAPL", " aap "), matches("AAPL", ""), matches("AAPL", "x")]).toEqual([
    true,
    true,
    false,
  ]);
});

test("a closed market says when it opens, and only while prices stand that could mislead", () => {
  const now = new Date("2026-11-22T09:00:00Z");
  const view = (open: boolean, nextOpen: string | null, rows = snapshot.rows) =>
    fromSnapshot({
      ...snapshot,
      pipeline: { ...snapshot.pipeline, calendar: "XNYS" },
      market: { ...snapshot.market, time: "2026-11-20T21:00:00Z", session: { open, nextOpen } },
      rows,
    });
  const monday = "2026-11-23T14:30:00Z";
  expect(closed(view(false, monday), now)).toBe("XNYS is closed, opens Mon 14:30 UTC");
  expect(closed(view(false, null), now)).toBe("XNYS is closed");
  expect(closed(view(true, null), now)).toBeNull();
  expect(closed(view(false, monday, []), now)).toBeNull();
});

test("a market of its own clock opens by that clock, not by the wall's", () => {
  const view = fromSnapshot({
    ...snapshot,
    pipeline: { ...snapshot.pipeline, calendar: "XNYS" },
    market: {
      ...snapshot.market,
      time: "2020-03-13T20:00:00Z",
      session: { open: false, nextOpen: "2020-03-16T13:30:00Z" },
    },
  });
  const now = new Date("2026-11-22T09:00:00Z");
  expect(closed(view, now)).toBe("XNYS is closed, opens Mon 13:30 UTC");
});
