-- What is counted and yet should be looked at: in the days from $from_day to $to_day, and in all.
WITH deployments AS NOT MATERIALIZED (
    SELECT m.*
    FROM (
        {report.selected_deployments}
    ) AS m
    WHERE {passes}
),
failures AS NOT MATERIALIZED (
    SELECT m.*
    FROM (
        {report.selected_failures}
    ) AS m
    WHERE {passes}
)
SELECT 'negative_lead_time' AS oddity,
    COALESCE(SUM(CASE WHEN c.day >= $from_day AND c.day <= $to_day THEN 1 ELSE 0 END), 0) AS rows_in_period, COUNT(*) AS rows_in_all
FROM core.deployment_commits AS c
INNER JOIN deployments AS d ON c.deployment_id = d.deployment_id
WHERE c.lead_time_seconds < 0 AND NOT c.is_redelivery AND d.duplicate_of IS NULL
UNION ALL
SELECT 'duplicate' AS oddity,
    COALESCE(SUM(CASE WHEN d.day >= $from_day AND d.day <= $to_day THEN 1 ELSE 0 END), 0) AS rows_in_period, COUNT(*) AS rows_in_all
FROM deployments AS d
WHERE d.duplicate_of IS NOT NULL
UNION ALL
SELECT 'deployment_without_env' AS oddity,
    COALESCE(SUM(CASE WHEN d.day >= $from_day AND d.day <= $to_day THEN 1 ELSE 0 END), 0) AS rows_in_period, COUNT(*) AS rows_in_all
FROM deployments AS d
WHERE d.duplicate_of IS NULL AND d.env IS NULL
UNION ALL
SELECT 'failure_without_env' AS oddity,
    COUNT(DISTINCT CASE WHEN f.day >= $from_day AND f.day <= $to_day THEN f.failure_id END) AS rows_in_period,
    COUNT(DISTINCT f.failure_id) AS rows_in_all
FROM failures AS f
WHERE f.env IS NULL
UNION ALL
SELECT 'failure_without_service' AS oddity,
    COUNT(DISTINCT CASE WHEN f.day >= $from_day AND f.day <= $to_day THEN f.failure_id END) AS rows_in_period,
    COUNT(DISTINCT f.failure_id) AS rows_in_all
FROM failures AS f
WHERE f.service IS NULL
