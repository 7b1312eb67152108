-- Each source that was ever selected: whether it is now, how its last reading went, and the newest of what came of it.
SELECT
    s.event_type, s.source, s.is_selected, s.first_selected_at, r.read_at, r.error, t.newest_event_at,
    COALESCE(t.events, 0) AS events
FROM (
    SELECT x.event_type, x.source, BOOL_OR(x.is_selected) AS is_selected, MIN(x.first_selected_at) AS first_selected_at
    FROM core.source_selections AS x
    GROUP BY x.event_type, x.source
) AS s
LEFT JOIN landing.source_states AS r ON s.source = r.source
LEFT JOIN (
    SELECT 'deployment' AS event_type, d.source, MAX(d.finished_at) AS newest_event_at, COUNT(*) AS events
    FROM landing.deployments AS d
    GROUP BY d.source
    UNION ALL
    SELECT 'failure' AS event_type, f.source, MAX(f.started_at) AS newest_event_at, COUNT(DISTINCT f.failure_id) AS events
    FROM landing.failures AS f
    GROUP BY f.source
) AS t ON s.event_type = t.event_type AND s.source = t.source
ORDER BY s.event_type, s.is_selected DESC, s.source
