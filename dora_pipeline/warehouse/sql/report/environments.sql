-- The environments that were told of since $since_day: first deployment ever, and deployments since $since_day.
SELECT
    e.env,
    MIN(e.deployed_day) AS first_deployment_day,
    SUM(CASE WHEN e.deployed_day >= $since_day THEN 1 ELSE 0 END) AS deployments
FROM (
    SELECT d.env, d.day AS deployed_day, d.day FROM core.deployments AS d WHERE d.is_selected AND d.duplicate_of IS NULL
    UNION ALL
    SELECT f.env, CAST(NULL AS DATE) AS deployed_day, COALESCE(f.restored_day, $to_day) AS day
    FROM core.failures AS f WHERE f.is_selected
) AS e
GROUP BY e.env
HAVING MAX(e.day) >= $since_day
ORDER BY deployments DESC, e.env
