import { Component } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { spark } from "./chart";
import type { Instant } from "./api";
import { clock, compact, count, day, decimal, direction, percent, rate, soon } from "./format";
import {
  matches,
  order,
  resorted,
  viewRow,
  type Column,
  type Link,
  type Sorting,
  type View,
  type ViewRow,
} from "./state";
import { search } from "./stream";

interface Props {
  view: View | null;
  link: Link;
  selected: string | null;
  onSelect: (symbol: string) => void;
}

const COLUMNS: { column: Column | null; label: string; kind: string; hint: string }[] = [
  { column: "symbol", label: "Symbol", kind: "symbol", hint: "" },
  {
    column: null,
    label: "Trend",
    kind: "trend",
    hint: "Price over the trade date; dashed: its open",
  },
  { column: "last", label: "Last", kind: "last", hint: "Last trade" },
  { column: "change", label: "Change", kind: "change", hint: "Since the open of the trade date" },
  { column: "bid", label: "Bid", kind: "bid", hint: "Best bid" },
  { column: "ask", label: "Ask", kind: "ask", hint: "Best ask" },
  {
    column: "vwap",
    label: "VWAP",
    kind: "vwap",
    hint: "Volume-weighted average price of the trade date",
  },
  { column: "volume", label: "Volume", kind: "volume", hint: "Of the trade date" },
  { column: "rate", label: "Ticks/s", kind: "rate", hint: "Mean of ten seconds" },
];

/** The headings, of which two tell from when on they count. */
function headings(since: Instant | null) {
  if (since === null) return COLUMNS;
  const from = `, from ${day(since)} ${clock(since)} UTC on`;
  return COLUMNS.map((heading) =>
    heading.kind === "vwap" || heading.kind === "volume"
      ? { ...heading, hint: heading.hint + from }
      : heading,
  );
}

/** Rows are put in order again at this pace, so that a lively column does not make them dance. */
const REORDER_MS = 2000;

export function Prices({ view, link, selected, onSelect }: Props) {
  const [sorting, setSorting] = useState<Sorting>({ column: "symbol", descending: false });
  const [typed, setTyped] = useState("");
  const beyond = (view?.market.symbols ?? 0) > (view?.rows.size ?? 0);
  const found = useFound(typed, beyond);
  const rows = useShown(view, found, typed, sorting);
  const total = view?.market.symbols ?? 0;
  const columns = headings(view?.market.since ?? null);

  return (
    <section class="panel prices" aria-label="Prices">
      <div class="panel-head">
        <h2>
          Market
          {total > 0 && (
            <span class="count">
              {beyond && typed === ""
                ? `${count(view?.rows.size ?? 0)} busiest of ${count(total)} symbols`
                : `${count(total)} ${total === 1 ? "symbol" : "symbols"}`}
            </span>
          )}
        </h2>
        <input
          type="search"
          placeholder="Find a symbol"
          aria-label="Find a symbol"
          autocomplete="off"
          spellcheck={false}
          value={typed}
          onInput={(event) => {
            setTyped(event.currentTarget.value);
          }}
        />
      </div>
      <div class="table-wrap fades" tabIndex={-1}>
        <table>
          <thead>
            <tr>
              {columns.map(({ column, label, kind, hint }) => (
                <th
                  key={kind}
                  class={`c-${kind}`}
                  scope="col"
                  aria-sort={
                    column !== null && sorting.column === column
                      ? sorting.descending
                        ? "descending"
                        : "ascending"
                      : undefined
                  }
                >
                  {column === null ? (
                    <span title={hint}>{label}</span>
                  ) : (
                    <button
                      type="button"
                      title={hint}
                      onClick={() => {
                        setSorting(resorted(sorting, column));
                      }}
                    >
                      {label}
                    </button>
                  )}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <PriceRow
                key={row.symbol}
                row={row}
                selected={row.symbol === selected}
                onSelect={onSelect}
              />
            ))}
          </tbody>
        </table>
        {rows.length === 0 && <Empty view={view} link={link} typed={typed} />}
      </div>
    </section>
  );
}

/** Rows that match `typed` but are not in the stream; asked for while the market is larger than the page. */
function useFound(typed: string, beyond: boolean): ViewRow[] {
  const [found, setFound] = useState<ViewRow[]>([]);
  const wanted = beyond ? typed.trim() : "";
  useEffect(() => {
    setFound([]);
    if (wanted === "") return;
    const abort = new AbortController();
    let timer: number | undefined;
    const load = async () => {
      try {
        const rows = await search(wanted, abort.signal);
        setFound(rows.map((row) => viewRow(row, 2)));
      } catch {
        // The connection's own indicator says that the worker is away.
      }
      if (!abort.signal.aborted) timer = window.setTimeout(() => void load(), 2000);
    };
    timer = window.setTimeout(() => void load(), 150);
    return () => {
      abort.abort();
      window.clearTimeout(timer);
    };
  }, [wanted]);
  return found;
}

