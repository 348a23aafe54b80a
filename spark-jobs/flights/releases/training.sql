-- One row for each flight of a month: what was known of its origin and route before its day began, what is known when it
-- leaves (flight_time is the real departure), and the label: by how much it arrived late.
--
-- A week is known from the Monday after it on, some hours into that day, once its Sunday is collected. So a flight uses
-- the last week that ended at least a day before its own day began: on Mondays that is the week before the last one.
WITH flight AS (
  SELECT
    date,
    date_trunc('week', date - INTERVAL '1' DAY) - INTERVAL '7' DAY AS known_week,
    date_trunc('week', date) AS own_week,
    date_trunc('day', date) AS own_day,
    origin,
    destination,
    distance,
    delay
  FROM rows
)
SELECT
  f.date AS flight_time,
  f.origin,
  f.destination,
  f.distance,
  CAST(extract(HOUR FROM f.date) AS BIGINT) AS hour,
  CAST(CASE f.own_day
    WHEN f.own_week THEN 1
    WHEN f.own_week + INTERVAL '1' DAY THEN 2
    WHEN f.own_week + INTERVAL '2' DAY THEN 3
    WHEN f.own_week + INTERVAL '3' DAY THEN 4
    WHEN f.own_week + INTERVAL '4' DAY THEN 5
    WHEN f.own_week + INTERVAL '5' DAY THEN 6
    ELSE 7
  END AS BIGINT) AS weekday,
  CAST(extract(DAY FROM f.date) AS BIGINT) AS month_day,
  f.known_week,
  o.flights AS origin_flights,
  o.mean_delay AS origin_mean_delay,
  o.sd_delay AS origin_sd_delay,
  o.late_share AS origin_late_share,
  o.p90_delay AS origin_p90_delay,
  o.mean_delay_change AS origin_mean_delay_change,
  r.flights AS route_flights,
  r.mean_delay AS route_mean_delay,
  r.sd_delay AS route_sd_delay,
  r.late_share AS route_late_share,
  r.p90_delay AS route_p90_delay,
  r.mean_delay_change AS route_mean_delay_change,
  f.delay,
  f.delay > 15 AS late,
  CASE WHEN f.date < :end - INTERVAL '7' DAY THEN 'train' ELSE 'test' END AS split
FROM flight f
LEFT JOIN origin_weekly o ON o._window = f.known_week AND o.origin = f.origin
LEFT JOIN route_weekly r ON r._window = f.known_week AND r.origin = f.origin AND r.destination = f.destination
