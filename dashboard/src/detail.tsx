import { useEffect, useState } from "preact/hooks";
import type { Bar, BarInterval } from "./api";
import { Candles } from "./candles";
import { daily, moved } from "./chart";
import { compact, decimal, direction, percent } from "./format";
import type { View } from "./state";
import { loadBars } from "./stream";

interface Props {
  view: View | null;
  symbol: string | null;
  onClose: () => void;
}

/** One symbol: its candles and the figures that the table has no room for. */
export function Detail({ view, symbol, onClose }: Props) {
  const [interval, setInterval] = useState<BarInterval>("1m");
  const { bars, failed } = useBars(symbol, interval);
  const row = symbol === null ? undefined : view?.rows.get(symbol);

  useEffect(() => {
    if (symbol === null) return;
    const onKey = (event: KeyboardEvent) => {
      if (event.key === "Escape") onClose();
    };
    window.addEventListener("keydown", onKey);
    return () => {
      window.removeEventListener("keydown", onKey);
    };
  }, [symbol, onClose]);

  if (symbol === null) {
    return (
      <section class="panel detail none" id="detail" aria-label="Symbol">
        <div class="empty">
          <strong>No symbol chosen</strong>
          <p>Choose a row of the table to see its one-minute candles.</p>
        </div>
      </section>
    );
  }

  const places = row?.places ?? 2;
  return (
    <section class="panel detail" id="detail" aria-label={symbol}>
      <div class="panel-head">
        <h2>
          {symbol}
          {row !== undefined && (
            <span class="count fades">
              <b>{decimal(row.last, places)}</b>
              {row.currency !== null && <span class="currency"> {row.currency}</span>}
              <span class="change" data-way={direction(row.change)}>
                {percent(row.change)}
              </span>
            </span>
          )}
        </h2>
        {daily(bars ?? []) ? (
          <span class="count">daily bars</span>
        ) : (
          <div class="segments" role="group" aria-label="Length of a bar">
            {(["1s", "1m"] as const).map((each) => (
              <button
                key={each}
                type="button"
                aria-pressed={interval === each}
                onClick={() => {
                  setInterval(each);
                }}
              >
                {each}
              </button>
            ))}
          </div>
        )}
        <button type="button" class="close" aria-label="Close" title="Close" onClick={onClose}>
          <svg viewBox="0 0 16 16" aria-hidden="true">
            <path d="M4 4l8 8M12 4l-8 8" />
          </svg>
        </button>
      </div>
      <div class="fades">
        {bars === null || bars.length === 0 ? (
          <div class="chart-space">
            <div class="empty">
              {failed ? (
                <>
                  <strong>No bars for {symbol}</strong>
                  <p>No tick of this symbol has been seen, or the worker does not answer.</p>
                </>
              ) : (
                <strong>{bars === null ? "Loading bars" : "No trade yet"}</strong>
              )}
            </div>
          </div>
        ) : (
          <Candles bars={moved(bars, row?.last ?? null)} interval={interval} places={places} />
        )}
        <dl class="facts">
          <Fact name="Open" value={decimal(row?.open ?? null, places)} />
          <Fact name="VWAP" value={decimal(row?.vwap ?? null, places)} />
          <Fact name="Bid" value={decimal(row?.bid ?? null, places)} />
          <Fact name="Ask" value={decimal(row?.ask ?? null, places)} />
          <Fact name="Volume" value={compact(row?.volume ?? null)} />
        </dl>
      </div>
    </section>
  );
}

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

/** Loads the bars of `symbol` and again every two seconds while the page is in view. */
function useBars(symbol: string | null, interval: BarInterval) {
  const [state, setState] = useState<{ bars: Bar[] | null; failed: boolean }>({
    bars: null,
    failed: false,
  });
  useEffect(() => {
    setState({ bars: null, failed: false });
    if (symbol === null) return;
    const abort = new AbortController();
    let timer: number | undefined;
    const load = async () => {
      if (!document.hidden) {
        try {
          const { bars } = await loadBars(symbol, interval, abort.signal);
          setState({ bars, failed: false });
        } catch {
          if (!abort.signal.aborted) setState(({ bars }) => ({ bars, failed: true }));
        }
      }
      if (!abort.signal.aborted) {
        timer = window.setTimeout(() => void load(), interval === "1s" ? 1000 : 2000);
      }
    };
    void load();
    return () => {
      abort.abort();
      window.clearTimeout(timer);
    };
  }, [symbol, interval]);
  return state;
}
