-- The figures of each environment by period. The periods begin with the one that $from_day is in.
SELECT s.env, s.* EXCLUDE (env, service, team)
FROM metrics.summary_by('env', $grain, $from_day, $to_day) AS s
ORDER BY s.env, s.period
