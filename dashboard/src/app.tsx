import { useEffect, useMemo, useState } from "preact/hooks";
import { Detail } from "./detail";
import { Header } from "./header";
import { Prices } from "./prices";
import { Reports } from "./reports";
import { order, type Sorting } from "./state";
import { follow, type Feed } from "./stream";
import { Tiles } from "./tiles";

type Pane = "market" | "reports";

const FIRST: Sorting = { column: "symbol", descending: false };
/** As in the style sheet: the width from which one symbol stands beside the table. */
const WIDE = window.matchMedia("(min-width: 1001px)");

/** The symbol named after `#` in the address, so that a symbol can be linked to. */
function symbolOfAddress(): string | null {
  try {
    return decodeURIComponent(window.location.hash.slice(1)) || null;
  } catch {
    return null;
  }
}

export function App() {
  const [feed, setFeed] = useState<Feed>({ view: null, link: "connecting", lostAt: null });
  // Undefined until somebody chooses: then a wide page shows its first symbol.
  const [selected, setSelected] = useState<string | null | undefined>(
    () => symbolOfAddress() ?? undefined,
  );
  const [pane, setPane] = useState<Pane>("market");

  useEffect(() => follow(setFeed), []);

  useEffect(() => {
    const onHash = () => {
      setSelected(symbolOfAddress());
    };
    window.addEventListener("hashchange", onHash);
    return () => {
      window.removeEventListener("hashchange", onHash);
    };
  }, []);

  const { view, link } = feed;
  const name = view?.pipeline.name;
  const first = useMemo(
    () => (view === null ? undefined : order(view.rows.values(), FIRST)[0]),
    // eslint-disable-next-line react-hooks/exhaustive-deps -- the first symbol there is, once and for all
    [(view?.rows.size ?? 0) > 0],
  );
  const shown = selected === undefined && WIDE.matches ? (first ?? null) : (selected ?? null);
  useEffect(() => {
    document.title = name === undefined ? "stockpipe" : `${name} · stockpipe`;
  }, [name]);

  const select = (symbol: string | null) => {
    const address = symbol === null ? "" : `#${encodeURIComponent(symbol)}`;
    window.history.replaceState(
      null,
      "",
      window.location.pathname + window.location.search + address,
    );
    setSelected(symbol);
  };

  return (
    <div
      class="app"
      data-link={link}
      data-kafka={view?.market.connected === false ? "away" : undefined}
      data-pane={pane}
    >
      <Header feed={feed} />
      <main>
        <Tiles view={view} />
        <nav class="panes" aria-label="Sections">
          {(["market", "reports"] as const).map((p) => (
            <button
              key={p}
              type="button"
              aria-pressed={pane === p}
              onClick={() => {
                setPane(p);
              }}
            >
              {p === "market" ? "Market" : "Reports"}
            </button>
          ))}
        </nav>
        <div class="columns">
          <Prices view={view} link={link} selected={shown} onSelect={select} />
          <div class="side">
            <Detail
              view={view}
              symbol={shown}
              onClose={() => {
                select(null);
              }}
            />
            <Reports view={view} />
          </div>
        </div>
      </main>
    </div>
  );
}
