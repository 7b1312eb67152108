-- The team of each service: that of its newest event since $since_day that has one.
SELECT
    m.service,
    {metrics.newest_team} AS team
FROM metrics.measures AS m
WHERE m.measure IN ('deployment', 'failure') AND m.service IS NOT NULL AND m.team IS NOT NULL AND m.day >= $since_day
GROUP BY m.service
ORDER BY m.service
