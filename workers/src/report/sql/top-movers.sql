, splits AS (
  SELECT symbol, max(size) AS ratio
  FROM told
  WHERE kind = 'corporate_action' AND status = 'split' AND size > 0 AND inside = 1
  GROUP BY symbol
), ranked AS (
  SELECT symbol, currency, kind, inside, coalesce(price, close) AS close,
         row_number() OVER (
           PARTITION BY symbol, currency, inside ORDER BY kind DESC, ts_event_ns DESC, run DESC, seq DESC) AS from_last
  FROM standing
  WHERE flags % 2 = 0
), closes AS (
  SELECT symbol, currency,
         max(CASE WHEN inside = 1 THEN close END) AS close,
         max(CASE WHEN inside = 0 THEN close END) AS before
  FROM ranked
  WHERE from_last = 1
  GROUP BY symbol, currency
), changes AS (
  SELECT closes.symbol AS symbol, currency, close, splits.ratio AS split,
         CAST(before / coalesce(splits.ratio, 1) AS decimal(18, 9)) AS previous_close
  FROM closes LEFT JOIN splits ON splits.symbol = closes.symbol
), moves AS (
  SELECT symbol, currency, close, previous_close, split,
         CASE WHEN close IS NULL THEN 'silent'
              WHEN previous_close IS NULL OR previous_close <= 0 THEN 'unknown'
              WHEN close > previous_close THEN 'up'
              WHEN close < previous_close THEN 'down'
              ELSE 'unchanged' END AS move,
         close - previous_close AS change,
         CASE WHEN previous_close > 0 THEN
           CAST(CAST((close - previous_close) * 100 AS decimal(38, 19)) / previous_close AS decimal(28, 6))
         END AS change_percent
  FROM changes
), places AS (
  SELECT symbol, currency, close, previous_close, split, move, change, change_percent,
         row_number() OVER (PARTITION BY move ORDER BY abs(change_percent) DESC, symbol, currency) AS place,
         count(*) OVER (PARTITION BY move) AS symbols
  FROM moves
)
SELECT DATE '{{data_date}}' AS data_date, {{previous_date}} AS previous_date,
       move, place, symbols, symbol, currency, close, previous_close, split, change, change_percent
FROM places
WHERE place <= 10 AND move <> 'unchanged'
ORDER BY CASE move WHEN 'up' THEN 1 WHEN 'down' THEN 2 WHEN 'unknown' THEN 3 ELSE 4 END, place
