-- Events that count before their source was first selected, or whose source never was; days that wait are left out.
SELECT e.event_type, e.source, e.event_id, e.occurred_at, s.first_selected_at
FROM (
    SELECT 'deployment' AS event_type, 'core.deployments' AS target, d.source, d.deployment_id AS event_id, d.finished_at AS occurred_at, d.day
    FROM core.deployments AS d
    UNION ALL
    SELECT 'failure' AS event_type, 'core.failures' AS target, f.source, f.failure_id AS event_id, f.started_at AS occurred_at, f.day
    FROM core.failures AS f
) AS e
LEFT JOIN (
    SELECT c.source, MIN(c.first_selected_at) AS first_selected_at FROM core.source_selections AS c GROUP BY c.source
) AS s ON e.source = s.source
LEFT JOIN landing.stale_days AS w ON e.target = w.target AND e.day = w.day
WHERE w.day IS NULL
    AND (s.first_selected_at IS NULL OR e.occurred_at < s.first_selected_at)
ORDER BY e.occurred_at, e.event_id
