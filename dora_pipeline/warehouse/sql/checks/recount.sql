-- Days whose counts or rates in metrics.daily differ from a recount of the events; days that wait for a load are left out.
WITH run_days AS (
    SELECT DISTINCT m.day FROM metrics.daily AS m
),
known_days AS (
    {metrics.known_days}
),
waiting AS (
    SELECT DISTINCT s.day FROM landing.stale_days AS s
    WHERE s.target IN ('core.deployments', 'core.failures', 'core.failed_changes', 'core.failure_links', 'metrics.daily')
    UNION
    SELECT f.restored_day AS day
    FROM core.failures AS f
    INNER JOIN landing.stale_days AS s ON f.day = s.day AND s.target = 'core.failures'
    WHERE f.restored_day IS NOT NULL
),
deployments AS (
    SELECT d.deployment_id, d.day FROM core.deployments AS d WHERE d.is_selected AND d.duplicate_of IS NULL
),
events AS (
    SELECT 'deployments' AS counted, d.day FROM deployments AS d
    UNION ALL
    SELECT 'failures' AS counted, f.day FROM core.failures AS f WHERE f.is_selected
    UNION ALL
    SELECT 'restores' AS counted, f.restored_day AS day
    FROM core.failures AS f WHERE f.is_selected AND f.time_to_restore_seconds IS NOT NULL
    UNION ALL
    SELECT 'failed_changes' AS counted, x.day FROM core.failed_changes AS x WHERE x.is_selected
    UNION ALL
    SELECT 'recoveries' AS counted, x.day FROM core.failed_changes AS x WHERE x.is_selected AND x.recovery_seconds IS NOT NULL
    UNION ALL
    SELECT 'rework_deployments' AS counted, d.day FROM deployments AS d
    WHERE d.deployment_id IN (
        SELECT x.remediation_id FROM core.failed_changes AS x WHERE x.is_selected AND x.recovery_seconds IS NOT NULL
    )
    UNION ALL
    SELECT 'linked_failures' AS counted, d.day
    FROM deployments AS d
    INNER JOIN known_days AS k ON d.day = k.day AND k.are_links_known
    WHERE d.deployment_id IN (SELECT l.deployment_id FROM core.failure_links AS l WHERE l.is_selected)
),
recount AS (
    SELECT
        e.day,
        COUNT(CASE WHEN e.counted = 'deployments' THEN 1 END) AS deployments,
        COUNT(CASE WHEN e.counted = 'failures' THEN 1 END) AS failures,
        COUNT(CASE WHEN e.counted = 'restores' THEN 1 END) AS restores,
        COUNT(CASE WHEN e.counted = 'failed_changes' THEN 1 END) AS failed_changes,
        COUNT(CASE WHEN e.counted = 'recoveries' THEN 1 END) AS recoveries,
        COUNT(CASE WHEN e.counted = 'rework_deployments' THEN 1 END) AS rework_deployments,
        COUNT(CASE WHEN e.counted = 'linked_failures' THEN 1 END) AS linked_failures
    FROM events AS e
    WHERE e.day NOT IN (SELECT w.day FROM waiting AS w)
    GROUP BY e.day
),
-- Where failures of a service name no env, its change failure rate of an env is not known.
without_env AS (
    SELECT DISTINCT f.day, f.service FROM core.failures AS f WHERE f.is_selected AND f.env IS NULL AND f.service IS NOT NULL
),
-- Where failures that name no env may be linked to its deployments, its linked failure rate is not.
possible_links AS (
    SELECT DISTINCT d.day, d.service, d.env
    FROM core.deployments AS d
    WHERE d.is_selected AND d.duplicate_of IS NULL AND d.deployment_id IN (SELECT l.deployment_id FROM ({metrics.possible_links}) AS l)
),
counted AS (
    SELECT
        m.day,
        COALESCE(SUM(m.deployments), 0) AS deployments, COALESCE(SUM(m.failures), 0) AS failures,
        COALESCE(SUM(m.restores), 0) AS restores, COALESCE(SUM(m.failed_changes), 0) AS failed_changes,
        COALESCE(SUM(m.recoveries), 0) AS recoveries, COALESCE(SUM(m.rework_deployments), 0) AS rework_deployments,
        COALESCE(SUM(m.linked_failures), 0) AS linked_failures,
        SUM(
            CASE WHEN m.deployments > 0 AND k.are_rates_known THEN
                CASE WHEN CASE WHEN m.env IS NULL OR w.service IS NULL
                             THEN m.change_failure_rate * m.deployments BETWEEN m.failures - 0.001 AND m.failures + 0.001
                             ELSE m.change_failure_rate IS NULL END
                    AND CASE WHEN q.day IS NULL
                             THEN m.linked_failure_rate * m.deployments BETWEEN m.linked_failures - 0.001 AND m.linked_failures + 0.001
                             ELSE m.linked_failure_rate IS NULL END THEN 0
                    ELSE 1 END
                 WHEN m.change_failure_rate IS NULL AND m.linked_failure_rate IS NULL THEN 0
                 ELSE 1 END
            + CASE WHEN m.deployments > 0 THEN
                CASE WHEN m.failed_change_rate * m.deployments BETWEEN m.failed_changes - 0.001 AND m.failed_changes + 0.001
                    AND m.rework_rate * m.deployments BETWEEN m.rework_deployments - 0.001 AND m.rework_deployments + 0.001 THEN 0
                    ELSE 1 END
                   WHEN m.failed_change_rate IS NULL AND m.rework_rate IS NULL THEN 0
                   ELSE 1 END
        ) AS wrong_rates
    FROM metrics.daily AS m
    LEFT JOIN known_days AS k ON m.day = k.day
    LEFT JOIN without_env AS w ON m.day = w.day AND m.service = w.service
    LEFT JOIN possible_links AS q ON m.day = q.day AND m.service = q.service AND m.env = q.env
    WHERE m.day NOT IN (SELECT w.day FROM waiting AS w)
    GROUP BY m.day
)
SELECT
    COALESCE(t.day, c.day) AS day, t.deployments, c.deployments AS deployments_recounted,
    t.failures, c.failures AS failures_recounted, t.restores, c.restores AS restores_recounted,
    t.failed_changes, c.failed_changes AS failed_changes_recounted, t.recoveries, c.recoveries AS recoveries_recounted,
    t.rework_deployments, c.rework_deployments AS rework_deployments_recounted,
    t.linked_failures, c.linked_failures AS linked_failures_recounted, t.wrong_rates
FROM counted AS t
FULL OUTER JOIN recount AS c ON t.day = c.day
WHERE t.day IS NULL OR c.day IS NULL OR t.wrong_rates > 0
    OR t.deployments <> c.deployments OR t.failures <> c.failures OR t.restores <> c.restores
    OR t.failed_changes <> c.failed_changes OR t.recoveries <> c.recoveries
    OR t.rework_deployments <> c.rework_deployments OR t.linked_failures <> c.linked_failures
ORDER BY COALESCE(t.day, c.day)
