-- The environments of which anything is known since $since_day: first deployment ever, and deployments since $since_day.
SELECT
    e.env,
    MIN(CASE WHEN e.measure = 'deployment' THEN e.day END) AS first_deployment_day,
    SUM(CASE WHEN e.measure = 'deployment' AND e.day >= $since_day THEN 1 ELSE 0 END) AS deployments
FROM (
    SELECT m.measure, m.env, m.day FROM metrics.measures AS m WHERE m.measure IN ('deployment', 'failure', 'restore')
    UNION ALL
    SELECT 'open' AS measure, f.env, $to_day AS day FROM core.failures AS f WHERE f.is_selected AND f.finished_at IS NULL
) AS e
GROUP BY e.env
HAVING MAX(e.day) >= $since_day
ORDER BY deployments DESC, e.env
