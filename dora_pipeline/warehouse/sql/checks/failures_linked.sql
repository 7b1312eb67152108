-- Why failures are linked to no deployment, over all days and over those since $recent_day; those of sources selected now,
-- once for each impacted service.
WITH counted AS (
    SELECT p.period, p.place, l.failure_id, l.service, l.deployment_id, l.reason
    FROM core.failure_links AS l
    JOIN (
        SELECT 'all days' AS period, 1 AS place, NULL AS first_day
        UNION ALL
        SELECT 'last 30 days' AS period, 2 AS place, CAST($recent_day AS DATE) AS first_day
    ) AS p ON p.first_day IS NULL OR l.day >= p.first_day
    WHERE l.is_selected
)
SELECT
    c.period, c.reason, COUNT(*) AS failures, MAX(a.failures) AS all_failures,
    CAST(COUNT(*) AS DOUBLE) / MAX(a.failures) AS share,
    MIN(c.service) AS service, MIN(c.failure_id) AS failure_id
FROM counted AS c
JOIN (SELECT x.period, COUNT(*) AS failures FROM counted AS x GROUP BY x.period) AS a ON c.period = a.period
WHERE c.deployment_id IS NULL
GROUP BY c.period, c.place, c.reason
ORDER BY c.place, failures DESC, c.reason
