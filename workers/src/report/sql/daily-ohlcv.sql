, ranked AS (
  SELECT symbol, currency, kind, price, open, high, low, close, volume,
         flags % 2 AS not_last,
         CASE WHEN flags % 4 < 2 THEN price END AS extreme,
         CASE WHEN flags % 8 < 4 THEN size END AS size,
         row_number() OVER (PARTITION BY symbol, currency, kind, flags % 2 ORDER BY ts_event_ns, run, seq) AS from_first,
         row_number() OVER (PARTITION BY symbol, currency, kind, flags % 2 ORDER BY ts_event_ns DESC, run DESC, seq DESC) AS from_last
  FROM standing
), days AS (
  SELECT symbol, currency,
         max(CASE WHEN from_first = 1 AND not_last = 0 THEN coalesce(price, open) END) AS open,
         max(coalesce(extreme, high)) AS high,
         min(coalesce(extreme, low)) AS low,
         max(CASE WHEN from_last = 1 AND not_last = 0 THEN coalesce(price, close) END) AS close,
         sum(coalesce(size, volume)) AS volume,
         sum(price * size) / nullif(sum(size), 0) AS vwap,
         sum(CASE WHEN kind = 'trade' THEN 1 END) AS trades,
         row_number() OVER (PARTITION BY symbol, currency ORDER BY kind DESC) AS preference
  FROM ranked
  GROUP BY symbol, currency, kind
)
SELECT symbol, currency, open, high, low, close, volume, CAST(vwap AS decimal(18, 9)) AS vwap, trades
FROM days
WHERE preference = 1
ORDER BY symbol, currency
