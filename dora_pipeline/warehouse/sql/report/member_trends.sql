-- The figures of each service, or team, of an environment by period.
SELECT s.member, s.period, s.is_whole, s.is_provisional, s.* EXCLUDE (env, period, is_whole, is_provisional, member)
FROM metrics.summary_by($dimension, $grain, $from_day, $to_day) AS s
WHERE s.env IS NOT DISTINCT FROM $env
ORDER BY s.member, s.period
