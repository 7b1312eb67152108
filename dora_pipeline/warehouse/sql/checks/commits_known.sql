-- Why deployments have no lead time, whether a commit or a repository is what they lack, and what is wrong with that one, over
-- all days and over those since $recent_day.
WITH grouped AS (
    SELECT
        d.lead_time_reason, d.day >= CAST($recent_day AS DATE) AS is_recent,
        CASE WHEN d.lead_time_reason IN ('repository_missing', 'commit_missing', 'previous_commit_missing') THEN d.repository_id END
            AS fetched_from,
        COUNT(*) AS deployments, MIN(d.service) AS service, MIN(d.deployment_id) AS deployment_id
    FROM core.deployments AS d
    WHERE d.is_selected AND d.duplicate_of IS NULL
    GROUP BY 1, 2, 3
),
counted AS (
    SELECT
        p.period, p.place, g.lead_time_reason, g.fetched_from, g.deployments, g.service, g.deployment_id,
        SUM(g.deployments) OVER (PARTITION BY p.period) AS all_deployments
    FROM grouped AS g
    JOIN (
        SELECT 'all days' AS period, 1 AS place
        UNION ALL
        SELECT 'last 30 days' AS period, 2 AS place
    ) AS p ON p.place = 1 OR g.is_recent
)
SELECT g.*, e.error
FROM (
    SELECT
        c.period, c.place, c.lead_time_reason AS reason,
        CASE WHEN c.lead_time_reason IN (
            'no_commit', 'no_repository', 'repository_not_configured', 'repository_missing', 'commit_missing', 'previous_commit_missing'
        ) THEN TRUE ELSE FALSE END AS is_lacking,
        CAST(SUM(c.deployments) AS BIGINT) AS deployments,
        CAST(SUM(c.deployments) AS DOUBLE) / MAX(c.all_deployments) AS share,
        MIN(c.fetched_from) AS repository_id,
        COUNT(DISTINCT c.fetched_from) AS repositories,
        MIN(c.service) AS service,
        MIN(c.deployment_id) AS deployment_id
    FROM counted AS c
    WHERE c.lead_time_reason IS NOT NULL
    GROUP BY c.period, c.place, c.lead_time_reason
) AS g
LEFT JOIN landing.repository_errors AS e ON g.repository_id = e.repository_id
ORDER BY g.place, g.is_lacking DESC, g.deployments DESC, g.reason
