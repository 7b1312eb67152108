-- Days whose counts or rate in metrics.daily differ from a recount of the events; days that wait for a load are left out.
WITH waiting AS (
    SELECT DISTINCT s.day FROM landing.stale_days AS s
    WHERE s.target IN ('core.deployments', 'core.failures', 'metrics.daily')
),
recount AS (
    SELECT e.day, SUM(e.deployments) AS deployments, SUM(e.failures) AS failures, SUM(e.restores) AS restores
    FROM (
        SELECT d.day, 1 AS deployments, 0 AS failures, 0 AS restores
        FROM core.deployments AS d WHERE d.is_selected AND d.duplicate_of IS NULL
        UNION ALL
        SELECT f.day, 0 AS deployments, 1 AS failures, 0 AS restores
        FROM core.failures AS f WHERE f.is_selected
        UNION ALL
        SELECT f.restored_day AS day, 0 AS deployments, 0 AS failures, 1 AS restores
        FROM core.failures AS f WHERE f.is_selected AND f.time_to_restore_seconds IS NOT NULL
    ) AS e
    WHERE e.day NOT IN (SELECT w.day FROM waiting AS w)
    GROUP BY e.day
),
counted AS (
    SELECT
        m.day, SUM(m.deployments) AS deployments, SUM(m.failures) AS failures, SUM(m.restores) AS restores,
        SUM(
            CASE WHEN m.deployments = 0 AND m.change_failure_rate IS NULL THEN 0
                 WHEN m.change_failure_rate * m.deployments BETWEEN m.failures - 0.001 AND m.failures + 0.001 THEN 0
                 ELSE 1 END
        ) AS wrong_rates
    FROM metrics.daily AS m
    WHERE m.day NOT IN (SELECT w.day FROM waiting AS w)
    GROUP BY m.day
)
SELECT
    COALESCE(t.day, c.day) AS day, t.deployments, c.deployments AS deployments_recounted,
    t.failures, c.failures AS failures_recounted, t.restores, c.restores AS restores_recounted, t.wrong_rates
FROM counted AS t
FULL OUTER JOIN recount AS c ON t.day = c.day
WHERE t.day IS NULL OR c.day IS NULL OR t.wrong_rates > 0
    OR t.deployments <> c.deployments OR t.failures <> c.failures OR t.restores <> c.restores
ORDER BY COALESCE(t.day, c.day)
