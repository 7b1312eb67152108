-- How many commits of an environment have a lead time in each step of $lower_ends (seconds), by the step's lower end; -1 has
-- those below 0.
SELECT x.lower_end, COUNT(*) AS commits
FROM (
    SELECT COALESCE(LIST_MAX([e FOR e IN $lower_ends IF e <= m.seconds]), -1) AS lower_end
    FROM metrics.measures AS m
    WHERE m.measure = 'commit' AND m.env IS NOT DISTINCT FROM $env AND m.day >= $from_day AND m.day <= $to_day
) AS x
GROUP BY x.lower_end
ORDER BY x.lower_end
