-- metrics.deployment_outcomes: how each deployment that counts turned out, seen from what was changed and from what failed.
SELECT
    d.deployment_id, d.service, d.env, d.team, d.finished_at,
    CASE WHEN c.deployment_id IS NOT NULL THEN TRUE ELSE FALSE END AS is_failed_change,
    c.way, c.rule, c.remediation_id, c.recovery_seconds,
    COALESCE(l.linked_failures, 0) AS linked_failures,
    COALESCE(l.failure_ids, CAST([] AS VARCHAR[])) AS failure_ids,
    CASE WHEN c.deployment_id IS NOT NULL AND l.deployment_id IS NOT NULL THEN 'both'
         WHEN l.deployment_id IS NOT NULL THEN 'failure_only'
         WHEN c.deployment_id IS NOT NULL THEN 'change_only'
         ELSE 'none' END AS agreement,
    d.day
FROM core.deployments AS d
LEFT JOIN core.failed_changes AS c ON d.deployment_id = c.deployment_id
LEFT JOIN (
    SELECT
        f.deployment_id, COUNT(DISTINCT f.failure_id) AS linked_failures,
        LIST_SORT(LIST_DISTINCT(LIST(f.failure_id))) AS failure_ids
    FROM core.failure_links AS f
    WHERE f.is_selected AND f.deployment_id IS NOT NULL
    GROUP BY f.deployment_id
) AS l ON d.deployment_id = l.deployment_id
WHERE d.is_selected AND d.duplicate_of IS NULL
