// Pure formatting. Decimal strings are rounded as text, never through a float.

import type { Decimal, Instant } from "./api";

const MINUS = "\u2212";
/** Shown where a value is not known. */
export const NONE = "–";

/** Digits after the point. */
export function places(value: Decimal | null): number {
  if (value === null) return 0;
  const point = value.indexOf(".");
  return point < 0 ? 0 : value.length - point - 1;
}

/** Digits after the point that there is room for: six significant digits, and cents always. */
export function room(value: Decimal | null): number {
  const whole = value === null ? "" : value.replace(/^-?0*/, "").replace(/\..*$/, "");
  return whole === "" ? 9 : Math.max(2, 6 - whole.length);
}

/** `value` rounded half away from zero to `digits` decimals, with thousands separators. */
export function decimal(value: Decimal | null, digits: number): string {
  if (value === null) return NONE;
  const match = /^(-?)(\d+)(?:\.(\d*))?$/.exec(value);
  if (match === null) return value;
  const [, sign = "", whole = "0", fraction = ""] = match;
  const kept = BigInt(whole + fraction.slice(0, digits).padEnd(digits, "0"));
  const up = (fraction[digits] ?? "0") >= "5" ? 1n : 0n;
  const text = (kept + up).toString().padStart(digits + 1, "0");
  const head = group(text.slice(0, text.length - digits));
  const tail = digits > 0 ? "." + text.slice(-digits) : "";
  return (sign && kept + up !== 0n ? MINUS : "") + head + tail;
}

function group(digits: string): string {
  return digits.replace(/\B(?=(\d{3})+$)/g, ",");
}

/** A count with thousands separators. */
export function count(value: number | null): string {
  return value === null ? NONE : group(Math.round(value).toString());
}

const UNITS = ["", "K", "M", "B", "T", "Q"] as const;

/** Three significant digits with K, M, B …: `1.24M`. */
export function compact(value: Decimal | number | null): string {
  if (value === null) return NONE;
  let number = Number(value);
  let unit = 0;
  while (Math.abs(number) >= 999.5 && unit < UNITS.length - 1) {
    number /= 1000;
    unit += 1;
  }
  if (unit === 0) return trim(number, Math.abs(number) < 10 ? 2 : Math.abs(number) < 100 ? 1 : 0);
  return number.toFixed(decimalsOf(number)) + (UNITS[unit] ?? "");
}

function decimalsOf(number: number): number {
  const magnitude = Math.abs(number);
  return magnitude < 9.995 ? 2 : magnitude < 99.95 ? 1 : 0;
}

function trim(number: number, digits: number): string {
  return Number(number.toFixed(digits)).toString();
}

const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;

/** Bytes in binary units: `12.4 MiB`. */
export function bytes(value: number | null): string {
  if (value === null) return NONE;
  let number = value;
  let unit = 0;
  while (number >= 1023.5 && unit < BYTE_UNITS.length - 1) {
    number /= 1024;
    unit += 1;
  }
  const digits = unit === 0 ? 0 : decimalsOf(number);
  return `${number.toFixed(digits)} ${BYTE_UNITS[unit] ?? ""}`;
}

/** A rate in ticks a second, at a steady width. */
export function rate(value: number): string {
  return value >= 1000 ? compact(value) : value >= 100 ? value.toFixed(0) : value.toFixed(1);
}

/** Percent with a sign that is always there. */
export function percent(value: Decimal | null): string {
  if (value === null) return NONE;
  const text = decimal(value, 2);
  return (text.startsWith(MINUS) || /^0\.0*$/.test(text) ? text : "+" + text) + "%";
}

export type Direction = "up" | "down" | "flat";

/** Direction of a signed decimal. */
export function direction(value: Decimal | null): Direction {
  if (value === null || /^-?0*(\.0*)?$/.test(value)) return "flat";
  return value.startsWith("-") ? "down" : "up";
}

/** US dollars; small sums keep their significant digits, for a report costs fractions of a cent. */
export function dollars(value: Decimal | null): string {
  if (value === null) return NONE;
  const digits = Number(value) >= 1 || Number(value) === 0 ? 2 : 6;
  return "$" + decimal(value, digits);
}

/** `10:41:07` in UTC. */
export function clock(instant: Instant | null): string {
  return instant === null ? NONE : instant.slice(11, 19);
}

/** `2026-11-20`. */
export function day(instant: Instant | null): string {
  return instant === null ? NONE : instant.slice(0, 10);
}

const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"] as const;

/** `Mon 14:30 UTC`, with the date where it is more than six days from `now`. */
export function soon(instant: Instant, now: Date): string {
  const at = new Date(instant);
  const time = `${instant.slice(11, 16)} UTC`;
  const far = Math.abs(at.getTime() - now.getTime()) > 6 * 86_400_000;
  return far ? `${day(instant)} ${time}` : `${DAYS[at.getUTCDay()] ?? ""} ${time}`;
}

/** A duration in its largest unit, two where that helps: `3.2 s`, `4 min`, `2 h 5 min`, `3 days`. */
export function duration(milliseconds: number): string {
  const seconds = Math.max(0, milliseconds) / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 59.5) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  return `${Math.round(hours / 24)} days`;
}