function useShown(
  view: View | null,
  found: readonly ViewRow[],
  typed: string,
  sorting: Sorting,
): ViewRow[] {
  const rows = useMemo(() => {
    const all = new Map(found.map((row) => [row.symbol, row]));
    for (const row of view?.rows.values() ?? []) {
      if (matches(row.symbol, typed)) all.set(row.symbol, row);
    }
    return all;
  }, [view?.rows, found, typed]);
  const beat = Math.floor(Date.now() / REORDER_MS);
  // eslint-disable-next-line react-hooks/exhaustive-deps -- new prices alone do not reorder; `beat` does
  const sorted = useMemo(() => order(rows.values(), sorting), [beat, sorting, rows.size, typed]);
  return sorted.flatMap((symbol) => rows.get(symbol) ?? []);
}

interface RowProps {
  row: ViewRow;
  selected: boolean;
  onSelect: (symbol: string) => void;
}

const SPARK_WIDTH = 120;
const SPARK_HEIGHT = 28;

/** One symbol; drawn again only when its own row changed. */
class PriceRow extends Component<RowProps> {
  override shouldComponentUpdate(next: RowProps) {
    return next.row !== this.props.row || next.selected !== this.props.selected;
  }

  override render({ row, selected, onSelect }: RowProps) {
    const way = direction(row.change);
    return (
      <tr
        class={selected ? "selected" : undefined}
        onClick={() => {
          onSelect(row.symbol);
        }}
      >
        <th scope="row" class="c-symbol">
          <button type="button" aria-pressed={selected} aria-controls="detail">
            {row.symbol}
          </button>
        </th>
        <td class="c-trend">
          <Trend row={row} />
        </td>
        <td class="c-last">
          <span key={row.last} class="flash">
            {decimal(row.last, row.places)}
          </span>
        </td>
        <td class="c-change" data-way={way}>
          {percent(row.change)}
        </td>
        <td class="c-bid">{decimal(row.bid, row.places)}</td>
        <td class="c-ask">{decimal(row.ask, row.places)}</td>
        <td class="c-vwap">{decimal(row.vwap, row.places)}</td>
        <td class="c-volume">{compact(row.volume)}</td>
        <td class="c-rate">{rate(row.rate)}</td>
      </tr>
    );
  }
}

function Trend({ row }: { row: ViewRow }) {
  // The newest point is as old as the line's spacing; `last` is now.
  const points = row.last === null ? row.spark : [...row.spark.slice(0, -1), row.last];
  const shape = spark(points, row.open, SPARK_WIDTH, SPARK_HEIGHT);
  return (
    <svg
      class="spark"
      data-way={direction(row.change)}
      viewBox={`0 0 ${SPARK_WIDTH} ${SPARK_HEIGHT}`}
      preserveAspectRatio="none"
      aria-hidden="true"
    >
      {shape.base !== null && <path class="base" d={`M0 ${shape.base}H${SPARK_WIDTH}`} />}
      <path class="area" d={shape.area} />
      <path class="line" d={shape.line} />
    </svg>
  );
}

function Empty({ view, link, typed }: { view: View | null; link: Link; typed: string }) {
  if (view === null) {
    return (
      <div class="empty">
        <strong>{link === "connecting" ? "Connecting to the pipeline" : "No connection"}</strong>
        <p>
          If this takes long, check that the pipeline runs: <code>stockpipe up</code> prints this
          page’s address when it is ready.
        </p>
      </div>
    );
  }
  if (view.rows.size > 0 || view.market.symbols > 0) {
    return (
      <div class="empty">
        <strong>No symbol contains “{typed.trim()}”</strong>
        <p>Clear the search to see the market again.</p>
      </div>
    );
  }
  const { session, connected } = view.market;
  if (!connected) {
    return (
      <div class="empty">
        <strong>Kafka is not reachable</strong>
        <p>The worker keeps trying; ticks appear here as soon as it is back.</p>
      </div>
    );
  }
  if (!session.open) {
    return (
      <div class="empty">
        <strong>{view.pipeline.calendar} is closed</strong>
        <p>
          {session.nextOpen === null
            ? "Ticks appear with its next session."
            : `It opens ${soon(session.nextOpen, new Date())}; ticks appear then.`}
        </p>
      </div>
    );
  }
  return (
    <div class="empty">
      <strong>Waiting for the first tick</strong>
      <p>
        Nothing has reached the topic <code>{view.pipeline.topic}</code> yet. If it stays so, look
        at the producer’s log.
      </p>
    </div>
  );
}
