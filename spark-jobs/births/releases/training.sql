-- One row a day: the features that were known before it, and the label, births.
-- What was known is decided by _collected_at: a week is known once it is over, a month once its last week is.
WITH days AS (
  SELECT date, day_of_week, births, _event_time
  FROM rows
  WHERE _event_time >= :start
),
known AS (
  SELECT
    days.date,
    monthly.mean_births,
    monthly.stddev_births,
    monthly.mean_change,
    row_number() OVER (PARTITION BY days.date ORDER BY monthly._window DESC) AS place
  FROM days
  JOIN monthly ON monthly.known_at <= days._event_time
)
SELECT
  days.date,
  days.day_of_week,
  CAST(extract(month FROM days.date) AS INTEGER) AS month,
  week_ago.births AS births_week_ago,
  known.mean_births AS month_mean_births,
  known.stddev_births AS month_stddev_births,
  known.mean_change AS month_mean_change,
  days.births,
  CASE WHEN extract(month FROM days.date) <= 9 THEN 'train' ELSE 'test' END AS split
FROM days
LEFT JOIN rows AS week_ago
  ON week_ago.date = days.date - 7 AND week_ago._collected_at <= days._event_time
LEFT JOIN known
  ON known.date = days.date AND known.place = 1
