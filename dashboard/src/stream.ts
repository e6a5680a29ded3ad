// The connection: one EventSource, opened again by itself, and what is stale said at once.

import type { Bars, BarInterval, Delta, Row, Snapshot } from "./api";
import { apply, fromSnapshot, type Link, type View } from "./state";

/** The worker sends at least one message a second; after this silence the page calls itself stale. */
const SILENCE_MS = 5000;
const RETRY_MS = [500, 1000, 2000, 4000] as const;

export interface Feed {
  view: View | null;
  link: Link;
  /** When the link was lost. */
  lostAt: Date | null;
}

/** Follows the stream and calls `changed` after every message; returns how to stop. */
export function follow(changed: (feed: Feed) => void): () => void {
  let feed: Feed = { view: null, link: "connecting", lostAt: null };
  let source: EventSource | null = null;
  let watchdog: number | undefined;
  let retry: number | undefined;
  let attempts = 0;

  const update = (next: Partial<Feed>) => {
    feed = { ...feed, ...next };
    changed(feed);
  };

  const close = () => {
    source?.close();
    source = null;
    window.clearTimeout(watchdog);
    window.clearTimeout(retry);
  };

  const lost = () => {
    close();
    if (feed.link !== "lost") {
      update({
        link: feed.view === null ? "connecting" : "lost",
        lostAt: feed.lostAt ?? new Date(),
      });
    }
    const wait = RETRY_MS[Math.min(attempts, RETRY_MS.length - 1)];
    attempts += 1;
    retry = window.setTimeout(open, wait);
  };

  const heard = () => {
    attempts = 0;
    window.clearTimeout(watchdog);
    watchdog = window.setTimeout(lost, SILENCE_MS);
  };

  const open = () => {
    close();
    source = new EventSource("api/v1/stream");
    source.onerror = lost;
    watchdog = window.setTimeout(lost, SILENCE_MS);
    source.addEventListener("snapshot", (event: MessageEvent<string>) => {
      heard();
      update({
        view: fromSnapshot(JSON.parse(event.data) as Snapshot),
        link: "live",
        lostAt: null,
      });
    });
    source.addEventListener("delta", (event: MessageEvent<string>) => {
      heard();
      if (feed.view === null) return;
      const view = apply(feed.view, JSON.parse(event.data) as Delta);
      if (view !== feed.view) update({ view });
    });
  };

  open();
  return close;
}

async function get<T>(path: string, signal: AbortSignal): Promise<T> {
  const answer = await fetch(path, { signal, headers: { accept: "application/json" } });
  if (!answer.ok) throw new Error(`the worker answered ${answer.status}`);
  return (await answer.json()) as T;
}

/** Bars of `symbol`, oldest first. */
export function loadBars(
  symbol: string,
  interval: BarInterval,
  signal: AbortSignal,
): Promise<Bars> {
  return get<Bars>(
    `api/v1/symbols/${encodeURIComponent(symbol)}/bars?interval=${interval}`,
    signal,
  );
}

/** Rows whose symbol contains `typed`, also of symbols that the stream does not carry. */
export async function search(typed: string, signal: AbortSignal): Promise<Row[]> {
  const query = new URLSearchParams({ search: typed, limit: "50" });
  return (await get<Snapshot>(`api/v1/snapshot?${query.toString()}`, signal)).rows;
}
