-- Sources of $event_type that are selected now and could not be read the last time, gave nothing for $stale_after_us, or
-- gave only what is older than their first selection.
SELECT
    s.source, t.newest_event_at, r.read_at,
    CASE WHEN r.error IS NOT NULL THEN r.error
         WHEN t.newest_event_at IS NULL THEN 'nothing came since it was selected'
         WHEN t.newest_event_at < s.first_selected_at THEN 'all that came is older than its first selection'
         ELSE 'nothing came for too long' END AS finding
FROM (
    SELECT c.source, MIN(c.first_selected_at) AS first_selected_at
    FROM core.source_selections AS c
    WHERE c.event_type = $event_type AND c.is_selected
    GROUP BY c.source
) AS s
LEFT JOIN (
    SELECT e.source, MAX(e.occurred_at) AS newest_event_at
    FROM (
        SELECT d.source, d.finished_at AS occurred_at FROM landing.deployments AS d
        UNION ALL
        SELECT f.source, f.started_at AS occurred_at FROM landing.failures AS f
        UNION ALL
        SELECT 'apm_deployment_tracking' AS source, a.last_seen_at AS occurred_at FROM landing.version_activity AS a
    ) AS e
    GROUP BY e.source
) AS t ON s.source = t.source
LEFT JOIN landing.source_states AS r ON s.source = r.source
WHERE r.error IS NOT NULL OR t.newest_event_at < s.first_selected_at
    OR DATE_DIFF('microsecond', COALESCE(t.newest_event_at, s.first_selected_at), CAST($now AS TIMESTAMPTZ)) > $stale_after_us
ORDER BY s.source
