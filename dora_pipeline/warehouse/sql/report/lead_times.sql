-- How many commits of each environment have a lead time in each step of $lower_ends (seconds), by the step's lower end; -1 has
-- those below 0. The function counts by upper ends, hence the signs.
SELECT x.env, CASE WHEN x.step.key <= 0 THEN CAST(-x.step.key AS BIGINT) ELSE -1 END AS lower_end, x.step.value AS commits
FROM (
    SELECT m.env, UNNEST(MAP_ENTRIES(HISTOGRAM(-m.seconds, [CAST(-e AS DOUBLE) FOR e IN $lower_ends]))) AS step
    FROM metrics.measures AS m
    WHERE m.measure = 'commit' AND m.day >= $from_day AND m.day <= $to_day
    GROUP BY m.env
) AS x
ORDER BY x.env, lower_end
