import { useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Bar, BarInterval } from "./api";
import {
  candles,
  SLOT,
  tickPlaces,
  ticks,
  timeForm,
  timeText,
  type Candle,
  type TimeForm,
} from "./chart";
import { compact, decimal } from "./format";

interface Props {
  bars: readonly Bar[];
  interval: BarInterval;
  places: number;
}

const HEIGHT = 232;
/** Room for the price labels, the time labels, and the legend above. */
const RIGHT = 64;
const BOTTOM = 22;
const TOP = 8;
const VOLUME = 40;

/** Candles with volume, a price axis, a cross-hair, and the bar under it as text. */
export function Candles({ bars, interval, places }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(420);
  const [pointed, setPointed] = useState<number | null>(null);

  useLayoutEffect(() => {
    const element = box.current;
    if (element === null) return;
    const observer = new ResizeObserver(([entry]) => {
      if (entry !== undefined) setWidth(Math.max(160, Math.floor(entry.contentRect.width)));
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
    };
  }, []);

  const plotWidth = width - RIGHT;
  const plotHeight = HEIGHT - TOP - BOTTOM;
  const layout = candles(bars, plotWidth, plotHeight - VOLUME, VOLUME - 8);
  const axis = ticks(layout.low, layout.high, 5);
  const axisPlaces = tickPlaces(axis, Math.min(places, 2));
  const form = timeForm(
    layout.candles.map((c) => c.bar.time),
    interval,
  );
  const newest = layout.candles.at(-1);
  const shown = layout.candles.find((c) => c.bar.time === pointed) ?? newest;

  // The newest price's own label wins where an axis label would lie under it.
  const covered = (value: number) =>
    newest !== undefined && Math.abs(layout.price(value) - newest.close) < 16;

  const onMove = (event: PointerEvent) => {
    const bounds = box.current?.getBoundingClientRect();
    if (bounds === undefined) return;
    const x = event.clientX - bounds.left;
    const hit = layout.candles.find((c) => Math.abs(c.x - x) <= SLOT / 2);
    setPointed(hit?.bar.time ?? null);
  };

  return (
    <div class="candles">
      <Legend candle={shown} form={form} places={places} />
      <div
        ref={box}
        onPointerMove={onMove}
        onPointerLeave={() => {
          setPointed(null);
        }}
      >
        <svg
          width={width}
          height={HEIGHT}
          viewBox={`0 0 ${width} ${HEIGHT}`}
          role="img"
          aria-label={description(layout.candles, places)}
        >
          <g transform={`translate(0 ${TOP})`}>
            {axis.map((value) => (
              <g key={value} transform={`translate(0 ${Math.round(layout.price(value)) + 0.5})`}>
                <path class="grid" d={`M0 0H${plotWidth}`} />
                <text class="axis" x={plotWidth + 8} dy="0.32em">
                  {covered(value) ? "" : decimal(value.toFixed(axisPlaces), axisPlaces)}
                </text>
              </g>
            ))}
            {layout.candles.map((c) => (
              <CandleShape key={c.bar.time} candle={c} body={layout.body} floor={plotHeight} />
            ))}
            {timeLabels(layout.candles, form).map(({ x, text }) => (
              <text key={x} class="axis time" x={x} y={plotHeight + 16}>
                {text}
              </text>
            ))}
            {shown !== undefined && pointed !== null && (
              <path class="cross" d={`M${shown.x} 0V${plotHeight}`} />
            )}
            {newest !== undefined && (
              <g
                class="last"
                data-way={newest.rising ? "up" : "down"}
                transform={`translate(0 ${Math.round(newest.close) + 0.5})`}
              >
                <path d={`M0 0H${plotWidth}`} />
                <rect x={plotWidth + 2} y="-10" width={RIGHT - 10} height="20" rx="4" />
                <text x={plotWidth + 8} dy="0.34em">
                  {decimal(newest.bar.close, places)}
                </text>
              </g>
            )}
          </g>
        </svg>
      </div>
    </div>
  );
}

function CandleShape({ candle, body, floor }: { candle: Candle; body: number; floor: number }) {
  const { x, open, close, high, low, rising, volume } = candle;
  const top = Math.min(open, close);
  return (
    <g class="candle" data-way={rising ? "up" : "down"}>
      <path class="wick" d={`M${x} ${high.toFixed(1)}V${low.toFixed(1)}`} />
      <rect
        x={x - body / 2}
        y={top.toFixed(1)}
        width={body}
        height={Math.max(1, Math.abs(close - open)).toFixed(1)}
      />
      <rect
        class="volume"
        x={x - body / 2}
        y={(floor - volume).toFixed(1)}
        width={body}
        height={volume.toFixed(1)}
      />
    </g>
  );
}

function Legend(props: { candle: Candle | undefined; form: TimeForm; places: number }) {
  const { candle, form, places } = props;
  if (candle === undefined) return null;
  const { bar } = candle;
  return (
    <p class="legend">
      <time dateTime={new Date(bar.time).toISOString()}>{timeText(bar.time, form)}</time>
      {(["open", "high", "low", "close"] as const).map((field) => (
        <span key={field}>
          <i>{field.slice(0, 1).toUpperCase()}</i>
          {decimal(bar[field], places)}
        </span>
      ))}
      <span>
        <i>Vol</i>
        {compact(bar.volume)}
      </span>
    </p>
  );
}

/** A label about every 90 pixels. */
function timeLabels(shown: readonly Candle[], form: TimeForm) {
  const every = Math.ceil(90 / SLOT);
  return shown
    .filter((c, i) => i % every === Math.floor(every / 2) && c.x > 30)
    .map((c) => ({ x: c.x, text: timeText(c.bar.time, form) }));
}

function description(shown: readonly Candle[], places: number): string {
  const first = shown[0]?.bar;
  const last = shown.at(-1)?.bar;
  if (first === undefined || last === undefined) return "No bars";
  return `${shown.length} bars, from ${decimal(first.open, places)} to ${decimal(last.close, places)}`;
}
