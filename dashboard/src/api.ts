// What the worker's REST and SSE endpoints send. Prices and sizes are decimal
// strings; they become numbers only where a pixel position is computed.

export type Decimal = string;
/** An instant in UTC, RFC 3339. */
export type Instant = string;

export interface Pipeline {
  name: string;
  namespace: string;
  badge: "SIMULATED" | "REPLAY" | "LIVE";
  calendar: string;
  topic: string;
  lake: string;
  table: string;
}

export interface Market {
  /** Whether Kafka answers. */
  connected: boolean;
  /** Newest event time seen. */
  time: Instant | null;
  /** Volume and VWAP of the current trade date count from here. */
  since: Instant | null;
  /** Symbols seen. */
  symbols: number;
  /** Ticks seen since the worker started. */
  ticks: number;
  /** Ticks in the last whole second, and the mean of the last ten. */
  rate: { current: number; smoothed: number };
  session: { open: boolean; nextOpen: Instant | null };
}

export interface Lake {
  /** Records in Kafka that no published claim covers yet; null while unknown. */
  lag: number | null;
  watermark: Instant | null;
  /** Market time minus watermark, milliseconds. */
  watermarkDelayMs: number | null;
  files: number | null;
  rows: number | null;
  bytes: number | null;
  quarantined: number | null;
  /** Why these figures are missing or old, as a sentence. */
  problem: string | null;
}

export type ReportState = "NotRun" | "Waiting" | "Running" | "Succeeded" | "Partial" | "Failed";

export interface Report {
  name: string;
  state: ReportState;
  dataDate: string | null;
  rows: number | null;
  scannedBytes: number | null;
  costUsd: Decimal | null;
  output: string | null;
  finishedAt: Instant | null;
  message: string | null;
  nextRun: Instant | null;
}

export interface Row {
  symbol: string;
  currency: string | null;
  last: Decimal | null;
  open: Decimal | null;
  /** Percent since the open of the trade date, two decimals, signed when negative. */
  change: Decimal | null;
  bid: Decimal | null;
  ask: Decimal | null;
  vwap: Decimal | null;
  volume: Decimal;
  /** Ticks a second, mean of ten seconds. */
  rate: number;
  /** Prices over the trade date, evenly spaced, at most 96; `last` is newer than the last of them. */
  spark: Decimal[];
}

export interface Snapshot {
  seq: number;
  pipeline: Pipeline;
  market: Market;
  /** Ticks of each of the last 120 whole seconds. */
  history: number[];
  lake: Lake;
  reports: Report[];
  rows: Row[];
}

/** Changed fields of one row; `spark` keeps `from` points and appends the others. */
export type RowPatch = Pick<Row, "symbol"> &
  Partial<Omit<Row, "symbol" | "spark">> & { spark?: { from: number; points: Decimal[] } };

export interface Delta {
  seq: number;
  market?: Market;
  history?: number[];
  lake?: Lake;
  reports?: Report[];
  rows?: RowPatch[];
  /** Symbols that left the page's selection. */
  gone?: string[];
}

export interface Bar {
  /** Start, milliseconds since 1970 UTC. */
  time: number;
  open: Decimal;
  high: Decimal;
  low: Decimal;
  close: Decimal;
  volume: Decimal;
  vwap: Decimal | null;
  ticks: number;
}

export type BarInterval = "1s" | "1m";

export interface Bars {
  symbol: string;
  interval: BarInterval;
  bars: Bar[];
}
