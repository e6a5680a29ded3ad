, points AS (
  SELECT symbol, currency, kind,
         flags % 2 AS not_last,
         ts_event_ns / 300000000000 AS bucket,
         coalesce(price, open) AS first,
         coalesce(price, close) AS last,
         max(CASE WHEN kind = 'bar' THEN high WHEN flags % 4 < 2 THEN price END)
           OVER (PARTITION BY symbol, currency, kind) AS high,
         min(CASE WHEN kind = 'bar' THEN low WHEN flags % 4 < 2 THEN price END)
           OVER (PARTITION BY symbol, currency, kind) AS low,
         row_number() OVER (PARTITION BY symbol, currency, kind, flags % 2 ORDER BY ts_event_ns, run, seq) AS from_first,
         row_number() OVER (PARTITION BY symbol, currency, kind, flags % 2, ts_event_ns / 300000000000
                            ORDER BY ts_event_ns DESC, run DESC, seq DESC) AS from_last
  FROM standing
  WHERE price > 0 OR (kind = 'bar' AND open > 0 AND high > 0 AND low > 0 AND close > 0)
), lasts AS (
  SELECT symbol, currency, kind, bucket, last, high, low, from_last,
         max(CASE WHEN from_first = 1 THEN first END) OVER (PARTITION BY symbol, currency, kind) AS open
  FROM points
  WHERE not_last = 0
), samples AS (
  SELECT symbol, currency, kind, last, high, low, open,
         lag(last) OVER (PARTITION BY symbol, currency, kind ORDER BY bucket) AS before,
         row_number() OVER (PARTITION BY symbol, currency, kind ORDER BY bucket DESC) AS from_end
  FROM lasts
  WHERE from_last = 1
), sums AS (
  SELECT symbol, currency, kind,
         count(*) AS returns,
         sum(power(ln(CAST(last AS double) / CAST(coalesce(before, open) AS double)), 2)) AS variance,
         ln(CAST(max(high) AS double) / CAST(min(low) AS double)) AS log_range,
         ln(CAST(max(CASE WHEN from_end = 1 THEN last END) AS double) / CAST(max(open) AS double)) AS log_move,
         row_number() OVER (PARTITION BY symbol, currency ORDER BY kind DESC) AS preference
  FROM samples
  GROUP BY symbol, currency, kind
)
SELECT DATE '{{data_date}}' AS data_date, symbol, currency,
       CASE WHEN kind = 'bar' THEN 'bars' ELSE 'trades' END AS basis,
       returns,
       CAST(sqrt(variance) AS decimal(18, 9)) AS realized,
       CAST(sqrt(variance * {{intervals_a_year}}) AS decimal(18, 9)) AS realized_annual,
       CAST(log_range / sqrt(4 * ln(2)) AS decimal(18, 9)) AS parkinson,
       CAST(sqrt(greatest(power(log_range, 2) / 2 - (2 * ln(2) - 1) * power(log_move, 2), 0e0)) AS decimal(18, 9))
         AS garman_klass
FROM sums
WHERE preference = 1
ORDER BY symbol, currency
