// What the page shows, and how each message of the stream changes it. Pure.

import type { Delta, Lake, Market, Pipeline, Report, Row, RowPatch, Snapshot } from "./api";
import { places, room, soon } from "./format";

/** A row of the table; `places` only grows while there is room, so that prices do not jump in width. */
export interface ViewRow extends Row {
  places: number;
}

export interface View {
  seq: number;
  pipeline: Pipeline;
  market: Market;
  history: number[];
  lake: Lake;
  reports: Report[];
  rows: ReadonlyMap<string, ViewRow>;
}

/** `connecting`: nothing received yet. `lost`: what is shown is old. */
export type Link = "connecting" | "live" | "lost";

/** The view of a whole snapshot. */
export function fromSnapshot(snapshot: Snapshot): View {
  return {
    ...snapshot,
    rows: new Map(snapshot.rows.map((row) => [row.symbol, viewRow(row, 2)])),
  };
}

/** `view` after `delta`; rows that did not change keep their identity. */
export function apply(view: View, delta: Delta): View {
  if (delta.seq <= view.seq) return view;
  const next: View = {
    ...view,
    seq: delta.seq,
    market: delta.market ?? view.market,
    history: delta.history ?? view.history,
    lake: delta.lake ?? view.lake,
    reports: delta.reports ?? view.reports,
  };
  if (delta.rows !== undefined || delta.gone !== undefined) {
    const rows = new Map(view.rows);
    for (const patch of delta.rows ?? []) {
      rows.set(patch.symbol, patched(rows.get(patch.symbol), patch));
    }
    for (const symbol of delta.gone ?? []) rows.delete(symbol);
    next.rows = rows;
  }
  return next;
}

/** A snapshot's row as the table shows it. */
export function viewRow(row: Row, atLeast: number): ViewRow {
  const prices = [row.last, row.bid, row.ask];
  const widest = Math.max(atLeast, ...prices.map(places));
  return { ...row, places: Math.min(widest, room(row.last ?? row.bid ?? row.ask)) };
}

function patched(row: ViewRow | undefined, patch: RowPatch): ViewRow {
  const { spark, ...fields } = patch;
  const before = row ?? { ...EMPTY, symbol: patch.symbol };
  const points =
    spark === undefined ? before.spark : [...before.spark.slice(0, spark.from), ...spark.points];
  return viewRow({ ...before, ...fields, spark: points }, before.places);
}

const EMPTY: ViewRow = {
  symbol: "",
  currency: null,
  last: null,
  open: null,
  change: null,
  bid: null,
  ask: null,
  vwap: null,
  volume: "0",
  rate: 0,
  spark: [],
  places: 2,
};

/**
 * What is said of a closed market while its last prices stand, such as `XNYS is closed, opens Mon
 * 14:30 UTC`; null where it is open, or the table is empty and says so itself. `now` is the wall's,
 * for a market that has not told its time.
 */
export function closed(view: View, now: Date): string | null {
  const { market, pipeline, rows } = view;
  if (market.session.open || rows.size === 0) return null;
  const at = market.time === null ? now : new Date(market.time);
  const { nextOpen } = market.session;
  return `${pipeline.calendar} is closed${nextOpen === null ? "" : `, opens ${soon(nextOpen, at)}`}`;
}

export type Column = "symbol" | "last" | "change" | "bid" | "ask" | "vwap" | "volume" | "rate";

export interface Sorting {
  column: Column;
  descending: boolean;
}

/** The sorting after a click on `column`'s heading: numbers start with the largest. */
export function resorted(sorting: Sorting, column: Column): Sorting {
  if (sorting.column === column) return { column, descending: !sorting.descending };
  return { column, descending: column !== "symbol" };
}

/** Symbols of `rows` in the order of `sorting`; unknown values last, ties by symbol. */
export function order(rows: Iterable<ViewRow>, sorting: Sorting): string[] {
  const { column, descending } = sorting;
  const bySymbol = (a: ViewRow, b: ViewRow) =>
    a.symbol < b.symbol ? -1 : a.symbol > b.symbol ? 1 : 0;
  const sorted = [...rows].sort((a, b) => {
    if (column === "symbol") return descending ? bySymbol(b, a) : bySymbol(a, b);
    const [x, y] = [a[column], b[column]];
    if (x === null || y === null) {
      return x === y ? bySymbol(a, b) : x === null ? 1 : -1;
    }
    const difference = Number(x) - Number(y);
    return (descending ? -difference : difference) || bySymbol(a, b);
  });
  return sorted.map((row) => row.symbol);
}

/** Whether `symbol` is meant by what was typed into the search field. */
export function matches(symbol: string, typed: string): boolean {
  return symbol.toUpperCase().includes(typed.trim().toUpperCase());
}
