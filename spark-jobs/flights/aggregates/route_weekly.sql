-- Delays of one ISO week by route (origin and destination), beside those of the week before.
-- The view rows holds both weeks. Sums are exact; each figure is one division or one square root of them.
WITH week AS (
  SELECT
    origin,
    destination,
    date >= :start AS this_week,
    count(*) AS flights,
    CAST(sum(delay) AS BIGINT) AS delay_sum,
    CAST(sum(delay * delay) AS BIGINT) AS square_sum,
    CAST(sum(CASE WHEN delay > 15 THEN 1 ELSE 0 END) AS BIGINT) AS late_flights,
    CAST(percentile_disc(0.9) WITHIN GROUP (ORDER BY delay) AS BIGINT) AS p90_delay
  FROM rows
  GROUP BY origin, destination, date >= :start
)
SELECT
  w.origin,
  w.destination,
  w.flights,
  w.late_flights,
  w.delay_sum / w.flights AS mean_delay,
  sqrt((w.flights * w.square_sum - w.delay_sum * w.delay_sum) / nullif(w.flights * (w.flights - 1), 0)) AS sd_delay,
  w.late_flights / w.flights AS late_share,
  w.p90_delay,
  (w.delay_sum * b.flights - b.delay_sum * w.flights) / (w.flights * b.flights) AS mean_delay_change
FROM week w
LEFT JOIN week b ON b.origin = w.origin AND b.destination = w.destination AND NOT b.this_week
WHERE w.this_week
