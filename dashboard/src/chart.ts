// Geometry of the small charts: from decimal strings to SVG path data. Pure.

import type { Bar, BarInterval, Decimal } from "./api";

/** Two decimals are enough for a pixel position and keep paths short. */
const px = (value: number) => (Math.round(value * 100) / 100).toString();

export interface SparkShape {
  line: string;
  area: string;
  /** Height of the reference price, or null where there is none. */
  base: number | null;
}

/** A price line over `width` × `height`, with room for its stroke; `reference` (the open) is always in view. */
export function spark(
  points: readonly Decimal[],
  reference: Decimal | null,
  width: number,
  height: number,
): SparkShape {
  const values = points.map(Number);
  if (values.length === 0) return { line: "", area: "", base: null };
  if (values.length === 1) values.push(values[0] ?? 0);
  const all = reference === null ? values : [...values, Number(reference)];
  const y = scale(Math.min(...all), Math.max(...all), height - 2, 2);
  const step = width / (values.length - 1);
  const line = "M" + values.map((v, i) => `${px(i * step)} ${px(y(v))}`).join("L");
  return {
    line,
    area: `${line}L${px(width)} ${px(height)}L0 ${px(height)}Z`,
    base: reference === null ? null : y(Number(reference)),
  };
}

/** So many of the newest values set the scale of an area. */
const RECENT = 30;

/**
 * Counts (never negative) as an area from zero, newest at the right edge. A burst that is over is cut off at the top,
 * so that it does not flatten what came after it.
 */
export function area(values: readonly number[], slots: number, width: number, height: number) {
  if (values.length < 2) return { line: "", area: "" };
  const top = Math.max(1, Math.min(Math.max(...values), 2 * Math.max(...values.slice(-RECENT))));
  const y = scale(0, top, height - 1, 2);
  const step = width / (slots - 1);
  const start = width - step * (values.length - 1);
  const line =
    "M" + values.map((v, i) => `${px(start + i * step)} ${px(y(Math.min(v, top)))}`).join("L");
  return { line, area: `${line}L${px(width)} ${px(height)}L${px(start)} ${px(height)}Z` };
}

/** A linear scale from [low, high] to [bottom, top]; a flat range lies in the middle. */
export function scale(low: number, high: number, bottom: number, top: number) {
  const span = high - low;
  if (span <= 0) return () => (bottom + top) / 2;
  return (value: number) => bottom + ((value - low) / span) * (top - bottom);
}

/** About `count` round values within [low, high]. */
export function ticks(low: number, high: number, count: number): number[] {
  const span = high - low;
  if (!(span > 0) || count < 1) return [low];
  const raw = span / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = ([1, 2, 2.5, 5, 10].find((m) => m * power >= raw) ?? 10) * power;
  const first = Math.ceil(low / step);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => (first + i) * step);
}

/** Decimals that tell neighbouring axis labels apart, at least `least`. */
export function tickPlaces(values: readonly number[], least: number): number {
  const step = Math.abs((values[1] ?? 1) - (values[0] ?? 0)) || 1;
  return Math.min(9, Math.max(least, Math.ceil(-Math.log10(step) - 1e-9)));
}

export interface Candle {
  bar: Bar;
  /** Middle, pixels. */
  x: number;
  /** Body and wick, pixels from the top. */
  open: number;
  close: number;
  high: number;
  low: number;
  rising: boolean;
  /** Height of the volume column, pixels. */
  volume: number;
}

export interface CandleLayout {
  candles: Candle[];
  /** Width of a body. */
  body: number;
  price: (value: number) => number;
  low: number;
  high: number;
}

/** Room for one candle and the gap after it, pixels. */
export const SLOT = 8;

/** The newest bars that fit into `width`, their prices over `height`, volumes over `volumeHeight`. */
export function candles(
  bars: readonly Bar[],
  width: number,
  height: number,
  volumeHeight: number,
): CandleLayout {
  const fit = Math.max(1, Math.floor(width / SLOT));
  const shown = bars.slice(-fit);
  const lows = shown.map((b) => Number(b.low));
  const highs = shown.map((b) => Number(b.high));
  const least = Math.min(...lows);
  const most = Math.max(...highs);
  const margin = (most - least) * 0.06 || Math.abs(most) * 0.001 || 1;
  const [low, high] = shown.length === 0 ? [0, 1] : [least - margin, most + margin];
  const price = scale(low, high, height, 0);
  const volume = scale(0, Math.max(0, ...shown.map((b) => Number(b.volume))), 0, volumeHeight);
  const start = width - shown.length * SLOT;
  return {
    low,
    high,
    price,
    body: SLOT - 3,
    candles: shown.map((bar, i) => ({
      bar,
      x: start + i * SLOT + SLOT / 2,
      open: price(Number(bar.open)),
      close: price(Number(bar.close)),
      high: price(Number(bar.high)),
      low: price(Number(bar.low)),
      rising: Number(bar.close) >= Number(bar.open),
      volume: Number(bar.volume) > 0 ? Math.max(1, volume(Number(bar.volume))) : 0,
    })),
  };
}

/** The newest bar moved to `last`, so that the chart keeps up with the table between two loads. */
export function moved(bars: readonly Bar[], last: Decimal | null): readonly Bar[] {
  const newest = bars.at(-1);
  if (newest === undefined || last === null || newest.close === last) return bars;
  const price = Number(last);
  const bar = {
    ...newest,
    close: last,
    high: price > Number(newest.high) ? last : newest.high,
    low: price < Number(newest.low) ? last : newest.low,
  };
  return [...bars.slice(0, -1), bar];
}

/** How the times of a chart are written: as short as still tells its bars apart. */
export type TimeForm = "second" | "minute" | "day";

/** Bars further apart than half a day are days; otherwise their interval says it. */
export function timeForm(times: readonly number[], interval: BarInterval): TimeForm {
  const [first, last] = [times[0] ?? 0, times.at(-1) ?? 0];
  const apart = times.length > 1 ? (last - first) / (times.length - 1) : 0;
  return apart > 43_200_000 ? "day" : interval === "1s" ? "second" : "minute";
}

/** Whether bars are a day apart, as a source of daily prices has them: nothing finer is there to choose. */
export function daily(bars: readonly Bar[]): boolean {
  const times = bars.map((bar) => bar.time);
  return timeForm(times, "1m") === "day";
}

/** The UTC time of a bar in that form. */
export function timeText(time: number, form: TimeForm): string {
  const at = new Date(time).toISOString();
  return form === "day" ? at.slice(0, 10) : at.slice(11, form === "second" ? 19 : 16);
}
