-- `seen` reaches a minute beyond the interval: a number that is missing from the interval may be a tick of the minute
-- beside it that came out of order.
WITH seen AS (
  SELECT symbol, venue, kind, status, run, seq, source_seq, ts_event, ts_event_ns, trade_date, trade_id, price, size,
         bid_price, ask_price, open, high, low, close,
         ts_recv_ns - ts_event_ns AS delay,
         CASE WHEN {{inside}} THEN 1 ELSE 0 END AS inside
  FROM {{ticks}}
  WHERE {{around}}
), placed AS (
  SELECT symbol, kind, status, run, seq, source_seq, ts_event, ts_event_ns, trade_id, price, size,
         bid_price, ask_price, open, high, low, close, delay, inside,
         min(CASE WHEN inside = 1 THEN seq END) OVER (PARTITION BY run, symbol) AS first_seq,
         max(CASE WHEN inside = 1 THEN seq END) OVER (PARTITION BY run, symbol) AS last_seq,
         max(ts_event_ns) OVER (
           PARTITION BY run, symbol ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS newest_before,
         lead(ts_event_ns) OVER (PARTITION BY symbol, kind ORDER BY ts_event_ns, run, seq) AS next_of_kind,
         max(CASE WHEN kind = 'trade' THEN 1 ELSE 0 END)
           OVER (PARTITION BY symbol, venue, trade_date, trade_id) AS has_trade,
         row_number() OVER (
           PARTITION BY symbol, CASE WHEN inside = 1 AND delay IS NOT NULL THEN 1 ELSE 0 END ORDER BY delay) AS delay_place,
         count(CASE WHEN inside = 1 THEN delay END) OVER (PARTITION BY symbol) AS delays
  FROM seen
), runs AS (
  SELECT symbol, run,
         sum(inside) AS ticks,
         count(CASE WHEN inside = 1 AND kind = 'trade' THEN 1 END) AS trades,
         count(CASE WHEN inside = 1 AND kind = 'quote' THEN 1 END) AS quotes,
         count(CASE WHEN inside = 1 AND kind = 'bar' THEN 1 END) AS bars,
         count(CASE WHEN inside = 1 AND kind = 'status' THEN 1 END) AS statuses,
         count(CASE WHEN inside = 1 AND kind = 'auction' THEN 1 END) AS auctions,
         count(CASE WHEN inside = 1 AND kind = 'correction' THEN 1 END) AS corrections,
         count(CASE WHEN inside = 1 AND kind = 'corporate_action' THEN 1 END) AS corporate_actions,
         count(CASE WHEN inside = 1 AND kind = 'gap' THEN 1 END) AS gaps,
         max(last_seq) - max(first_seq) + 1
           - count(DISTINCT CASE WHEN seq BETWEEN first_seq AND last_seq THEN seq END) AS missing,
         count(CASE WHEN inside = 1 THEN seq END) - count(DISTINCT CASE WHEN inside = 1 THEN seq END) AS doubled,
         coalesce(sum(CASE WHEN inside = 1 AND kind = 'gap' THEN size END), 0) AS feed_missing,
         count(CASE WHEN inside = 1 AND kind <> 'gap' THEN source_seq END)
           - count(DISTINCT CASE WHEN inside = 1 AND kind <> 'gap' THEN kind || CAST(source_seq AS varchar) END)
           AS feed_repeated,
         count(CASE WHEN inside = 1 AND newest_before > ts_event_ns THEN 1 END) AS late,
         min(CASE WHEN inside = 1 THEN delay END) AS delay_min,
         max(CASE WHEN inside = 1 AND delay_place = (delays * 50 + 99) / 100 THEN delay END) AS delay_p50,
         max(CASE WHEN inside = 1 AND delay_place = (delays * 99 + 99) / 100 THEN delay END) AS delay_p99,
         max(CASE WHEN inside = 1 THEN delay END) AS delay_max,
         count(CASE WHEN inside = 1 AND kind = 'quote' AND bid_price > ask_price THEN 1 END) AS crossed,
         count(CASE WHEN inside = 1 AND kind = 'quote' AND bid_price = ask_price THEN 1 END) AS locked,
         count(CASE WHEN inside = 1 AND ((kind = 'trade' AND price <= 0)
           OR (kind = 'quote' AND (bid_price <= 0 OR ask_price <= 0))
           OR (kind = 'bar' AND (open <= 0 OR high <= 0 OR low <= 0 OR close <= 0))) THEN 1 END) AS nonpositive,
         count(CASE WHEN inside = 1 AND ((kind = 'trade' AND (price IS NULL OR size IS NULL))
           OR (kind = 'quote' AND bid_price IS NULL AND ask_price IS NULL)
           OR (kind = 'bar' AND (open IS NULL OR high IS NULL OR low IS NULL OR close IS NULL))
           OR (kind = 'correction' AND trade_id IS NULL)) THEN 1 END) AS incomplete,
         count(CASE WHEN inside = 1 AND kind = 'correction' AND trade_id IS NOT NULL AND has_trade = 0 THEN 1 END)
           AS orphans,
         coalesce(sum(CASE WHEN inside = 1 AND kind = 'status' AND status = 'halt' AND ts_event_ns < {{end_ns}} THEN
           CASE WHEN next_of_kind < {{end_ns}} THEN next_of_kind ELSE {{end_ns}} END - ts_event_ns END), 0) AS halted_ns,
         min(CASE WHEN inside = 1 THEN ts_event END) AS first_event,
         max(CASE WHEN inside = 1 THEN ts_event END) AS last_event
  FROM placed
  GROUP BY symbol, run
), symbols AS (
  SELECT symbol,
         sum(ticks) AS ticks, sum(trades) AS trades, sum(quotes) AS quotes, sum(bars) AS bars,
         sum(statuses) AS statuses, sum(auctions) AS auctions, sum(corrections) AS corrections,
         sum(corporate_actions) AS corporate_actions, sum(gaps) AS gaps,
         sum(missing) AS missing, sum(doubled) AS doubled,
         sum(feed_missing) AS feed_missing, sum(feed_repeated) AS feed_repeated, sum(late) AS late,
         min(delay_min) AS delay_min, max(delay_p50) AS delay_p50, max(delay_p99) AS delay_p99,
         max(delay_max) AS delay_max,
         sum(crossed) AS crossed, sum(locked) AS locked, sum(nonpositive) AS nonpositive,
         sum(incomplete) AS incomplete, sum(orphans) AS orphans, sum(halted_ns) AS halted_ns,
         min(first_event) AS first_event, max(last_event) AS last_event
  FROM runs
  WHERE ticks > 0
  GROUP BY symbol
), listed AS (
  {{listed}}
), all_symbols AS (
  SELECT coalesce(symbols.symbol, listed.symbol) AS symbol, coalesce(ticks, 0) AS ticks,
         trades, quotes, bars, statuses, auctions, corrections, corporate_actions, gaps, missing, doubled,
         feed_missing, feed_repeated, late, delay_min, delay_p50, delay_p99, delay_max,
         crossed, locked, nonpositive, incomplete, orphans, halted_ns, first_event, last_event
  FROM symbols FULL OUTER JOIN listed ON listed.symbol = symbols.symbol
)
SELECT DATE '{{data_date}}' AS data_date, symbol, ticks, trades, quotes, bars, statuses, auctions, corrections,
       corporate_actions, gaps, missing, doubled, CAST(feed_missing AS bigint) AS feed_missing, feed_repeated,
       late,
       CAST(CAST(late AS decimal(20, 6)) / nullif(ticks, 0) AS decimal(7, 6)) AS late_share,
       CAST(CAST(delay_min AS decimal(25, 6)) / 1000000 AS decimal(18, 6)) AS delay_min_ms,
       CAST(CAST(delay_p50 AS decimal(25, 6)) / 1000000 AS decimal(18, 6)) AS delay_p50_ms,
       CAST(CAST(delay_p99 AS decimal(25, 6)) / 1000000 AS decimal(18, 6)) AS delay_p99_ms,
       CAST(CAST(delay_max AS decimal(25, 6)) / 1000000 AS decimal(18, 6)) AS delay_max_ms,
       crossed, locked, nonpositive, incomplete, orphans AS orphan_corrections,
       CAST(CAST(halted_ns AS decimal(25, 9)) / 1000000000 AS decimal(18, 9)) AS halted_seconds,
       first_event, last_event,
       CASE WHEN ticks = 0 THEN 'silent'
            WHEN missing > 0 OR doubled > 0 THEN 'broken'
            WHEN feed_missing > 0 OR feed_repeated > 0 OR gaps > 0 OR crossed > 0 OR nonpositive > 0
              OR incomplete > 0 OR orphans > 0 THEN 'check'
            ELSE 'good' END AS verdict
FROM all_symbols
ORDER BY symbol
