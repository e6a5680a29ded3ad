import { clock, day } from "./format";
import { closed } from "./state";
import type { Feed } from "./stream";

/** Name, badge, where the data goes, market time, and whether all this is live. */
export function Header({ feed }: { feed: Feed }) {
  const { view } = feed;
  const pipeline = view?.pipeline;
  const notice = view === null ? null : closed(view, new Date());
  return (
    <header class="top">
      <div class="brand">
        <Mark />
        <div class="title">
          <h1>
            <span class="name">{pipeline?.name ?? "stockpipe"}</span>
            {pipeline !== undefined && (
              <span class="badge" data-badge={pipeline.badge} title={MEANING[pipeline.badge]}>
                {pipeline.badge}
              </span>
            )}
          </h1>
          <p class="route">
            {pipeline === undefined ? (
              "\u00a0"
            ) : (
              <>
                <span title="Kafka topic">{pipeline.topic}</span>
                <i aria-hidden="true">→</i>
                <span title="Lake">{pipeline.lake}</span>
                <i aria-hidden="true">→</i>
                <span title="Table">{pipeline.table}</span>
              </>
            )}
          </p>
        </div>
      </div>
      <div class="now">
        {notice !== null && (
          <p class="closed fades" title="No ticks come until then; prices are the last session's">
            {notice}
          </p>
        )}
        <div class="market-time fades" title="Newest event time in the market, UTC">
          <b>{clock(view?.market.time ?? null)}</b>
          <span>{view?.market.time == null ? "no tick yet" : `${day(view.market.time)} UTC`}</span>
        </div>
        <Connection feed={feed} />
      </div>
    </header>
  );
}

const MEANING = {
  SIMULATED: "A synthetic market: no price here was ever traded",
  REPLAY: "Recorded prices, played again",
  LIVE: "Prices as they come from a feed",
} as const;

/** The only live region of the page: it speaks when the state changes, never for a price. */
function Connection({ feed }: { feed: Feed }) {
  const { link, view, lostAt } = feed;
  const [state, label, hint] =
    link === "connecting"
      ? lostAt === null
        ? ["wait", "Connecting", "Opening the stream"]
        : ["lost", "Reconnecting", "The worker does not answer; trying again"]
      : link === "lost"
        ? [
            "lost",
            "Reconnecting",
            `What you see is from ${clock(lostAt?.toISOString() ?? null)} UTC`,
          ]
        : view?.market.connected === false
          ? ["lost", "Kafka away", "Kafka is not reachable; prices stand still until it is back"]
          : ["live", "Live", "Updated four times a second"];
  return (
    <div class="link" data-state={state} role="status" title={hint}>
      <span class="dot" aria-hidden="true" />
      {label}
    </div>
  );
}

function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="8" />
      <path d="M6 21h5l4-11 4 13 3-7h4" />
    </svg>
  );
}
