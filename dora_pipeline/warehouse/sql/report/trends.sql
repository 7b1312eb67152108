-- The figures of each environment by period. The periods begin with the one that $from_day is in.
SELECT s.env, s.period, s.is_whole, s.is_provisional, s.* EXCLUDE (env, period, is_whole, is_provisional, member)
FROM metrics.summary_by('all', $grain, $from_day, $to_day) AS s
ORDER BY s.env, s.period
