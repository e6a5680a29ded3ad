-- `seen` has the directories beside those of the interval too: a tick that came out of order lies in its own.
WITH seen AS (
  SELECT {{period}} AS period, seq, lag(seq) OVER (PARTITION BY run, symbol ORDER BY seq) AS before
  FROM {{ticks}}
  WHERE {{periods_around}}
), landed AS (
  SELECT period, count(*) AS landed_rows,
         sum(CASE WHEN seq > before + 1 THEN seq - before - 1 ELSE 0 END) AS missing,
         sum(CASE WHEN seq = before THEN 1 ELSE 0 END) AS doubled
  FROM seen
  GROUP BY period
), claimed AS (
  SELECT CAST(period AS varchar) AS period, CAST(files AS bigint) AS files, CAST(claimed_rows AS bigint) AS claimed_rows,
         is_closed
  FROM (VALUES {{claimed}}) AS ledger (period, files, claimed_rows, is_closed)
), compared AS (
  SELECT claimed.period AS period, files, claimed_rows, is_closed, coalesce(landed_rows, 0) AS landed_rows,
         coalesce(missing, 0) AS missing, coalesce(doubled, 0) AS doubled
  FROM claimed LEFT JOIN landed ON landed.period = claimed.period
)
SELECT DATE '{{data_date}}' AS data_date, period, files,
       landed_rows - doubled + missing AS sent_ticks, claimed_rows, landed_rows,
       missing AS missing_ticks, doubled AS doubled_ticks,
       CASE WHEN is_closed = 0 AND (landed_rows <> claimed_rows OR missing > 0) THEN 'open'
            WHEN landed_rows < claimed_rows THEN 'rows-missing'
            WHEN landed_rows > claimed_rows THEN 'rows-unclaimed'
            WHEN doubled > 0 THEN 'ticks-doubled'
            WHEN missing > 0 THEN 'ticks-missing'
            ELSE 'balanced' END AS verdict
FROM compared
WHERE claimed_rows > 0 OR landed_rows > 0
ORDER BY period
