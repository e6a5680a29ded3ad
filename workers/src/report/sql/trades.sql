-- What the reports of prices begin with: every trade once, as its corrections leave it, and every bar.
-- A trade and all that was told of it later stand together by the venue's name for it: the trade first, then its
-- corrections in the order in which they were told. What has no such name stands alone.
WITH told AS (
  SELECT symbol, currency, kind, status, session, conditions, run, seq, ts_event_ns,
         price, size, open, high, low, close, volume,
         coalesce(flags, 0) AS flags,
         CASE WHEN {{inside}} THEN 1 ELSE 0 END AS inside,
         row_number() OVER (
           PARTITION BY symbol, venue, trade_date, trade_id,
                        CASE WHEN trade_id IS NULL THEN run END, CASE WHEN trade_id IS NULL THEN seq END
           ORDER BY kind DESC, ts_event_ns, run, seq) AS place,
         last_value(kind) OVER (
           PARTITION BY symbol, venue, trade_date, trade_id,
                        CASE WHEN trade_id IS NULL THEN run END, CASE WHEN trade_id IS NULL THEN seq END
           ORDER BY kind DESC, ts_event_ns, run, seq
           ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS last_kind,
         last_value(status) OVER (
           PARTITION BY symbol, venue, trade_date, trade_id,
                        CASE WHEN trade_id IS NULL THEN run END, CASE WHEN trade_id IS NULL THEN seq END
           ORDER BY kind DESC, ts_event_ns, run, seq
           ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS last_status,
         last_value(price) OVER (
           PARTITION BY symbol, venue, trade_date, trade_id,
                        CASE WHEN trade_id IS NULL THEN run END, CASE WHEN trade_id IS NULL THEN seq END
           ORDER BY kind DESC, ts_event_ns, run, seq
           ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS last_price,
         last_value(size) OVER (
           PARTITION BY symbol, venue, trade_date, trade_id,
                        CASE WHEN trade_id IS NULL THEN run END, CASE WHEN trade_id IS NULL THEN seq END
           ORDER BY kind DESC, ts_event_ns, run, seq
           ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS last_size
  FROM {{ticks}}
  WHERE {{rows}} AND kind IN ('trade', 'correction', 'bar', 'corporate_action')
), standing AS (
  SELECT symbol, currency, kind, conditions, run, seq, ts_event_ns, flags, inside,
         CASE WHEN last_kind = 'correction' THEN coalesce(last_price, price) ELSE price END AS price,
         CASE WHEN last_kind = 'correction' THEN coalesce(last_size, size) ELSE size END AS size,
         open, high, low, close, volume
  FROM told
  WHERE place = 1
    AND (kind = 'bar'
      OR (kind = 'trade' AND price IS NOT NULL AND coalesce(session, 'regular') = 'regular'
        AND NOT (last_kind = 'correction' AND coalesce(last_status, '') = 'cancel')))
)
