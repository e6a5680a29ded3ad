import type { ComponentChildren } from "preact";
import { area } from "./chart";
import { bytes, clock, compact, count, day, duration, NONE, rate } from "./format";
import type { View } from "./state";

/** The pipeline from left to right: ticks come in, wait, land, and are complete up to a time. */
export function Tiles({ view }: { view: View | null }) {
  return (
    <section class="tiles fades" aria-label="Pipeline">
      <RateTile view={view} />
      <LagTile view={view} />
      <LandedTile view={view} />
      <WatermarkTile view={view} />
    </section>
  );
}

interface TileProps {
  label: string;
  value: string;
  unit?: string;
  note: ComponentChildren;
  tone?: "good" | "bad" | undefined;
  hint: string;
  children?: ComponentChildren;
}

function Tile({ label, value, unit, note, tone, hint, children }: TileProps) {
  return (
    <div class="tile" title={hint}>
      <h2>{label}</h2>
      <p class="value">
        {value}
        {unit !== undefined && <span class="unit">{unit}</span>}
      </p>
      <p class="note" data-tone={tone}>
        {note}
      </p>
      {children}
    </div>
  );
}

const RATE_SLOTS = 120;
const RATE_WIDTH = 240;
const RATE_HEIGHT = 44;

function RateTile({ view }: { view: View | null }) {
  const market = view?.market;
  const shape = area(view?.history ?? [], RATE_SLOTS, RATE_WIDTH, RATE_HEIGHT);
  return (
    <Tile
      label="Tick rate"
      value={market === undefined ? NONE : rate(market.rate.smoothed)}
      unit="/s"
      note={market === undefined ? NONE : `${compact(market.rate.current)} in the last second`}
      hint="Ticks written to Kafka a second: mean of ten seconds, and the last two minutes as a line"
    >
      <svg
        class="rate-chart"
        viewBox={`0 0 ${RATE_WIDTH} ${RATE_HEIGHT}`}
        preserveAspectRatio="none"
        aria-hidden="true"
      >
        <path class="area" d={shape.area} />
        <path class="line" d={shape.line} />
      </svg>
    </Tile>
  );
}

function LagTile({ view }: { view: View | null }) {
  const lag = view?.lake.lag ?? null;
  const problem = view?.lake.problem ?? null;
  const landedAll = lag === 0 && (view?.lake.rows ?? 0) > 0;
  return (
    <Tile
      label="Lag"
      value={lag === null ? NONE : lag < 100_000 ? count(lag) : compact(lag)}
      note={
        problem ??
        (lag === null
          ? "not known yet"
          : lag === 0
            ? landedAll
              ? "every record is in the lake"
              : "nothing to land yet"
            : "records not yet landed")
      }
      tone={problem !== null ? "bad" : landedAll ? "good" : undefined}
      hint={problem ?? "Records in Kafka that no published file covers yet"}
    />
  );
}

function LandedTile({ view }: { view: View | null }) {
  const lake = view?.lake;
  const rows = lake?.rows ?? null;
  const bad = lake?.quarantined ?? 0;
  return (
    <Tile
      label="Landed"
      value={rows === null ? NONE : rows < 1_000_000_000 ? count(rows) : compact(rows)}
      unit={rows === null ? "" : "rows"}
      note={
        rows === null
          ? "nothing landed yet"
          : `${count(lake?.files ?? null)} files · ${bytes(lake?.bytes ?? null)}` +
            (bad > 0 ? ` · ${count(bad)} quarantined` : "")
      }
      tone={bad > 0 ? "bad" : undefined}
      hint="Rows, files and bytes in the lake, each exactly once"
    />
  );
}

function WatermarkTile({ view }: { view: View | null }) {
  const lake = view?.lake;
  const watermark = lake?.watermark ?? null;
  const delay = lake?.watermarkDelayMs ?? null;
  return (
    <Tile
      label="Watermark"
      value={clock(watermark)}
      unit={watermark === null ? "" : "UTC"}
      note={
        watermark === null
          ? "not known yet"
          : [
              day(watermark) === day(view?.market.time ?? null) ? null : day(watermark),
              delay === null ? null : `${duration(delay)} behind the market`,
            ]
              .filter((part) => part !== null)
              .join(" · ")
      }
      hint="The lake holds every tick up to this market time"
    />
  );
}
