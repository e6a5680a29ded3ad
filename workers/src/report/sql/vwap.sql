, priced AS (
  SELECT symbol, currency, kind,
         CASE WHEN kind = 'bar' THEN volume WHEN flags % 8 < 4 THEN size END AS size,
         CASE WHEN kind = 'bar' THEN (high + low + close) * volume WHEN flags % 8 < 4 THEN price * size END AS value,
         CASE WHEN regexp_like(conditions, '(^|,) *[O56] *(,|$)') THEN 1 ELSE 0 END AS is_auction
  FROM standing
), sums AS (
  SELECT symbol, currency, kind,
         -- The value of a bar is three times that of its typical price, so that the sum stays exact.
         CASE WHEN kind = 'bar' THEN 3 ELSE 1 END AS times,
         sum(size) AS volume,
         sum(value) AS value,
         sum(CASE WHEN is_auction = 1 AND kind = 'trade' THEN size END) AS auction_volume,
         sum(CASE WHEN is_auction = 0 AND kind = 'trade' THEN size END) AS continuous_volume,
         sum(CASE WHEN is_auction = 0 AND kind = 'trade' THEN value END) AS continuous_value,
         count(*) AS prints,
         row_number() OVER (PARTITION BY symbol, currency ORDER BY kind DESC) AS preference
  FROM priced
  GROUP BY symbol, currency, kind
)
SELECT DATE '{{data_date}}' AS data_date, symbol, currency,
       CASE WHEN kind = 'bar' THEN 'bars' ELSE 'trades' END AS basis,
       CAST(value / nullif(volume * times, 0) AS decimal(18, 9)) AS vwap,
       CAST(continuous_value / nullif(continuous_volume, 0) AS decimal(18, 9)) AS continuous_vwap,
       volume,
       CASE WHEN kind = 'trade' THEN coalesce(auction_volume, 0) END AS auction_volume,
       CAST(value / times AS decimal(38, 9)) AS turnover,
       prints
FROM sums
WHERE preference = 1
ORDER BY symbol, currency
