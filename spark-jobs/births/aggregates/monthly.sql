-- One row a month: births, their mean and spread per day, and the change of the mean against the month before.
-- Sums are exact; each feature ends in one division or one square root.
WITH days AS (
  SELECT
    births,
    _collected_at,
    _event_time >= :start AS inside
  FROM rows
  WHERE _event_time >= :start
     OR extract(month FROM date) % 12 + 1 = extract(month FROM :start)
),
sums AS (
  SELECT
    CAST(count(*) FILTER (WHERE inside) AS BIGINT) AS days,
    CAST(sum(births) FILTER (WHERE inside) AS BIGINT) AS births,
    CAST(sum(births * births) FILTER (WHERE inside) AS BIGINT) AS squares,
    CAST(count(*) FILTER (WHERE NOT inside) AS BIGINT) AS days_before,
    CAST(sum(births) FILTER (WHERE NOT inside) AS BIGINT) AS births_before,
    max(_collected_at) FILTER (WHERE inside) AS known_at
  FROM days
)
SELECT
  days,
  births,
  births / days AS mean_births,
  CASE WHEN days > 1 THEN sqrt((days * squares - births * births) / (days * (days - 1))) END AS stddev_births,
  -- a month of which only the last days are known is no month to compare with
  CASE WHEN days_before >= 28 THEN (births * days_before - births_before * days) / nullif(births_before * days, 0) END AS mean_change,
  known_at
FROM sums
WHERE days > 0
