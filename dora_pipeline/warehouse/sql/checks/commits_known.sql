-- Why deployments have no lead time, and whether a commit or a repository is what they lack, over all days and over those
-- since $recent_day.
WITH counted AS (
    SELECT
        p.period, p.place, d.deployment_id, d.service, d.lead_time_reason,
        CASE WHEN d.lead_time_reason IN ('repository_missing', 'commit_missing', 'previous_commit_missing') THEN d.repository_id END
            AS fetched_from
    FROM core.deployments AS d
    JOIN (
        SELECT 'all days' AS period, 1 AS place, NULL AS first_day
        UNION ALL
        SELECT 'last 30 days' AS period, 2 AS place, CAST($recent_day AS DATE) AS first_day
    ) AS p ON p.first_day IS NULL OR d.day >= p.first_day
    WHERE d.is_selected AND d.duplicate_of IS NULL
)
SELECT
    c.period, c.lead_time_reason AS reason,
    CASE WHEN c.lead_time_reason IN (
        'no_commit', 'no_repository', 'repository_not_configured', 'repository_missing', 'commit_missing', 'previous_commit_missing'
    ) THEN TRUE ELSE FALSE END AS is_lacking,
    COUNT(*) AS deployments,
    CAST(COUNT(*) AS DOUBLE) / MAX(a.deployments) AS share,
    MIN(c.fetched_from) AS repository_id,
    COUNT(DISTINCT c.fetched_from) AS repositories,
    MIN(c.service) AS service,
    MIN(c.deployment_id) AS deployment_id
FROM counted AS c
JOIN (SELECT x.period, COUNT(*) AS deployments FROM counted AS x GROUP BY x.period) AS a ON c.period = a.period
WHERE c.lead_time_reason IS NOT NULL
GROUP BY c.period, c.place, c.lead_time_reason
ORDER BY c.place, is_lacking DESC, deployments DESC, reason
